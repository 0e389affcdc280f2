"""No function of the core leaks: neither memory nor, in a debug build of CPython, references; when it fails, no less."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from fasttrace._core.types import DecodeError, Link

ROUNDS = 100
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
# What is not a text, a mapping, a number or a record, where one is wanted.
HOSTILE = object()
pytestmark = pytest.mark.skipif(
    not hasattr(sys, "gettotalrefcount") and not sys.getallocatedblocks(),
    reason="CPython counts the blocks of its own allocator alone: PYTHONMALLOC chose another one",
)
REFUSALS = (TypeError, ValueError, DecodeError)


def held() -> int:
    """Blocks of memory that are in use; references, where CPython counts them all."""
    count: Callable[[], int] = getattr(sys, "gettotalrefcount", sys.getallocatedblocks)
    return count()


def ended_span(traced: Any) -> None:
    with suppress(ValueError), traced.tracer.start_as_current_span("a", attributes={"x": 1}) as span:
        span.set_attribute("key", ["one", 2.5, b"three", {"four": None}])
        span.set_attribute(HOSTILE, HOSTILE)
        span.add_event("event", {"a": 1})
        span.add_link(Link(traced.core.context.SpanContext(1, 2)))
        span.record_exception(ValueError("text"))
        raise ValueError
    traced.spans()


CALLS: dict[str, Callable[[Any, Any], object]] = {
    "ids": lambda core, _: (core.ids.generate_trace_id(), core.ids.generate_span_id()),
    "traceparent": lambda core, _: core.headers.parse_traceparent(TRACEPARENT, "a=1"),
    "a malformed traceparent": lambda core, _: core.headers.parse_traceparent("00-nonsense", HOSTILE),
    "b3": lambda core, _: core.headers.parse_b3("0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"),
    "a malformed b3": lambda core, _: core.headers.parse_b3("0af-1"),
    "binary": lambda core, _: core.headers.decode_binary(core.headers.encode_binary(core.context.SpanContext(1, 2))),
    "a malformed binary header": lambda core, _: core.headers.decode_binary(b"\0\0short"),
    "a carrier": lambda core, _: core.headers.extract_w3c({"traceparent": TRACEPARENT}),
    "a carrier that is none": lambda core, _: core.headers.extract_w3c(HOSTILE),
    "headers written": lambda core, _: core.headers.inject_w3c({}, core.context.SpanContext(1, 2)),
    "attributes": lambda core, _: core.otlp.encode_attributes({"a": [1, "two", 3.0, b"4", {"five": None}]}),
    "attributes that are none": lambda core, _: core.otlp.encode_attributes({"a": HOSTILE, HOSTILE: 1}),
    "records that are none": lambda core, _: core.otlp.count_records(b"no record"),
    "bytes that are no span": lambda core, _: core.decode.decode_span(b"\x0a\xff\xff"),
    "bytes that are no request": lambda core, _: core.decode.decode_request(b"\x0a\x02\x12\x7f"),
    "a context": lambda core, _: core.context.Context(core.context.SpanContext(1, 2), {"user": "x"}),
    "a context of nonsense": lambda core, _: core.context.Context(HOSTILE),
    "a span": lambda _, traced: ended_span(traced),
}


@pytest.fixture(autouse=True)
def collections_look_at_what_is_new() -> Iterator[None]:
    gc.freeze()
    yield
    gc.unfreeze()


def growth(call: Callable[[], object]) -> int:
    """By how much more is held after so many calls, the caches having filled."""

    def rounds() -> None:
        for _ in range(ROUNDS):
            with suppress(*REFUSALS):
                call()
        gc.collect()

    rounds()
    grown = []
    for _ in range(3):
        before = held()
        rounds()
        grown.append(held() - before)
    return min(grown)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_no_call_leaks(core: Any, traced: Any, call: Callable[[Any, Any], object]) -> None:
    assert growth(lambda: call(core, traced)) < ROUNDS // 2


def test_a_leak_is_seen() -> None:
    leaked: list[object] = []
    assert growth(lambda: leaked.append(object())) >= ROUNDS
