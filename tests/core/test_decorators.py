"""``@tracer.start_as_current_span`` on functions of every kind."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fasttrace._core.types import StatusCode


def test_a_function_runs_in_a_fresh_span_each_time(traced: Any) -> None:
    @traced.tracer.start_as_current_span("operation", attributes={"kind": "function"})
    def double(number: int) -> int:
        """Twice the number."""
        assert traced.core.span.current_span().name == "operation"
        return 2 * number

    assert [double(2), double(number=3)] == [4, 6]
    assert (double.__name__, double.__doc__) == ("double", "Twice the number.")
    first, second = traced.spans()
    assert first.span_id != second.span_id
    assert first.attributes == second.attributes == {"kind": "function"}


def test_recursion_nests(traced: Any) -> None:
    @traced.tracer.start_as_current_span("level")
    def down(level: int) -> None:
        if level:
            down(level - 1)

    down(2)
    inner, middle, outer = traced.spans()
    assert (inner.parent_span_id, middle.parent_span_id, outer.parent_span_id) == (middle.span_id, outer.span_id, "")


def test_coroutines_stay_coroutines(traced: Any) -> None:
    @traced.tracer.start_as_current_span("operation")
    async def fail() -> None:
        await asyncio.sleep(0)
        assert traced.core.span.current_span().name == "operation"
        raise ValueError("x")

    assert inspect.iscoroutinefunction(fail)
    with pytest.raises(ValueError, match="x"):
        asyncio.run(fail())
    assert traced.span().status.status_code is StatusCode.ERROR


def test_a_generator_is_current_only_while_its_frame_runs(traced: Any) -> None:
    @traced.tracer.start_as_current_span("generator")
    def numbers(count: int) -> Iterator[int]:
        for number in range(count):
            assert traced.core.span.current_span().name == "generator"
            yield number

    assert inspect.isgeneratorfunction(numbers)
    with traced.tracer.start_as_current_span("consumer"):
        for _ in numbers(3):
            assert traced.core.span.current_span().name == "consumer"
            with traced.tracer.start_as_current_span("work"):
                pass
    spans = {span.name: span for span in traced.spans()}
    assert spans["work"].parent_span_id == spans["generator"].parent_span_id == spans["consumer"].span_id


def test_generators_keep_send_throw_return_and_close(traced: Any) -> None:
    @traced.tracer.start_as_current_span("generator")
    def echo() -> Iterator[Any]:
        received = []
        while True:
            try:
                item = yield received
            except KeyError as error:
                item = error
            if item is None:
                return "done"
            received.append(item)

    generator: Any = echo()
    assert next(generator) == []
    assert generator.send("a") == ["a"]
    thrown = KeyError("b")
    assert generator.throw(thrown) == ["a", thrown]
    with pytest.raises(StopIteration, match="done"):
        generator.send(None)
    closed = echo()
    next(closed)  # type: ignore[call-overload]
    closed.close()  # type: ignore[attr-defined]
    assert len(traced.spans()) == 2
    assert traced.recorder.counters()["active"] == 0


def test_an_error_inside_a_generator_is_recorded(traced: Any) -> None:
    @traced.tracer.start_as_current_span("generator")
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        list(broken())
    assert traced.span().status.status_code is StatusCode.ERROR


def test_async_generators(traced: Any) -> None:
    @traced.tracer.start_as_current_span("async generator")
    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0)
            assert traced.core.span.current_span().name == "async generator"
            yield number

    assert inspect.isasyncgenfunction(numbers)

    async def main() -> None:
        with traced.tracer.start_as_current_span("consumer"):
            seen = []
            async for number in numbers(3):
                assert traced.core.span.current_span().name == "consumer"
                seen.append(number)
            assert seen == [0, 1, 2]
            early = numbers(3)
            await anext(early)
            await early.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    assert sorted(span.name for span in traced.spans()) == ["async generator", "async generator", "consumer"]


def test_methods_and_class_methods(traced: Any) -> None:
    class Shop:
        @traced.tracer.start_as_current_span("method")
        def method(self) -> Any:
            return self

        @classmethod
        @traced.tracer.start_as_current_span("class method")
        def make(cls) -> Any:
            return cls()

    shop = Shop.make()
    assert shop.method() is shop
    assert [span.name for span in traced.spans()] == ["class method", "method"]
