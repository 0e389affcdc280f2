"""Sampling by thresholds, the counters, the active spans, limits, forks and threads."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced import Traced

from fasttrace._core.layout import THRESHOLD_NEVER
from fasttrace._core.types import InstrumentationScope


def total(counters: dict[str, int], queued: int) -> int:
    dropped = sum(value for name, value in counters.items() if name.startswith("dropped_"))
    return counters["active"] + counters["abandoned"] + counters["sampled_out"] + dropped + queued


def test_nobody_counts_references_to_what_all_threads_share(make_traced: Any) -> None:
    traced = make_traced()
    if traced.core.name == "python" or getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("for the compiled core without a GIL")
    traced.recorder.pin()
    tracer = traced.core.span.Tracer(InstrumentationScope("pinned"), traced.recorder)
    for shared in (traced.core.context.CURRENT, traced.recorder, traced.recorder.ring, tracer):
        before = sys.getrefcount(shared)
        more = [shared] * 100
        assert sys.getrefcount(shared) == before, shared
        del more
        assert sys.getrefcount(shared) == before, shared


def test_a_pinned_recorder_works_as_before_and_with_a_gil_goes_with_its_tracers(make_traced: Any) -> None:
    traced = make_traced()
    traced.recorder.pin()
    tracer = traced.core.span.Tracer(InstrumentationScope("pinned"), traced.recorder)
    with tracer.start_as_current_span("operation"):
        pass
    assert [span.name for span in traced.spans()] == ["operation"]
    if traced.core.name == "python" or getattr(sys, "_is_gil_enabled", lambda: True)():
        gone = weakref.ref(traced.recorder)
        del traced, tracer
        gc.collect()
        assert gone() is None


def test_counters_balance_through_every_fate(make_traced: Any) -> None:
    traced = make_traced()
    tracer, recorder = traced.tracer, traced.recorder
    tracer.start_span("exported").end()
    active = tracer.start_span("active")
    tracer.start_span("abandoned")
    gc.collect()
    recorder.thresholds = (THRESHOLD_NEVER,) * 5
    tracer.start_span("sampled out").end()
    recorder.thresholds = (0,) * 5
    recorder.closed = True
    tracer.start_span("after shutdown").end()
    counters = recorder.counters()
    assert counters["started"] == 5
    assert (counters["active"], counters["abandoned"], counters["sampled_out"]) == (1, 1, 1)
    assert counters["dropped_after_shutdown"] == 1
    assert total(counters, traced.ring.depth_spans) == 5
    active.end()
    assert recorder.counters()["dropped_after_shutdown"] == 2


def test_the_depth_of_the_queue_throttles_and_is_counted(core: Any) -> None:
    ring = core.ring.Ring(max_spans=10)
    recorder = core.span.Recorder(ring)
    recorder.consumer_running = True
    tracer = core.span.Tracer(InstrumentationScope("test"), recorder)
    for number in range(25):
        tracer.start_span(f"span {number}").end()
    counters = recorder.counters()
    assert (ring.depth_spans, counters["dropped_queue_full"], counters["started"]) == (10, 15, 25)


def test_active_spans_are_listed_oldest_first(traced: Any) -> None:
    spans = [traced.tracer.start_span(f"span {number}") for number in range(5)]
    assert [span.name for span in traced.recorder.active_spans()] == [f"span {number}" for number in range(5)]
    for index in (2, 0, 4):
        spans[index].end()
    assert [span.name for span in traced.recorder.active_spans()] == ["span 1", "span 3"]
    spans[1].end()
    spans[3].end()
    assert traced.recorder.active_spans() == []


def test_an_abandoned_span_leaves_the_list(traced: Any) -> None:
    span = traced.tracer.start_span("forgotten", attributes={"key": "value"})
    span.add_event("event")
    del span
    gc.collect()
    assert traced.recorder.active_spans() == []
    assert traced.recorder.counters()["abandoned"] == 1


def test_spans_in_reference_cycles_are_collected(traced: Any) -> None:
    class Holder:
        pass

    holder: Any = Holder()
    holder.span = traced.tracer.start_span("cycle", attributes={"a": 1})
    gone = weakref.ref(holder)
    carried = {"holder": holder}
    holder.span_start = traced.tracer.start_as_current_span("waiting", attributes={"held": carried})
    del holder, carried
    gc.collect()
    assert gone() is None
    assert traced.recorder.counters()["active"] == 0


def test_an_ended_span_lets_go_of_its_values(traced: Any) -> None:
    class Value(str):
        __slots__ = ("__weakref__",)

    text = "x" * 1000
    references = __import__("sys").getrefcount(text)
    with traced.tracer.start_as_current_span("operation") as span:
        span.set_attribute("text", text)
    assert __import__("sys").getrefcount(text) == references
    assert span.attributes == {}


def test_spans_do_not_leak_memory(traced: Any) -> None:
    import tracemalloc

    def turn() -> None:
        for _ in range(200):
            with traced.tracer.start_as_current_span("operation", attributes={"a": 1}) as span:
                span.set_attributes({f"key {number}": number for number in range(12)})
                span.add_event("event", {"b": 2})
        traced.records()

    turn()
    tracemalloc.start()
    try:
        turn()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            turn()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000, "1,000 spans left something behind"


RULES = {
    "root": 0,
    "remote sampled parent": 1,
    "remote unsampled parent": 2,
    "local sampled parent": 3,
    "local unsampled parent": 4,
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_its_own_threshold(core: Any, rule: str) -> None:
    thresholds = [0] * 5
    thresholds[RULES[rule]] = THRESHOLD_NEVER
    traced = Traced(core, thresholds=tuple(thresholds))
    parents = {
        "root": None,
        "remote sampled parent": core.context.SpanContext(1, 2, True, 1),
        "remote unsampled parent": core.context.SpanContext(1, 2, True, 0),
        "local sampled parent": core.context.SpanContext(1, 2, False, 1),
        "local unsampled parent": core.context.SpanContext(1, 2, False, 0),
    }
    for name, parent in parents.items():
        with traced.tracer.start_as_current_span(name, parent) as span:
            assert span.is_recording() == (name != rule), name
            assert span.sampled == (name != rule)


@given(trace_id=st.integers(1, 2**128 - 1), threshold=st.integers(0, 2**56))
def test_a_trace_is_kept_at_or_above_the_threshold_of_its_low_56_bits(core: Any, trace_id: int, threshold: int) -> None:
    traced = Traced(core, thresholds=(threshold, threshold, 0, 0, 0))
    parent = core.context.SpanContext(trace_id, 1, True, 1)
    kept = (trace_id & (2**56 - 1)) >= threshold
    assert traced.tracer.start_span("operation", parent).is_recording() == kept


def test_an_unsampled_trace_is_propagated_unsampled(make_traced: Any) -> None:
    traced = make_traced(thresholds=(THRESHOLD_NEVER, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER))
    core = traced.core
    with traced.tracer.start_as_current_span("root") as root:
        assert not root.is_recording()
        header = core.headers.format_traceparent(core.span.current_span())
        assert header.endswith("-02"), "random, not sampled"
        with traced.tracer.start_as_current_span("child") as child:
            child.set_attribute("ignored", 1)
            assert child.trace_id == root.trace_id
            assert not child.is_recording()
    assert traced.records() == b""
    assert traced.recorder.counters()["sampled_out"] == 2


def test_a_tracer_without_a_recorder_only_forwards_the_context(core: Any) -> None:
    tracer = core.span.Tracer(InstrumentationScope("library"))
    with tracer.start_as_current_span("operation") as span:
        assert not span.is_recording()
        assert not span.get_span_context().is_valid
    remote = core.context.SpanContext(1, 2, True, 1)
    with tracer.start_as_current_span("operation", remote):
        assert core.span.current_span().trace_id == 1
        assert core.headers.format_traceparent(core.span.current_span()).endswith("-01")


def test_a_tracer_goes_live_when_it_is_bound(core: Any) -> None:
    tracer = core.span.Tracer(InstrumentationScope("library"))
    traced = Traced(core)
    tracer.bind(traced.recorder)
    with tracer.start_as_current_span("operation") as span:
        assert span.is_recording()
    tracer.bind(None)
    with tracer.start_as_current_span("operation") as span:
        assert not span.is_recording()
    assert traced.span().scope.name == "library"


@pytest.mark.parametrize(
    "thresholds", [(), (0,), (0,) * 6, (-(2**64) - 1, 0, 0, 0, 0), (2**57, 0, 0, 0, 0), (0.5, 0, 0, 0, 0)]
)
def test_thresholds_are_checked(core: Any, thresholds: Any) -> None:
    with pytest.raises(ValueError, match="thresholds"):
        core.span.Recorder(core.ring.Ring(), thresholds=thresholds)


class Broken:
    def generate_trace_id(self) -> int:
        raise RuntimeError

    def generate_span_id(self) -> Any:
        return "seven"


def test_a_broken_id_generator_does_no_harm(make_traced: Any) -> None:
    traced = make_traced(id_generator=Broken())
    with traced.tracer.start_as_current_span("operation") as span:
        assert span.get_span_context().is_valid
        assert span.is_recording()


def test_the_first_record_calls_for_a_consumer(core: Any) -> None:
    called: list[int] = []
    recorder = core.span.Recorder(core.ring.Ring(), on_first_record=lambda: called.append(1))
    tracer = core.span.Tracer(InstrumentationScope("test"), recorder)
    tracer.start_span("one").end()
    assert called == [1]
    recorder.consumer_running = True
    tracer.start_span("two").end()
    assert called == [1]


def test_an_error_in_the_call_for_a_consumer_stays_inside(core: Any) -> None:
    def fail() -> None:
        raise RuntimeError

    recorder = core.span.Recorder(core.ring.Ring(), on_first_record=fail)
    core.span.Tracer(InstrumentationScope("test"), recorder).start_span("one").end()
    assert recorder.counters()["started"] == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_starts_from_nothing(traced: Any) -> None:
    traced.tracer.start_span("in the parent's queue").end()
    running = traced.tracer.start_span("begun before the fork")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            counters = traced.recorder.counters()
            assert set(counters.values()) == {0}
            assert traced.recorder.active_spans() == []
            assert not traced.recorder.consumer_running
            running.end()
            assert traced.recorder.counters()["dropped_forked"] == 1
            with traced.tracer.start_as_current_span("child of a foreign span", running):
                pass
            found = traced.span()
            assert found.name == "child of a foreign span"
            assert found.parent_span_id == running.span_id_hex
            counters = traced.recorder.counters()
            assert counters["started"] == 2
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    running.end()
    assert sorted(span.name for span in traced.spans()) == ["begun before the fork", "in the parent's queue"]


def test_a_span_used_from_several_threads_is_safe(traced: Any) -> None:
    span = traced.tracer.start_span("shared")
    barrier = threading.Barrier(8)
    raised: list[BaseException] = []

    def use(index: int) -> None:
        chooser = random.Random(index)
        barrier.wait(60)
        try:
            for number in range(400):
                span.set_attribute(f"key {chooser.randrange(40)}", number)
                span.add_event("event", {"number": number})
                span.add_link(traced.core.context.SpanContext(index + 1, 2))
                span.update_name(f"name {number}")
                _ = (span.attributes, span.name)
            if index == 7:
                span.end()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=use, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    found = traced.span()
    assert found.dropped_events_count + len(found.events) >= 400
    assert set(found.attributes) <= {f"key {number}" for number in range(40)}


def test_a_span_ended_by_several_threads_is_recorded_once(traced: Any) -> None:
    for _ in range(50):
        span = traced.tracer.start_span("operation")
        barrier = threading.Barrier(4)
        threads = [threading.Thread(target=lambda s=span, b=barrier: (b.wait(30), s.end())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(traced.spans()) == 50
    assert traced.recorder.counters()["active"] == 0
