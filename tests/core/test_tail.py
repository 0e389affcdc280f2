"""Tail rules that one span decides: bits in records, and a verdict that travels."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced import FixedIds, Traced

from fasttrace._core.layout import (
    RECORD_FLAG_LOCAL_ROOT,
    RECORD_FLAG_SAMPLED,
    RECORD_HEADER,
    TAIL_CALLEE,
    TAIL_KEEP,
    THRESHOLD_NEVER,
)
from fasttrace._core.types import StatusCode

HEAD_SAYS_NO = (THRESHOLD_NEVER, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER)
RULES = (
    ("latency", 1, 2_000_000_000),
    ("error", 2),
    ("http_5xx", 3),
    ("exception", 4),
    ("attribute", 5, "user.tier", ("gold", "platinum"), None, None),
    ("attribute", 6, "queue.depth", None, 10, None),
    ("attribute", 7, "present", None, None, None),
    ("attribute", 8, "number", (1, 2.5, True), None, None),
    ("attribute", 9, "range", None, -1.5, 7),
)


def tailed(core: Any, rules: Any = RULES, **arguments: Any) -> Traced:
    arguments.setdefault("thresholds", HEAD_SAYS_NO)
    traced = Traced(core, **arguments)
    traced.recorder.tail_rules = rules
    traced.recorder.record_unsampled = True
    return traced


def headers(traced: Traced) -> list[tuple[Any, ...]]:
    """The headers of what waits."""
    data, found, at = traced.records(), [], 0
    while at < len(data):
        found.append(RECORD_HEADER.unpack_from(data, at))
        at += found[-1][3]
    return found


def bits(traced: Traced) -> list[int]:
    return [header[6] for header in headers(traced)]


def test_spans_of_a_trace_that_the_head_leaves_out_are_recorded_without_the_flag(core: Any) -> None:
    traced = tailed(core)
    with traced.tracer.start_as_current_span("root") as root, traced.tracer.start_as_current_span("child") as child:
        assert root.is_recording()
        assert child.is_recording()
        assert not (root.sampled or child.sampled)
        assert child.parent_span_id == root.span_id
    found = headers(traced)
    assert [header[2] for header in found] == [0, RECORD_FLAG_LOCAL_ROOT]
    counters = traced.recorder.counters()
    assert (counters["started"], counters["sampled_out"]) == (2, 0)
    remote = core.context.SpanContext(5, 6, True, 1)
    traced.tracer.start_span("sampled", context=remote).end()
    assert headers(traced)[0][2] & RECORD_FLAG_SAMPLED


def one(core: Any, attributes: dict[str, Any]) -> int:
    traced = tailed(core)
    span = traced.tracer.start_span("span", attributes=attributes, start_time=10)
    span.end(20)
    (found,) = bits(traced)
    return found


@pytest.mark.parametrize(("attributes", "rules"), [
    ({}, []), ({"http.response.status_code": 500}, [3]), ({"http.response.status_code": 499}, []),
    ({"http.response.status_code": "500"}, []), ({"user.tier": "gold"}, [5]), ({"user.tier": "silver"}, []),
    ({"user.tier": b"gold"}, []), ({"queue.depth": 10}, [6]), ({"queue.depth": 9.99}, []), ({"queue.depth": "11"}, []),
    ({"queue.depth": True}, []), ({"queue.depth": float("nan")}, []), ({"present": ""}, [7]), ({"present": None}, [7]),
    ({"number": 1}, [8]), ({"number": 1.0}, [8]), ({"number": 2.5}, [8]), ({"number": True}, [8]), ({"number": 2}, []),
    ({"number": False}, []), ({"range": -1.5}, [9]), ({"range": 7}, [9]), ({"range": 7.1}, []), ({"range": -2}, []),
    ({"present": 1, "range": 1, "user.tier": "platinum"}, [5, 7, 9]),
])  # fmt: skip
def test_attributes_meet_their_rules(core: Any, attributes: dict[str, Any], rules: list[int]) -> None:
    assert one(core, attributes) == sum(1 << bit for bit in rules)


def test_durations_meet_latency_rules_from_the_limit_on(core: Any) -> None:
    for length, expected in ((1_999_999_999, 0), (2_000_000_000, 2), (10**12, 2)):
        traced = tailed(core)
        traced.tracer.start_span("span", start_time=1000).end(1000 + length)
        assert bits(traced) == [expected]


def test_errors_and_exceptions_meet_their_rules(core: Any) -> None:
    traced = tailed(core)
    traced.tracer.start_span("fine").end()
    span = traced.tracer.start_span("error")
    span.set_status(StatusCode.ERROR)
    span.end()
    span = traced.tracer.start_span("handled exception")
    span.record_exception(ValueError())
    span.end()
    with pytest.raises(ValueError, match="x"), traced.tracer.start_as_current_span("exception"):
        raise ValueError("x")
    assert bits(traced) == [0, 4, 16, 20]


def test_what_one_span_decides_is_seen_by_all_that_end_later_in_the_local_root(core: Any) -> None:
    traced = tailed(core)
    tracer = traced.tracer
    with tracer.start_as_current_span("root"):
        tracer.start_span("early").end()
        with tracer.start_as_current_span("failing") as failing:
            failing.set_status(StatusCode.ERROR)
        tracer.start_span("late").end()
        other = tracer.start_span("another root", context=core.context.Context())
        other.end()
    assert bits(traced) == [0, 4, 4, 0, 4]


def test_the_verdict_travels_with_calls_made_after_it(core: Any) -> None:
    traced = tailed(core)
    headers_of = core.headers
    with traced.tracer.start_as_current_span("root") as root:
        context = core.context.Context(root, {"user": "7"})
        carrier: dict[str, str] = {}
        headers_of.inject_w3c(carrier)
        assert carrier["traceparent"].endswith(("-00", "-02"))
        with traced.tracer.start_as_current_span("child") as child:
            child.set_status(StatusCode.ERROR, "no stock")
            headers_of.inject_w3c(carrier)
            assert carrier["traceparent"].endswith(("-01", "-03"))
        assert headers_of.format_traceparent(root).endswith(("-01", "-03"))
        assert headers_of.format_b3(root).endswith("-1")
        assert headers_of.encode_binary(context)[-1] == 1
        assert root.sampled
        assert root.get_span_context().sampled
        assert context.sampled
        assert context.span_context.sampled
        assert core.context.Context(root, sampled=False).sampled is False
        assert not core.context.Context(traced.tracer.start_span("other", context=core.context.Context())).sampled


def test_keeping_a_trace_marks_it_for_its_reason(core: Any) -> None:
    traced = tailed(core)
    with traced.tracer.start_as_current_span("root") as root:
        traced.tracer.start_span("before").end()
        assert root._keep(TAIL_KEEP)
        assert root._keep(TAIL_CALLEE)
        assert root.sampled
    assert bits(traced) == [0, TAIL_KEEP | TAIL_CALLEE]


def test_keeping_a_trace_without_tail_rules_samples_from_here_on(make_traced: Any) -> None:
    traced = make_traced(thresholds=HEAD_SAYS_NO)
    with traced.tracer.start_as_current_span("root") as root:
        assert root._keep(TAIL_KEEP) is False
        with traced.tracer.start_as_current_span("child") as child:
            assert child.is_recording()
            assert child._keep(TAIL_KEEP) is True
    assert [span.name for span in traced.spans()] == ["child"]
    nothing = core_current(traced)
    assert nothing._keep(TAIL_KEEP) is False
    assert not nothing.sampled


def core_current(traced: Traced) -> Any:
    return traced.core.span.current_span()


def test_routes_have_a_number_on_local_roots(core: Any) -> None:
    traced = tailed(core)
    names = [("GET", {"http.route": "/orders/{id}"}), ("/orders/{id}", {}), ("GET", {}), ("GET", {"http.route": 5})]
    for name, attributes in names:
        with traced.tracer.start_as_current_span(name, attributes=attributes):
            traced.tracer.start_span("child").end()
    found = [header[7] for header in headers(traced)]
    assert found[::2] == [0] * 4
    assert found[1] == found[3] != found[5] == found[7]
    assert all(found[1::2])


@pytest.mark.parametrize("rule", [
    (), ("latency",), ("latency", 1), ("latency", 0, 5), ("latency", 28, 5), ("latency", 1, -1), ("latency", 1, 1.5),
    ("latency", True, 5), ("error", 1, 2), ("unknown", 1), ("attribute", 1, "k", ["v"], None, None), (None, 1),
    ("attribute", 1, b"k", None, None, None), ("attribute", 1, "k", (b"v",), None, None), ([], 1),
    ("attribute", 1, "k", None, "1", None),
])  # fmt: skip
def test_rules_are_checked(core: Any, rule: Any) -> None:
    traced = tailed(core)
    with pytest.raises(ValueError, match="tail rule"):
        traced.recorder.tail_rules = (("error", 2), rule)
    assert traced.recorder.tail_rules == RULES


VALUES = st.one_of(st.text(max_size=3), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(), st.none())
SCALARS = st.one_of(st.text(max_size=3), st.booleans(), st.integers(-3, 3), st.integers(), st.floats())
BOUNDS = st.none() | st.integers(-3, 3) | st.floats()
ATTRIBUTE_RULES = st.lists(
    st.tuples(st.sampled_from("abc"), st.none() | st.lists(SCALARS, max_size=3).map(tuple), BOUNDS, BOUNDS), max_size=27
)


@given(rules=ATTRIBUTE_RULES, attributes=st.dictionaries(st.sampled_from(["a", "b", "c", "http.route"]), VALUES))
def test_twins_write_the_same_bits_and_routes(both: Any, rules: list[Any], attributes: dict[str, Any]) -> None:
    plain = [("attribute", 1 + index, *rule) for index, rule in enumerate(rules)]
    seen = []
    for core in both:
        traced = tailed(core, plain, id_generator=FixedIds())
        traced.tracer.start_span("näme \ud800", attributes=attributes, start_time=5).end(9)
        seen.append(headers(traced))
    assert seen[0] == seen[1]


def test_threads_that_end_spans_of_one_trace_lose_no_bit(core: Any) -> None:
    rules = [("attribute", 1 + index, f"thread {index}", None, None, None) for index in range(8)]
    for _ in range(20):
        traced = tailed(core, rules)
        root = traced.tracer.start_span("root")

        def work(number: int, traced: Traced = traced, root: Any = root) -> None:
            traced.tracer.start_span("child", context=root, attributes={f"thread {number}": 1}).end()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        root.end()
        (found,) = (header[6] for header in headers(traced) if header[2] & RECORD_FLAG_LOCAL_ROOT)
        assert found == 0x1FE
