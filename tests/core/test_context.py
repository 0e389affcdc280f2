"""What is current: across blocks, threads, tasks, copied contexts and generators closed elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import logging
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest


def current_name(core: Any) -> str:
    """The name of the current span, "" when there is none."""
    name: str = core.span.current_span().name
    return name


def test_blocks_nest_and_restore(traced: Any) -> None:
    core, tracer = traced.core, traced.tracer
    assert current_name(core) == ""
    with tracer.start_as_current_span("outer") as outer:
        with tracer.start_as_current_span("inner"):
            assert current_name(core) == "inner"
        assert core.span.current_span() is outer
    assert current_name(core) == ""


def test_nothing_is_current_until_the_block_is_entered(traced: Any) -> None:
    waiting = traced.tracer.start_as_current_span("waiting")
    assert current_name(traced.core) == ""
    assert not waiting.is_recording()
    with waiting:
        assert current_name(traced.core) == "waiting"


def test_start_span_does_not_make_current_and_ends_its_own_block(traced: Any) -> None:
    with traced.tracer.start_span("aside"):
        assert current_name(traced.core) == ""
    assert traced.span().name == "aside"


def test_end_on_exit_can_be_switched_off(traced: Any) -> None:
    with traced.tracer.start_as_current_span("long", end_on_exit=False) as span:
        pass
    assert span.is_recording()
    assert current_name(traced.core) == ""
    span.end()
    assert traced.span().name == "long"


def test_threads_start_without_a_parent(traced: Any) -> None:
    seen: list[str] = []
    with traced.tracer.start_as_current_span("outer"):
        thread = threading.Thread(target=lambda: seen.append(current_name(traced.core)))
        thread.start()
        thread.join()
    assert seen == [""]


def test_copy_context_carries_the_span_into_a_thread(traced: Any) -> None:
    def work() -> None:
        with traced.tracer.start_as_current_span("in thread"):
            pass

    with traced.tracer.start_as_current_span("outer") as outer:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(work,))
        thread.start()
        thread.join()
        assert traced.core.span.current_span() is outer
    # Without a GIL each thread has a place of its own in the queue.
    inner, parent = sorted(traced.spans(), key=lambda span: span.name)
    assert (inner.name, inner.parent_span_id) == ("in thread", parent.span_id)


def test_tasks_have_their_own_current_span(traced: Any) -> None:
    async def work(name: str) -> None:
        with traced.tracer.start_as_current_span(name):
            for _ in range(3):
                await asyncio.sleep(0)
                assert current_name(traced.core) == name

    async def main() -> None:
        with traced.tracer.start_as_current_span("root"):
            await asyncio.gather(*(work(f"task {number}") for number in range(10)))
            assert current_name(traced.core) == "root"

    asyncio.run(main())
    spans = {span.name: span for span in traced.spans()}
    assert len(spans) == 11
    assert {span.parent_span_id for name, span in spans.items() if name != "root"} == {spans["root"].span_id}


def test_a_generator_closed_in_another_context_makes_no_noise(traced: Any, caplog: pytest.LogCaptureFixture) -> None:
    def numbers() -> Iterator[int]:
        with traced.tracer.start_as_current_span("generator"):
            yield 1
            yield 2

    generator = numbers()
    contextvars.copy_context().run(next, generator)
    with caplog.at_level(logging.DEBUG), traced.tracer.start_as_current_span("other"):
        generator.close()
        assert current_name(traced.core) == "other"
    assert current_name(traced.core) == ""
    assert caplog.records == []
    assert sorted(span.name for span in traced.spans()) == ["generator", "other"]


def test_an_async_generator_closed_by_the_loop_makes_no_noise(traced: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def numbers() -> AsyncIterator[int]:
        with traced.tracer.start_as_current_span("async generator"):
            yield 1
            yield 2

    async def main() -> None:
        generator = numbers()
        await asyncio.create_task(anext(generator))  # entered in another task
        del generator
        gc.collect()
        await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    # In development mode asyncio tells what was slow: the collection.
    assert [record for record in caplog.records if not record.msg.startswith("Executing")] == []
    assert [span.name for span in traced.spans()] == ["async generator"]


def test_blocks_left_out_of_order_leave_nothing_current(traced: Any) -> None:
    first = traced.tracer.start_as_current_span("first")
    second = traced.tracer.start_as_current_span("second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert current_name(traced.core) == "second"
    second.__exit__(None, None, None)
    assert {span.name for span in traced.spans()} == {"first", "second"}
    # What "second" replaced is over, but was current when it began; the block's own token puts it back.
    assert not traced.core.span.current_span().is_recording()
    traced.core.context.CURRENT.set(None)


def test_an_explicit_parent_wins_over_the_current_span(traced: Any) -> None:
    remote = traced.core.headers.parse_traceparent("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "a=1")
    with traced.tracer.start_as_current_span("outer") as outer:
        for parent in (remote, remote.span_context):
            with traced.tracer.start_as_current_span("inner", parent) as inner:
                assert inner.trace_id_hex == "ab" * 16
                assert inner.trace_state.to_header() == "a=1"
        with traced.tracer.start_as_current_span("inner", outer) as inner:
            assert inner.parent_span_id == outer.span_id


@pytest.mark.parametrize("nonsense", [7, "context", object(), {}, []])
def test_a_parent_that_is_none_is_ignored(traced: Any, nonsense: Any) -> None:
    with traced.tracer.start_as_current_span("outer") as outer:
        with traced.tracer.start_as_current_span("inner", nonsense) as inner:
            assert inner.parent_span_id == outer.span_id


def test_an_invalid_parent_starts_a_new_trace(traced: Any) -> None:
    invalid = traced.core.context.SpanContext(0, 7)
    with traced.tracer.start_as_current_span("outer") as outer:
        with traced.tracer.start_as_current_span("new", invalid) as span:
            assert span.trace_id != outer.trace_id
            assert span.parent_span_id == 0


def test_attach_and_detach(core: Any) -> None:
    context = core.context.Context(core.context.SpanContext(1, 2), {"user": "7"})
    token = core.context.attach(context)
    assert core.context.current_node() is context
    assert core.span.current_span().trace_id == 1
    assert not core.span.current_span().is_recording()
    core.context.detach(context, token)
    assert core.context.current_node() is None
    core.context.detach(context, token)  # a second time: nothing to undo


@pytest.mark.parametrize("node", [None, 7, "x", object()])
def test_only_nodes_can_be_attached(core: Any, node: Any) -> None:
    with pytest.raises(TypeError, match="neither a Span nor a Context"):
        core.context.attach(node)
    with pytest.raises(TypeError, match="neither a Span nor a Context"):
        core.context.detach(node, None)


def test_baggage_flows_to_children(traced: Any) -> None:
    context = traced.core.context.Context(None, {"tenant": "blue"})
    with traced.tracer.start_as_current_span("outer", context) as outer:
        with traced.tracer.start_as_current_span("inner") as inner:
            assert traced.core.context.Context(inner).baggage == {"tenant": "blue"}
    assert traced.core.context.Context(outer).baggage == {"tenant": "blue"}


def test_span_contexts_are_values(core: Any) -> None:
    make = core.context.SpanContext
    one = make(1, 2, True, 3, "a=1")
    assert one == make(1, 2, True, 3, "a=1")
    assert hash(one) == hash(make(1, 2, True, 3, "a=1"))
    others = [make(9, 2, True, 3, "a=1"), make(1, 9, True, 3, "a=1"), make(1, 2, False, 3, "a=1"), make(1, 2, True, 0)]
    assert one not in others
    assert one != "context"
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.copy(one) == one
    assert copy.deepcopy(one) == one
    with pytest.raises(AttributeError):
        one.trace_id = 5
    assert one.trace_id_hex == "0" * 31 + "1"
    assert one.trace_id_bytes == b"\0" * 15 + b"\1"
    assert one.span_id_bytes == b"\0" * 7 + b"\2"
    assert one.sampled
    assert one.is_valid
    assert repr(one).startswith("SpanContext(trace_id=0x")


@pytest.mark.parametrize("number", [-1, 2**128, None, "1", 1.5])
def test_ids_out_of_range_make_an_invalid_context(core: Any, number: Any) -> None:
    assert not core.context.SpanContext(number, 1).is_valid
    assert not core.context.SpanContext(1, number).is_valid


def test_twins_show_contexts_alike(both: list[Any]) -> None:
    arguments: list[tuple[Any, ...]] = [(1, 2), (2**128 - 1, 2**64 - 1, True, 255, "a=1"), (0, 0), (-1, 2**64)]
    for values in arguments:
        one, other = (core.context.SpanContext(*values) for core in both)
        assert repr(one) == repr(other)
        assert repr(both[0].context.Context(one, {"a": "b"})) == repr(both[1].context.Context(other, {"a": "b"}))
