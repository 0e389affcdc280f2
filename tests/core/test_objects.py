"""Span objects as Python objects: how a block is entered, what a call does, and that the next span inherits nothing."""

from __future__ import annotations

import contextlib
import gc
import inspect
import weakref
from typing import Any

import pytest
from traced import SCOPE, Traced

from fasttrace._core.types import SpanKind, Status, StatusCode


def test_a_block_may_be_entered_by_its_methods(traced: Any, core: Any) -> None:
    span = traced.tracer.start_as_current_span("by hand")
    assert span.__enter__() is span
    assert core.context.current_node() is span
    assert span.__exit__(None, None, None) is None
    assert core.context.current_node() is None
    with contextlib.ExitStack() as stack:  # looks both up on the type
        assert stack.enter_context(traced.tracer.start_as_current_span("by a stack")).is_recording()
    span = type(span).__enter__(traced.tracer.start_as_current_span("by the type"))
    error = ValueError("wrong")
    type(span).__exit__(span, ValueError, error, None)
    assert [(found.name, found.status.status_code) for found in traced.spans()] == [
        ("by hand", StatusCode.UNSET),
        ("by a stack", StatusCode.UNSET),
        ("by the type", StatusCode.ERROR),
    ]


def test_the_methods_of_a_block_are_described(core: Any) -> None:
    for name, parameters in (("__enter__", ["self"]), ("__exit__", ["self", "exc_type", "exc", "traceback"])):
        method = getattr(core.span.Span, name)
        assert method.__name__ == name
        assert list(inspect.signature(method).parameters) == parameters


@pytest.mark.parametrize("arguments", [(), (None, None), (None, None, None), (1, 2, 3, 4)])
def test_a_span_is_called_with_a_function_only(traced: Any, arguments: tuple[Any, ...]) -> None:
    span = traced.tracer.start_as_current_span("operation")
    with pytest.raises(TypeError):
        span(*arguments)
    with pytest.raises(TypeError):
        span(function=print, other=1)
    assert not span.is_recording()
    traced.recorder.closed = True


