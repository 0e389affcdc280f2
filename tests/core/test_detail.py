"""Lowered detail: what is recorded of a trace is decided at its local root, and what is left out is counted."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fasttrace._core.layout import RECORD_HEADER, THRESHOLD_NEVER
from fasttrace._core.types import StatusCode

FULL, LOCAL_ROOTS, BARE = range(3)
ERROR, EXCEPTION = 1, 2  # bits of the rules


def request(traced: Any) -> None:
    """A local root and four spans below it, two deep, with an attribute each."""
    start = traced.tracer.start_as_current_span
    with start("root") as root:
        root.set_attributes({"http.response.status_code": 200, "http.route": "/orders/{id}", "user.id": 7})
        with start("inner") as inner:
            inner.set_attribute("depth", 1)
            with start("deeper"):
                pass
        traced.tracer.start_span("sibling").end()
        with start("last"):
            pass


def test_everything_is_recorded_unless_it_is_lowered(traced: Any) -> None:
    assert traced.recorder.detail == FULL
    request(traced)
    spans = traced.spans()
    assert [span.name for span in spans] == ["deeper", "inner", "sibling", "last", "root"]
    assert not any("fasttrace.detail" in span.attributes for span in spans)
    counters = traced.recorder.counters()
    assert (counters["detail_spans"], counters["detail_attributes"]) == (0, 0)


def test_below_local_roots_nothing_is_recorded_and_all_of_it_is_counted(traced: Any) -> None:
    traced.recorder.detail = LOCAL_ROOTS
    request(traced)
    span = traced.span()
    assert span.name == "root"
    assert span.attributes == {
        "http.response.status_code": 200,
        "http.route": "/orders/{id}",
        "user.id": 7,
        "fasttrace.detail": "local_roots",
    }
    counters = traced.recorder.counters()
    assert (counters["started"], counters["sampled_out"], counters["detail_spans"]) == (5, 4, 4)
    assert (counters["active"], counters["abandoned"], counters["detail_attributes"]) == (0, 0, 0)


def test_bare_roots_keep_two_attributes_and_say_how_many_they_lost(traced: Any) -> None:
    traced.recorder.detail = BARE
    with traced.tracer.start_as_current_span("root") as root:
        root.set_attributes({"http.response.status_code": 503, "http.route": "/", "user.id": 7, "cart.items": 3})
        assert len(root.attributes) == 4
    span = traced.span()
    assert span.attributes == {"http.response.status_code": 503, "http.route": "/", "fasttrace.detail": "bare"}
    assert span.dropped_attributes_count == 2
    assert traced.recorder.counters()["detail_attributes"] == 2


def test_both_implementations_write_the_same_bytes(both: list[Any]) -> None:
    from traced import FixedIds, Traced

    requests = []
    for core in both:
        traced = Traced(core, id_generator=FixedIds())
        for detail in (BARE, LOCAL_ROOTS):
            traced.recorder.detail = detail
            root = traced.tracer.start_span("root", start_time=1, attributes={"user.id": 7, "http.route": "/"})
            traced.tracer.start_span("inner", context=root).end()
            root.end(2)
        requests.append(traced.request())
    assert requests[0] == requests[1]


def test_the_detail_of_a_trace_is_its_local_roots_whatever_changes_meanwhile(traced: Any) -> None:
    start = traced.tracer.start_as_current_span
    with start("whole"):
        traced.recorder.detail = BARE
        with start("inner"), start("deeper"):
            pass
    with start("alone"):
        traced.recorder.detail = FULL
        with start("left out"), start("left out, too"):
            pass
    assert [span.name for span in traced.spans()] == ["deeper", "inner", "whole", "alone"]


def test_a_span_below_a_remote_parent_is_a_local_root(traced: Any) -> None:
    traced.recorder.detail = LOCAL_ROOTS
    parent = traced.core.context.SpanContext(7, 9, True, 1)
    with traced.tracer.start_as_current_span("server", parent), traced.tracer.start_as_current_span("inner"):
        pass
    assert (traced.span().name, traced.recorder.counters()["detail_spans"]) == ("server", 1)


def test_what_is_sent_from_inside_names_the_root_as_parent_with_its_flags(traced: Any) -> None:
    traced.recorder.detail = LOCAL_ROOTS
    inject = traced.core.headers.inject_w3c
    with traced.tracer.start_as_current_span("root") as root:
        expected: dict[str, str] = {}
        assert inject(expected)
        with traced.tracer.start_as_current_span("inner") as inner, traced.tracer.start_as_current_span("deeper"):
            found: dict[str, str] = {}
            assert inject(found)
        assert found == expected == {"traceparent": f"00-{root.trace_id_hex}-{root.span_id_hex}-03"}
        assert inner.get_span_context() == root.get_span_context()


def test_what_is_meant_for_an_inner_span_never_reaches_the_root(traced: Any) -> None:
    traced.recorder.detail = LOCAL_ROOTS
    current_span = traced.core.span.current_span
    with traced.tracer.start_as_current_span("root") as root:
        with traced.tracer.start_as_current_span("inner") as inner:
            assert current_span() is inner
            assert not inner.is_recording()
            current_span().update_name("renamed")
            current_span().set_attribute("http.response.status_code", 500)
            current_span().set_status(StatusCode.ERROR, "handled")
            current_span().record_exception(ValueError())
            current_span().add_event("retried")
        assert current_span() is root
    span = traced.span()
    assert (span.name, span.status.status_code, span.events) == ("root", StatusCode.UNSET, [])
    assert span.attributes == {"fasttrace.detail": "local_roots"}


def test_an_unsampled_trace_is_what_it_was(traced: Any) -> None:
    traced.recorder.detail = BARE
    traced.recorder.thresholds = (THRESHOLD_NEVER, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER)
    request(traced)
    counters = traced.recorder.counters()
    assert (counters["started"], counters["sampled_out"], counters["detail_spans"]) == (5, 5, 0)


def test_an_inner_exception_passes_and_keeps_the_trace_by_the_tail_rules(traced: Any) -> None:
    traced.recorder.tail_rules = [("error", ERROR), ("exception", EXCEPTION)]
    traced.recorder.record_unsampled = True
    traced.recorder.thresholds = (THRESHOLD_NEVER,) * 5
    traced.recorder.detail = BARE
    with traced.tracer.start_as_current_span("root") as root:
        assert not root.sampled
        with pytest.raises(KeyError), traced.tracer.start_as_current_span("inner"):
            raise KeyError("handled outside")
        assert root.sampled  # what it calls from now on keeps its part
    bits = RECORD_HEADER.unpack_from(traced.records())[6]
    assert bits == 1 << ERROR | 1 << EXCEPTION


def test_rules_about_attributes_see_those_that_are_left_out(traced: Any) -> None:
    traced.recorder.tail_rules = [("attribute", ERROR, "user.tier", ("gold",), None, None)]
    traced.recorder.detail = BARE
    with traced.tracer.start_as_current_span("root") as root:
        root.set_attribute("user.tier", "gold")
    record = traced.records()
    assert RECORD_HEADER.unpack_from(record)[6] == 1 << ERROR
    assert b"gold" not in record


def test_below_what_is_untraced_nothing_changes(traced: Any) -> None:
    from fasttrace._core.types import UNTRACED_KEY

    traced.recorder.detail = LOCAL_ROOTS
    context = traced.core.context
    with traced.tracer.start_as_current_span("root") as root:
        inside = context.Context(root, values={UNTRACED_KEY: True})
        token = context.attach(inside)
        with traced.tracer.start_as_current_span("inner") as inner:
            assert not inner.sampled
        context.detach(inside, token)
    assert (traced.span().name, traced.recorder.counters()["detail_spans"]) == ("root", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_in_a_forked_child_the_first_span_is_a_local_root(traced: Any) -> None:
    traced.recorder.detail = LOCAL_ROOTS
    with traced.tracer.start_as_current_span("root"), traced.tracer.start_as_current_span("inner"):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with traced.tracer.start_as_current_span("in the child"):
                    pass
                code = 0 if traced.span().name == "in the child" else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("value", [-1, 3, 1000, None, "bare"])
def test_a_level_that_is_none_is_refused(traced: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="detail="):
        traced.recorder.detail = value
    assert traced.recorder.detail == FULL
