"""What a span does: times, attributes, events, links, exceptions, status, and nothing after its end."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced import FixedIds, Traced
from values import NASTY, NASTY_KEYS, Broken, Chatty, Text

from fasttrace._core import exceptions
from fasttrace._core.types import Link, SpanKind, SpanLimits, Status, StatusCode


def test_a_span_times_its_block(traced: Any) -> None:
    before = time.time_ns()
    with traced.tracer.start_as_current_span("sleep"):
        time.sleep(0.01)
    after = time.time_ns()
    span = traced.span()
    slack = 200_000_000  # a wall clock step shows at new local roots after at most 100 ms
    assert before - slack <= span.start_time_ns <= after + slack
    assert 10_000_000 <= span.duration_ns <= after - before + 1_000_000


def test_a_child_lies_within_its_parent(traced: Any) -> None:
    with traced.tracer.start_as_current_span("parent"):
        with traced.tracer.start_as_current_span("child"):
            pass
    child, parent = traced.spans()
    assert (child.name, child.parent_span_id, child.trace_id) == ("child", parent.span_id, parent.trace_id)
    assert parent.start_time_ns <= child.start_time_ns <= child.end_time_ns <= parent.end_time_ns
    assert parent.parent_span_id == ""


def test_explicit_times_are_taken_and_an_end_before_the_start_is_moved(traced: Any) -> None:
    traced.tracer.start_span("explicit", start_time=10**18).end(10**18 + 5)
    traced.tracer.start_span("backwards", start_time=10**18).end(1)
    explicit, backwards = traced.spans()
    assert (explicit.start_time_ns, explicit.duration_ns) == (10**18, 5)
    assert (backwards.start_time_ns, backwards.duration_ns) == (10**18, 0)


@pytest.mark.parametrize("bad", [-1, 2**63, 1.5, "now", object(), True])
def test_times_that_are_none_are_ignored(traced: Any, bad: Any) -> None:
    span = traced.tracer.start_span("operation", start_time=bad)
    assert abs(span.start_time_ns - time.time_ns()) < 10**10
    span.add_event("event", None, bad)
    span.end(bad)
    found = traced.span()
    assert found.start_time_ns <= found.end_time_ns
    assert abs(found.events[0].time_ns - time.time_ns()) < 10**10


def test_attributes_keep_their_order_and_the_last_value(traced: Any) -> None:
    with traced.tracer.start_as_current_span("operation", attributes={"a": 1, "b": 2}) as span:
        span.set_attribute("c", 3)
        span.set_attribute("a", 4)
        span.set_attributes({"d": [1, "x"], "b": None})
        assert span.attributes == {"a": 4, "b": None, "c": 3, "d": (1, "x")}
    assert list(traced.span().attributes.items()) == [("a", 4), ("b", None), ("c", 3), ("d", [1, "x"])]


def test_a_value_is_taken_as_it_is_when_set(traced: Any) -> None:
    numbers, mapping = [1, 2], {"k": [1]}
    with traced.tracer.start_as_current_span("operation") as span:
        span.set_attribute("numbers", numbers)
        span.set_attribute("mapping", mapping)
        numbers.append(3)
        mapping["k"].append(2)
        mapping["other"] = []
    assert traced.span().attributes == {"numbers": [1, 2], "mapping": {"k": [1]}}


def test_values_of_other_types_become_what_they_stand_for(traced: Any) -> None:
    with traced.tracer.start_as_current_span("operation") as span:
        span.set_attribute("subclass", Text("text"))
        span.set_attribute("object", Chatty())
        span.set_attribute("large", 2**70)
        span.set_attribute("kind", SpanKind.CLIENT)
        span.set_attribute("set", {1})
        span.set_attribute("bytes", bytearray(b"x"))
    found = traced.span()
    assert found.attributes == {
        "subclass": "text",
        "object": "chatty",
        "large": str(2**70),
        "kind": 2,
        "set": [1],
        "bytes": b"x",
    }
    assert found.dropped_attributes_count == 0


def test_what_is_no_attribute_is_dropped_and_counted(traced: Any) -> None:
    with traced.tracer.start_as_current_span("operation") as span:
        span.set_attribute("", 1)
        span.set_attribute(7, 1)
        span.set_attribute(None, 1)
        span.set_attribute("broken", Broken())
        span.set_attributes({"fine": 1, 3: 2})
        span.set_attributes(7)
    found = traced.span()
    assert found.attributes == {"fine": 1}
    assert found.dropped_attributes_count == 6


def test_a_value_that_ends_its_own_span_does_no_harm(traced: Any) -> None:
    class Ending:
        def __str__(self) -> str:
            span.end()
            return "ended"

    span = traced.tracer.start_span("operation")
    span.set_attribute("ending", Ending())
    span.add_event("event", {"ending": Ending()})
    assert traced.span().attributes == {}
    assert traced.recorder.counters()["active"] == 0


def test_nothing_is_set_after_the_value_that_ended_the_span(traced: Any) -> None:
    class Ending:
        def __str__(self) -> str:
            span.end()
            return "ended"

    class Processor:
        def on_start(self, span: Any, parent: Any) -> None: ...

        def on_ending(self, span: Any) -> None: ...

        def on_end(self, span: Any) -> None: ...

    traced.recorder.processor = Processor()  # what has ended keeps its contents for it
    span = traced.tracer.start_span("operation")
    span.set_attributes({"before": "x", "ending": Ending(), "text": "x", "number": 1, "flag": True, "ratio": 0.5})
    assert traced.span().attributes == span.attributes == {"before": "x"}


def test_calls_after_the_end_are_ignored(traced: Any) -> None:
    span = traced.tracer.start_span("operation", attributes={"kept": 1})
    span.end()
    end = span.end_time_ns
    span.set_attribute("late", 1)
    span.set_attributes({"late": 1})
    span.add_event("late")
    span.add_link(span.get_span_context())
    span.record_exception(ValueError("late"))
    span.set_status(StatusCode.ERROR)
    span.update_name("late")
    span.end()
    assert not span.is_recording()
    assert span.end_time_ns == end
    found = traced.span()
    assert (found.name, found.attributes, found.events, found.links) == ("operation", {"kept": 1}, [], [])
    assert found.status.status_code is StatusCode.UNSET
    assert span.get_span_context().is_valid


def test_events_and_links_are_kept_in_order(traced: Any) -> None:
    context = traced.core.context.SpanContext(1, 2, True, 1, "a=1")
    with traced.tracer.start_as_current_span("operation", links=[Link(context), (context, {"tuple": True})]) as span:
        span.add_event("first", {"n": 1}, 5)
        span.add_event("second")
        span.add_link(context, {"later": 1})
        span.add_link(traced.core.context.SpanContext(0, 0))  # invalid and empty: ignored
        span.add_link(traced.core.context.SpanContext(0, 0), {"kept": 1})
        span.add_link(object())
    found = traced.span()
    assert [(event.name, event.attributes) for event in found.events] == [("first", {"n": 1}), ("second", {})]
    assert found.events[0].time_ns == 5
    assert [link.attributes for link in found.links] == [{}, {"tuple": True}, {"later": 1}, {"kept": 1}]
    assert found.links[0].trace_state == "a=1"


def test_an_exception_that_leaves_the_block_is_recorded(traced: Any) -> None:
    with pytest.raises(ZeroDivisionError), traced.tracer.start_as_current_span("operation"):
        1 / 0  # noqa: B018
    found = traced.span()
    assert (found.status.status_code, found.status.description) == (
        StatusCode.ERROR,
        "ZeroDivisionError: division by zero",
    )
    (event,) = found.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "ZeroDivisionError"
    assert event.attributes["exception.message"] == "division by zero"
    assert "1 / 0" in event.attributes["exception.stacktrace"]


def test_a_traceback_is_formatted_once_for_all_spans_that_its_exception_leaves(
    traced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    formatted = []
    original = exceptions._learn
    monkeypatch.setattr(exceptions, "_learn", lambda *given: formatted.append(given) or original(*given))

    def nested(depth: int, error: Exception) -> None:
        with traced.tracer.start_as_current_span(f"{depth}"):
            if depth == 0:
                raise error
            nested(depth - 1, error)

    for error in (ValueError("x"), ValueError("x")):
        with pytest.raises(ValueError, match="x"):
            nested(3, error)
    stacks = [span.events[0].attributes["exception.stacktrace"] for span in traced.spans()]
    assert stacks[:4] == [stacks[0]] * 4
    assert len(formatted) == 1, "for the innermost span, and the second one comes the same way"
    assert "raise error" in stacks[0]


def test_no_exception_gets_the_traceback_of_one_that_has_gone(traced: Any) -> None:
    """They may have the same type, message and address."""

    def first() -> None:
        raise ValueError("x")

    def second() -> None:
        raise ValueError("x")

    for number in range(100):
        name = ("first", "second")[number % 2]
        with pytest.raises(ValueError, match="x"), traced.tracer.start_as_current_span(name):
            (first, second)[number % 2]()
    for span in traced.spans():
        assert f"in {span.name}\n" in span.events[0].attributes["exception.stacktrace"]
    noted = ValueError("x")
    for note in ("said at once", "said later"):
        noted.add_note(note)
        with pytest.raises(ValueError, match="x"), traced.tracer.start_as_current_span("noted"):
            raise noted
        assert note in traced.span().events[0].attributes["exception.stacktrace"]


def test_recording_and_status_can_be_switched_off(traced: Any) -> None:
    with (
        pytest.raises(ValueError, match="x"),
        traced.tracer.start_as_current_span("operation", record_exception=False, set_status_on_exception=False),
    ):
        raise ValueError("x")
    found = traced.span()
    assert found.events == []
    assert found.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, __import__("asyncio").CancelledError])
def test_cancellation_and_exits_are_no_errors(traced: Any, error: type[BaseException]) -> None:
    with pytest.raises(error), traced.tracer.start_as_current_span("operation"):
        raise error
    found = traced.span()
    assert found.events == []
    assert found.status.status_code is StatusCode.UNSET


def test_an_exception_whose_text_raises_is_recorded_without_it(traced: Any) -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(Rude), traced.tracer.start_as_current_span("operation"):
        raise Rude
    found = traced.span()
    assert found.status.status_code is StatusCode.ERROR
    assert found.events[0].attributes["exception.type"].endswith("Rude")


def test_record_exception_takes_attributes_and_time(traced: Any) -> None:
    with traced.tracer.start_as_current_span("operation") as span:
        span.record_exception(ValueError("x"), {"exception.message": "mine", "more": 1}, 5, True)
    (event,) = traced.span().events
    assert event.time_ns == 5
    assert (event.attributes["exception.message"], event.attributes["more"]) == ("mine", 1)
    assert event.attributes["exception.escaped"] == "True"


STATUS = {
    "error": ([(StatusCode.ERROR, "why")], StatusCode.ERROR, "why"),
    "ok": ([(StatusCode.OK, "ignored")], StatusCode.OK, None),
    "unset is ignored": ([(StatusCode.ERROR, "why"), (StatusCode.UNSET, None)], StatusCode.ERROR, "why"),
    "ok is final": ([(StatusCode.OK, None), (StatusCode.ERROR, "late")], StatusCode.OK, None),
    "ok wins over error": ([(StatusCode.ERROR, "why"), (StatusCode.OK, None)], StatusCode.OK, None),
    "error again": ([(StatusCode.ERROR, "why"), (StatusCode.ERROR, "more")], StatusCode.ERROR, "more"),
    "status object": ([(Status(StatusCode.ERROR, "object"), None)], StatusCode.ERROR, "object"),
    "nonsense": ([("error", None), (7, None), (None, None), (object(), None)], StatusCode.UNSET, None),
}


@pytest.mark.parametrize("case", STATUS)
def test_status_follows_the_specification(traced: Any, case: str) -> None:
    calls, code, description = STATUS[case]
    with traced.tracer.start_as_current_span("operation") as span:
        for status, text in calls:
            span.set_status(status, text)
        assert span.status.status_code is code
    found = traced.span()
    assert found.status.status_code is code
    assert (found.status.description or None) == description


def test_reads_say_what_was_set(traced: Any) -> None:
    with traced.tracer.start_as_current_span("operation", kind=SpanKind.PRODUCER) as span:
        span.update_name("renamed")
        assert span.name == "renamed"
        assert span.kind is SpanKind.PRODUCER
        assert span.end_time_ns is None
        assert span.parent_span_id == 0
        assert span.sampled
        assert span.scope.name == "library"
        assert span.get_span_context().trace_id == span.trace_id
        assert f"{span.trace_id:032x}" == span.trace_id_hex
        assert "renamed" in repr(span)
    assert span.end_time_ns >= span.start_time_ns
    assert traced.span().kind is SpanKind.PRODUCER


def test_names_and_kinds_of_any_type_are_taken(traced: Any) -> None:
    for name, kind in ((Text("text"), 3), (Chatty(), "server"), (Broken(), 99), (None, None), ("", SpanKind.SERVER)):
        traced.tracer.start_span(name, kind=kind).end()
    assert [(span.name, int(span.kind)) for span in traced.spans()] == [
        ("text", 3),
        ("chatty", 0),
        ("", 0),
        ("None", 0),
        ("", 1),
    ]


def test_limits_drop_and_count(make_traced: Any) -> None:
    limits = SpanLimits(
        max_span_attributes=2,
        max_events=1,
        max_links=1,
        max_event_attributes=1,
        max_link_attributes=0,
        max_attribute_length=4,
    )
    traced = make_traced(limits=limits)
    context = traced.core.context.SpanContext(1, 2)
    with traced.tracer.start_as_current_span("operation") as span:
        span.set_attributes({"a": "12345", "b": ["123456", b"12345", 7], "c": 1})
        span.set_attribute("a", "again and again")
        span.add_event("first", {"x": "12345", "y": 1})
        span.add_event("second")
        span.add_link(context, {"x": 1})
        span.add_link(context)
    found = traced.span()
    assert found.attributes == {"a": "agai", "b": ["1234", b"1234", 7]}
    assert found.dropped_attributes_count == 1
    assert [(event.name, event.attributes, event.dropped_attributes_count) for event in found.events] == [
        ("first", {"x": "1234"}, 1)
    ]
    assert found.dropped_events_count == 1
    assert [(link.attributes, link.dropped_attributes_count) for link in found.links] == [({}, 1)]
    assert found.dropped_links_count == 1


def test_many_attributes_keep_their_places_when_they_are_set_again(make_traced: Any) -> None:
    traced = make_traced(limits=SpanLimits(max_span_attributes=300))
    expected: dict[str, Any] = {}
    with traced.tracer.start_as_current_span("operation") as span:
        for turn, number in enumerate([*range(17), 3, *range(350), 299, *range(0, 300, 7)]):
            key = f"key {number}"  # each time another object
            if key in expected or len(expected) < 300:
                expected[key] = turn
            span.set_attribute(key, turn)
        assert list(span.attributes.items()) == list(expected.items())
    found = traced.span()
    assert list(found.attributes.items()) == list(expected.items())
    assert found.dropped_attributes_count == 50


def test_default_limits_are_128(traced: Any) -> None:
    context = traced.core.context.SpanContext(1, 2)
    with traced.tracer.start_as_current_span("operation") as span:
        for number in range(130):
            span.set_attribute(f"key {number}", number)
            span.add_event("event")
            span.add_link(context)
    found = traced.span()
    assert (len(found.attributes), len(found.events), len(found.links)) == (128, 128, 128)
    assert (found.dropped_attributes_count, found.dropped_events_count, found.dropped_links_count) == (2, 2, 2)


def test_unlimited_spans_grow(make_traced: Any) -> None:
    limits = SpanLimits(max_span_attributes=None, max_events=None, max_links=None)
    traced = make_traced(limits=limits)
    with traced.tracer.start_as_current_span("operation") as span:
        for number in range(1000):
            span.set_attribute(f"key {number}", number)
            span.add_event("event", {"number": number})
    found = traced.span()
    assert found.attributes == {f"key {number}": number for number in range(1000)}
    assert [event.attributes["number"] for event in found.events] == list(range(1000))


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("set_attribute"), NASTY_KEYS, NASTY),
        st.tuples(st.just("set_attributes"), NASTY),
        st.tuples(st.just("add_event"), NASTY, st.none() | NASTY, st.integers(0, 2**63 - 1)),
        st.tuples(st.just("add_link"), st.sampled_from(["self", None, 7]), st.none() | NASTY),
        st.tuples(
            st.just("set_status"), st.sampled_from([*StatusCode, Status(StatusCode.ERROR, "x"), 9, "x", None]), NASTY
        ),
        st.tuples(st.just("update_name"), NASTY),
        st.tuples(
            st.just("record_exception"), st.sampled_from([ValueError("x"), KeyError()]), st.none() | NASTY, st.just(5)
        ),
        st.tuples(st.just("end"), st.integers(0, 2**63 - 1)),
        st.tuples(st.just("is_recording")),
        st.tuples(st.just("set_attribute")),  # too few arguments: a TypeError in both
        st.tuples(st.just("end"), st.just(1), st.just(2)),
    ),
    max_size=8,
)


@given(operations=OPERATIONS, name=NASTY, kind=NASTY, attributes=st.none() | NASTY, start=st.integers(0, 2**64))
def test_twins_do_the_same_whatever_is_called(
    both: Any, operations: list[Any], name: Any, kind: Any, attributes: Any, start: int
) -> None:
    results = []
    for core in both:
        traced = Traced(core, id_generator=FixedIds(), limits=SpanLimits(max_span_attributes=3, max_events=2))
        span = traced.tracer.start_span(name, None, kind, attributes, None, start % 2**63)
        seen: list[Any] = []
        for method, *arguments in operations:
            given_arguments = [span.get_span_context() if item == "self" else item for item in arguments]
            try:
                seen.append(getattr(span, method)(*given_arguments))
            except TypeError:
                seen.append(TypeError)
        span.end(start % 2**63 + 1)
        results.append((seen, traced.records(), traced.dropped(), repr(span.attributes), span.name))
    assert results[0] == results[1]
