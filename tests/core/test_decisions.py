"""Decisions of head samplers in the core: compares, tracestate, samplers that are asked, boosts that end."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced import Traced

from fasttrace._core.layout import THRESHOLD_ASK, THRESHOLD_NEVER, duration_bucket, duration_of
from fasttrace._core.tracestate import TraceState, with_threshold
from fasttrace._core.types import InstrumentationScope, SpanKind

HALF = 1 << 55


class OneId:
    """An id generator that always gives one trace id."""

    def __init__(self, trace_id: int) -> None:
        self.trace_id = trace_id
        self.last = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last


def sampled(make_traced: Any, trace_id: int, thresholds: tuple[int, ...]) -> bool:
    traced: Traced = make_traced(id_generator=OneId(trace_id), thresholds=thresholds)
    return bool(traced.tracer.start_span("root").sampled)


@pytest.mark.parametrize(("low", "threshold", "kept"), [
    (HALF, HALF, True), (HALF - 1, HALF, False), ((1 << 56) | 1, HALF, False), (2**56 - 1, THRESHOLD_NEVER, False),
    (2**63 - 1, -(2**63), True), (2**63, -(2**63), False), (2**64 - 1, -(2**64), True), (1, -1, False), (5, -6, True),
])  # fmt: skip
def test_a_decision_compares_the_low_bits_of_the_trace_id(
    make_traced: Any, low: int, threshold: int, kept: bool
) -> None:
    assert sampled(make_traced, 1 << 100 | low, (threshold,) * 5) is kept


@given(low=st.integers(1, 2**64 - 1), bound=st.integers(1, 2**64))
def test_negative_thresholds_are_opentelemetrys_comparison(both: Any, low: int, bound: int) -> None:
    for core in both:
        traced = Traced(core, id_generator=OneId(1 << 80 | low), thresholds=(-bound,) * 5)
        assert traced.tracer.start_span("root").sampled is (low < bound)


def test_what_a_rule_samples_says_so_in_its_tracestate(make_traced: Any) -> None:
    traced = make_traced(thresholds=(0, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER))
    traced.recorder.ot_members = ("th:c", None, None, None, None)
    root = traced.tracer.start_span("root")
    assert root.trace_state.to_header() == "ot=th:c"
    child = traced.tracer.start_span("child", context=root)
    assert child.trace_state.to_header() == "ot=th:c"
    child.end()
    root.end()
    assert [str(span.trace_state) for span in traced.spans()] == ["ot=th:c"] * 2


def remote(core: Any, trace_id: int, header: str, flags: int = 1) -> Any:
    return core.context.SpanContext(trace_id, 7, True, flags, header)


def test_a_threshold_replaces_the_one_that_came_and_leaves_the_rest(make_traced: Any) -> None:
    traced = make_traced(thresholds=(0, 0, 0, 0, 0))
    traced.recorder.ot_members = ("th:0", "th:8", "th:8", None, None)
    parent = remote(traced.core, 9, "a=1,ot=th:c;rv:ffffffffffffff;x:y,b=2")
    assert traced.tracer.start_span("s", context=parent).trace_state.to_header() == (
        "ot=th:8;rv:ffffffffffffff;x:y,a=1,b=2"
    )
    traced.recorder.thresholds = (THRESHOLD_NEVER,) * 5
    left_out = traced.tracer.start_span("s", context=parent)
    assert left_out.trace_state.to_header() == "ot=rv:ffffffffffffff;x:y,a=1,b=2"
    assert not left_out.sampled


@pytest.mark.parametrize(("header", "kept"), [
    ("ot=rv:80000000000000", True), ("ot=rv:7fffffffffffff", False), ("z=1,ot=th:0;rv:ffffffffffffff", True),
    ("ot=rv:8", False), ("ot=rv:8000000000000G", False), ("ot=rv:+0000000000000", False), ("rv=80000000000000", False),
])  # fmt: skip
def test_randomness_in_the_tracestate_stands_for_the_ids(make_traced: Any, header: str, kept: bool) -> None:
    traced = make_traced(thresholds=(HALF,) * 5)
    assert traced.tracer.start_span("s", context=remote(traced.core, 1, header)).sampled is kept
    traced = make_traced(thresholds=(HALF,) * 5)
    big = remote(traced.core, 2**56 - 1, header if kept else "a=b")
    assert traced.tracer.start_span("s", context=big).sampled


def test_a_sampler_is_asked_with_what_is_known_and_its_answer_counts(make_traced: Any) -> None:
    traced = make_traced(thresholds=(THRESHOLD_ASK, 0, 0, 0, 0))
    asked: list[tuple[Any, ...]] = []
    answers = [(2, {"sampler": "mine"}, "own=1"), (0, {"never": "seen"}, None), (1, None, None)]

    def decide(*arguments: Any) -> Any:
        asked.append(arguments)
        return answers[len(asked) - 1]

    traced.recorder.decide = decide
    yes = traced.tracer.start_span("GET", None, SpanKind.SERVER, {"url.path": "/x"}, [])
    assert (yes.sampled, yes.trace_state.to_header()) == (True, "own=1")
    assert yes.attributes == {"url.path": "/x", "sampler": "mine"}
    assert asked == [(0, None, yes.trace_id, "GET", SpanKind.SERVER, {"url.path": "/x"}, [])]
    no = traced.tracer.start_span("no")
    only = traced.tracer.start_span("record only")
    assert not (no.sampled or no.is_recording() or only.sampled or only.is_recording())
    assert traced.tracer.start_span("child", context=yes).sampled
    assert len(asked) == 3
    assert traced.recorder.counters()["sampler_errors"] == 0


@pytest.mark.parametrize("answer", [RuntimeError("broken"), None, (1, 2), ("x", None, None, None)])
def test_a_sampler_that_fails_leaves_the_parents_decision(make_traced: Any, answer: Any) -> None:
    traced = make_traced(thresholds=(THRESHOLD_ASK,) * 5)

    def decide(*arguments: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    traced.recorder.decide = decide
    assert traced.tracer.start_span("root").sampled
    assert traced.tracer.start_span("s", context=remote(traced.core, 5, "")).sampled
    assert not traced.tracer.start_span("s", context=remote(traced.core, 5, "", 0)).sampled
    assert traced.recorder.counters()["sampler_errors"] == 3


def test_without_anybody_to_ask_roots_are_sampled(make_traced: Any) -> None:
    traced = make_traced(thresholds=(THRESHOLD_ASK,) * 5)
    assert traced.tracer.start_span("root").sampled
    assert traced.recorder.counters()["sampler_errors"] == 1


def test_a_time_that_is_over_is_noticed_by_the_next_span_once(make_traced: Any) -> None:
    traced = make_traced()
    recorder = traced.recorder
    calls: list[int] = []

    def expire() -> None:
        calls.append(recorder.expires_ns)
        recorder.thresholds = (THRESHOLD_NEVER,) * 5

    recorder.on_expire = expire
    recorder.expires_ns = time.monotonic_ns() + 10**12
    assert traced.tracer.start_span("before").sampled
    recorder.expires_ns = time.monotonic_ns() - 1
    assert not traced.tracer.start_span("after").sampled, "by the decision after the boost"
    traced.tracer.start_span("later")
    assert calls == [0]
    recorder.on_expire = None
    recorder.expires_ns = 1
    traced.tracer.start_span("nobody is told")
    assert recorder.expires_ns == 0


@pytest.mark.parametrize("values", [(), (None,) * 4, (1, None, None, None, None), (b"th:0",) * 5])
def test_ot_members_are_checked(traced: Any, values: Any) -> None:
    with pytest.raises(ValueError, match="ot_members"):
        traced.recorder.ot_members = values
    assert traced.recorder.ot_members == (None,) * 5


def test_local_roots_that_are_left_out_are_observed(make_traced: Any) -> None:
    traced = make_traced(thresholds=(THRESHOLD_NEVER, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER))
    recorder, tracer = traced.recorder, traced.tracer
    tracer.start_span("before").end()
    recorder.observe = True
    with tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
        pass
    with pytest.raises(ZeroDivisionError), tracer.start_as_current_span("failed"):
        _ = 1 // 0
    with tracer.start_as_current_span("failed by status") as span:
        span.set_status(2)
    tracer.start_span("not ended")
    with tracer.start_as_current_span("sampled", context=remote(traced.core, 5, "")) as span:
        span.set_attribute("http.response.status_code", 503)
        with tracer.start_as_current_span("child"):
            pass
    for _ in range(2):
        span.end()
    window = recorder.window()
    assert (window["requests"], window["errors"]) == (4, 3)
    assert sum(window["durations"]) == 4
    assert len(traced.spans()) == 2


def test_an_observed_root_wakes_the_thread_that_looks_at_the_window(core: Any) -> None:
    woken: list[int] = []
    ring = core.ring.Ring()
    recorder = core.span.Recorder(ring, thresholds=(THRESHOLD_NEVER,) * 5, on_first_record=lambda: woken.append(1))
    recorder.observe = True
    tracer = core.span.Tracer(InstrumentationScope("test"), recorder)
    tracer.start_span("root").end()
    assert woken == [1]
    recorder.consumer_running = True
    tracer.start_span("root").end()
    assert woken == [1]


@given(st.integers(0, 2**63))
def test_buckets_of_durations_are_ordered_and_bound_from_below(ns: int) -> None:
    bucket = duration_bucket(ns)
    assert duration_of(bucket) <= ns
    assert ns < duration_of(bucket + 1) or ns >= 2**40
    assert duration_bucket(duration_of(bucket)) == bucket


def test_both_put_durations_into_the_buckets_of_the_layout(core: Any) -> None:
    for ns in [0, 1, 1023, 1024, 1279, 1280, 10**6, 2**40 - 1, 2**40, 2**50]:
        traced = Traced(core)
        traced.recorder.observe = True
        span = traced.tracer.start_span("root", start_time=1000)
        span.end(1000 + ns)
        durations = traced.recorder.window()["durations"]
        assert durations[duration_bucket(ns)] == 1 == sum(durations)


@given(header=st.text(st.sampled_from("ot=h:c;rv,ab 1"), max_size=40))
def test_any_tracestate_takes_a_threshold(header: str) -> None:
    changed = with_threshold(header, "th:c")
    assert changed is not None
    assert (TraceState(changed).get("ot") or "").startswith("th:c")
    assert "th:" not in (TraceState(with_threshold(changed, None) or "").get("ot") or "")