def test_methods_of_a_block_are_for_spans(core: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        core.span.Span.__enter__(object())
    with pytest.raises(TypeError):
        core.span.Span.__exit__()


def test_subclasses_enter_and_leave_their_own_way(traced: Any, core: Any) -> None:
    steps = []

    class Own(core.span.Span):  # type: ignore[misc,name-defined]
        def __enter__(self) -> Any:
            steps.append("enter")
            return super().__enter__()

        def __exit__(self, *exception: Any) -> Any:
            steps.append("exit")
            return super().__exit__(*exception)

    class Called(core.span.Span):  # type: ignore[misc,name-defined]
        def __call__(self, *arguments: Any) -> Any:
            steps.append("call")
            return super().__call__(*arguments)

    class Plain(core.span.Span):  # type: ignore[misc,name-defined]
        pass

    for kind in (Own, Called, Plain):
        traced.recorder.span_type = kind
        with traced.tracer.start_as_current_span(kind.__name__) as span:
            assert type(span) is kind
    assert [span.name for span in traced.spans()] == ["Own", "Called", "Plain"]
    assert steps[:2] == ["enter", "exit"]


class Value:
    """Something that a weak reference can watch."""


def fill(tracer: Any, context: Any) -> None:
    """A span that uses all that a span can have, and ends by an exception."""
    with (
        contextlib.suppress(ValueError),
        tracer.start_as_current_span(
            "full",
            context=context,
            kind=SpanKind.SERVER,
            attributes={f"key{i}": i for i in range(20)},
            links=[(context, {"link": 1})],
            start_time=5,
        ) as span,
    ):
        span.add_event("event", {"a": 1})
        span.add_event("plain")
        span.add_link(context)
        raise ValueError("wrong")


def test_the_next_span_inherits_nothing(traced: Any, core: Any) -> None:
    """Objects and buffers are used again: whatever the last span had, the next one begins without."""
    remote = core.context.Context(
        core.context.SpanContext(1 << 64 | 7, 9, True, 1, "vendor=value"), baggage={"user": "1"}, values={"debug": "1"}
    )
    for _ in range(3):
        fill(traced.tracer, remote)
        span = traced.tracer.start_span("left open", context=remote, attributes={"open": 1})
        span.add_event("event")
        del span
        traced.tracer.start_as_current_span("never entered", attributes={"never": 1}, links=[(remote, None)])
        with traced.tracer.start_as_current_span("empty") as empty:
            assert empty.attributes == {} and empty.kind == SpanKind.INTERNAL
            assert empty._carried is None and empty._view is None
    gc.collect()
    assert traced.recorder.counters()["abandoned"] == 3
    found = [span for span in traced.spans() if span.name == "empty"]
    assert len(found) == 3
    for span in found:
        assert (span.attributes, span.events, span.links, span.parent_span_id) == ({}, [], [], "")
        assert (span.status, span.trace_state) == (Status(), "")
        assert span.kind == SpanKind.INTERNAL
        assert span.start_time_ns > 5


def test_a_span_lets_go_of_what_it_was_given(traced: Any) -> None:
    given = Value()
    gone = weakref.ref(given)
    span = traced.tracer.start_as_current_span("never entered", attributes={"given": given})
    del given
    assert gone() is not None
    del span
    gc.collect()
    assert gone() is None


def test_the_end_of_a_value_may_trace(traced: Any) -> None:
    """A destructor that runs while a span goes makes spans of its own, in the middle of it."""

    class Noisy:
        def __del__(self) -> None:
            with traced.tracer.start_as_current_span("destructor") as span:
                span.set_attribute("a", 1)

    for _ in range(100):
        traced.tracer.start_as_current_span("never entered", attributes={"noisy": Noisy()})
    gc.collect()
    found = traced.spans()
    assert [span.name for span in found] == ["destructor"] * 100
    assert all(span.attributes == {"a": 1} for span in found)


def test_spans_in_cycles_are_collected(traced: Any) -> None:
    """Also those whose object has been another span before."""
    for _ in range(100):
        with traced.tracer.start_as_current_span("before"):
            pass
    gone = []
    for _ in range(200):
        holder = {"value": Value()}
        gone.append(weakref.ref(holder["value"]))
        holder["span"] = traced.tracer.start_as_current_span("in a cycle", attributes={"holder": holder})
    del holder
    gc.collect()
    assert [reference() for reference in gone] == [None] * 200


@pytest.mark.parametrize("size", [10, 3_000, 5_000, 140_000])
def test_records_of_all_sizes_come_through_whole(core: Any, size: int) -> None:
    """Records are written where they stay in the ring, or copied there: round its end, and when they are large."""
    traced = Traced(core)
    traced.ring = core.ring.Ring(max_spans=100_000, max_bytes=1 << 26)
    traced.recorder = core.span.Recorder(traced.ring)
    traced.recorder.consumer_running = True
    tracer = core.span.Tracer(SCOPE, traced.recorder)
    count = max(2_500_000 // (size + 200), 20)
    for i in range(count):
        with tracer.start_as_current_span(f"span {i}") as span:
            span.set_attribute("text", "x" * (size + i % 7))
            span.add_event("event")
    assert traced.ring.depth_spans == count
    spans = traced.spans()
    assert [span.name for span in spans] == [f"span {i}" for i in range(count)]
    assert all(span.attributes == {"text": "x" * (size + i % 7)} for i, span in enumerate(spans))
    assert all([event.name for event in span.events] == ["event"] for span in spans)
    assert traced.ring.depth_spans == traced.ring.depth_bytes == 0


def test_the_next_span_is_recorded_in_full(traced: Any) -> None:
    """What was left out for detail is not left out of the span that the object is next."""
    traced.recorder.detail = 2
    with traced.tracer.start_as_current_span("bare") as span:
        span.set_attribute("a", 1)
        with traced.tracer.start_as_current_span("left out"):
            pass
    del span
    traced.recorder.detail = 0
    with traced.tracer.start_as_current_span("root") as span:
        span.set_attribute("a", 1)
        with traced.tracer.start_as_current_span("inner"):
            pass
    found = traced.spans()
    assert [span.name for span in found] == ["bare", "inner", "root"]
    assert found[2].attributes == {"a": 1}
