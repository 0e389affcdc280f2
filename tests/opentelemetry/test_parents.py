"""Native spans and OpenTelemetry's see each other as parents, wherever what is current goes."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import fasttrace

TRACE_ID, SPAN_ID = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
HEADERS = {"traceparent": f"00-{TRACE_ID:032x}-{SPAN_ID:016x}-01", "tracestate": "vendor=value"}


def test_each_kind_of_span_is_the_others_parent(traced: Any) -> None:
    with (
        traced.tracer.start_as_current_span("outer") as outer,
        traced.native.start_as_current_span("middle") as middle,
        traced.tracer.start_as_current_span("inner") as inner,
    ):
        assert trace.get_current_span() is inner
        assert fasttrace.current_span() is inner
    assert [span.parent_span_id for span in (outer, middle, inner)] == [0, outer.span_id, middle.span_id]
    assert set(traced.spans()) == {"outer", "middle", "inner"}


def test_the_current_span_is_the_very_object(traced: Any) -> None:
    with traced.native.start_as_current_span("native") as native:
        assert trace.get_current_span() is native
        assert isinstance(native, trace.Span)
        assert trace.get_current_span(context_api.get_current()) is native
        with traced.tracer.start_as_current_span("otel") as span:
            assert trace.get_current_span() is span
        assert trace.get_current_span() is native
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_use_span_makes_a_span_current_to_both(traced: Any) -> None:
    span = traced.tracer.start_span("used")
    with trace.use_span(span, end_on_exit=True) as used:
        assert used is span is trace.get_current_span() is fasttrace.current_span()
        traced.native.start_span("below").end()
    assert not span.is_recording()
    assert traced.spans()["below"].parent_span_id == span.span_id_hex


def test_use_span_records_what_is_raised(traced: Any) -> None:
    with (
        pytest.raises(KeyError),
        traced.tracer.start_as_current_span("outer"),
        trace.use_span(traced.tracer.start_span("used"), end_on_exit=True),
    ):
        raise KeyError("gone")
    for span in traced.spans().values():
        assert [event.name for event in span.events] == ["exception"]
        assert span.events[0].attributes["exception.escaped"] == "False"
        assert span.status.description == "KeyError: 'gone'"


def test_a_span_set_in_a_context_is_the_parent_of_who_gets_that_context(traced: Any) -> None:
    parent = traced.tracer.start_span("parent")
    holding = trace.set_span_in_context(parent)
    with traced.tracer.start_as_current_span("current"):
        for tracer in (traced.tracer, traced.native):
            child = tracer.start_span("child", context=holding)
            assert (child.trace_id, child.parent_span_id) == (parent.trace_id, parent.span_id)
        with traced.tracer.start_as_current_span("child", holding) as child:
            assert child.parent_span_id == parent.span_id
            assert trace.get_current_span() is child


def test_a_context_without_a_span_makes_a_root(traced: Any) -> None:
    with traced.tracer.start_as_current_span("current") as current:
        for empty in (context_api.Context(), context_api.Context({"key": 1})):
            root = traced.tracer.start_span("root", context=empty)
            assert root.trace_id != current.trace_id
            assert root.parent_span_id == 0


def test_a_remote_parent_from_a_stock_propagator(traced: Any) -> None:
    extracted = TraceContextTextMapPropagator().extract(HEADERS)
    with traced.tracer.start_as_current_span("server", context=extracted) as server:
        assert (server.trace_id, server.parent_span_id) == (TRACE_ID, SPAN_ID)
        found = server.get_span_context()
        assert dict(found.trace_state) == {"vendor": "value"}
        assert not found.is_remote
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        assert carrier == fasttrace.inject({})
        assert carrier["tracestate"] == "vendor=value"
    span = traced.spans()["server"]
    assert span.flags & 0x300 == 0x300, "the parent is remote"


def test_a_remote_parent_that_is_attached_is_everyones(traced: Any) -> None:
    extracted = TraceContextTextMapPropagator().extract(HEADERS)
    token = context_api.attach(extracted)
    assert trace.get_current_span().get_span_context() == trace.get_current_span(extracted).get_span_context()
    assert traced.native.start_span("native").parent_span_id == SPAN_ID
    context_api.detach(token)
    with fasttrace.use(fasttrace.extract(HEADERS)):
        seen = trace.get_current_span()
        assert isinstance(seen, trace.NonRecordingSpan)
        found = seen.get_span_context()
        assert (found.trace_id, found.span_id, found.is_remote, found.trace_flags) == (TRACE_ID, SPAN_ID, True, 1)
        assert traced.tracer.start_span("otel").parent_span_id == SPAN_ID


def test_spans_of_others_are_parents(traced: Any) -> None:
    others = trace.NonRecordingSpan(trace.SpanContext(7, 8, False, trace.TraceFlags(1)))
    with trace.use_span(others):
        assert trace.get_current_span() is others
        with traced.native.start_as_current_span("below") as below:
            assert (below.trace_id, below.parent_span_id) == (7, 8)
            assert trace.get_current_span() is below
        assert trace.get_current_span() is others


def test_native_contexts_keep_what_opentelemetry_does_not_know(traced: Any) -> None:
    for headers in (
        {"b3": f"{TRACE_ID:032x}-{SPAN_ID:016x}-d"},
        {"b3": "0"},
        {"b3": f"{TRACE_ID:032x}-{SPAN_ID:016x}"},
    ):
        native = fasttrace.propagation.get_propagator("b3").extract(headers)
        with fasttrace.use(native):
            changed = context_api.set_value("key", "value")
            expected = traced.native.start_span("native").sampled
            written: dict[str, str] = {}
            fasttrace.propagation.get_propagator("b3").inject(written)
        token = context_api.attach(changed)
        assert context_api.get_value("key") == "value"
        assert traced.native.start_span("native").sampled is expected
        again: dict[str, str] = {}
        fasttrace.propagation.get_propagator("b3").inject(again)
        assert again == written != {}
        context_api.detach(token)


def test_threads_get_a_copy_and_start_empty_without_one(traced: Any) -> None:
    seen: list[Any] = []

    def work() -> None:
        seen.append(trace.get_current_span())
        with traced.tracer.start_as_current_span("thread") as span:
            seen.append(span)

    with traced.native.start_as_current_span("main") as main:
        copied = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        fresh = threading.Thread(target=work)
        for thread in (copied, fresh):
            thread.start()
            thread.join()
    assert seen[0] is main
    assert seen[1].parent_span_id == main.span_id
    assert seen[2] is trace.INVALID_SPAN
    assert seen[3].parent_span_id == 0


def test_attach_in_a_thread_as_the_threading_instrumentation_does(traced: Any) -> None:
    def work(handed: context_api.Context) -> None:
        token = context_api.attach(handed)
        with traced.native.start_as_current_span("thread"):
            pass
        context_api.detach(token)
        assert context_api.get_current() == {}

    with traced.tracer.start_as_current_span("main") as main:
        thread = threading.Thread(target=work, args=(context_api.get_current(),))
        thread.start()
        thread.join()
    assert traced.spans()["thread"].parent_span_id == main.span_id_hex


def test_tasks_keep_their_own_current_span(traced: Any) -> None:
    async def work(name: str, tracer: Any) -> None:
        with tracer.start_as_current_span(name) as span:
            await asyncio.sleep(0)
            assert trace.get_current_span() is span
            with trace.use_span(tracer.start_span(name + " below"), end_on_exit=True):
                await asyncio.sleep(0)
            assert trace.get_current_span() is span

    async def main() -> None:
        with traced.tracer.start_as_current_span("root"):
            await asyncio.gather(*(work(f"{i}", (traced.tracer, traced.native)[i % 2]) for i in range(4)))

    asyncio.run(main())
    spans = traced.spans()
    for i in range(4):
        assert spans[f"{i}"].parent_span_id == spans["root"].span_id
        assert spans[f"{i} below"].parent_span_id == spans[f"{i}"].span_id


def test_the_decorator_knows_functions_of_every_kind(traced: Any) -> None:
    @traced.tracer.start_as_current_span("function", attributes={"a": 1})
    def function() -> Any:
        return trace.get_current_span()

    @traced.tracer.start_as_current_span("coroutine")
    async def coroutine() -> Any:
        await asyncio.sleep(0)
        return trace.get_current_span()

    @traced.tracer.start_as_current_span("generator")
    def generator() -> Iterator[Any]:
        yield trace.get_current_span()
        yield trace.get_current_span()

    @traced.tracer.start_as_current_span("asynchronous generator")
    async def asynchronous() -> AsyncIterator[Any]:
        yield trace.get_current_span()

    async def collected() -> list[Any]:
        return [item async for item in asynchronous()]

    assert function().name == "function"
    assert function() is not function()
    assert asyncio.run(coroutine()).name == "coroutine"
    for item in generator():
        assert item.name == "generator"
        assert trace.get_current_span() is trace.INVALID_SPAN, "only the generator's own frame is in it"
    assert [span.name for span in asyncio.run(collected())] == ["asynchronous generator"]
    assert set(traced.spans()) == {"function", "coroutine", "generator", "asynchronous generator"}


def test_a_generator_that_is_left_in_another_task_leaves_no_error(
    traced: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def numbers() -> AsyncIterator[int]:
        with trace.use_span(traced.tracer.start_span("generator"), end_on_exit=True):
            yield 1
            yield 2

    async def main() -> None:
        items = numbers()
        with traced.tracer.start_as_current_span("main") as outer:
            assert await asyncio.create_task(anext(items)) == 1  # type: ignore[arg-type]
            await items.aclose()  # type: ignore[attr-defined]
            assert trace.get_current_span() is outer

    asyncio.run(main())
    assert caplog.text == ""
    assert set(traced.spans()) == {"main", "generator"}


def test_baggage_is_one(traced: Any) -> None:
    token = context_api.attach(baggage.set_baggage("tenant", "blue"))
    assert fasttrace.baggage.get_all() == {"tenant": "blue"}
    assert fasttrace.inject({}) == {"baggage": "tenant=blue"}
    with traced.native.start_as_current_span("native"):
        assert baggage.get_baggage("tenant") == "blue"
        with fasttrace.use(fasttrace.baggage.set("plan", "gold")):
            assert baggage.get_all() == {"tenant": "blue", "plan": "gold"}
            inner = context_api.attach(baggage.remove_baggage("tenant"))
            assert fasttrace.baggage.get_all() == {"plan": "gold"}
            with traced.tracer.start_as_current_span("otel"):
                assert fasttrace.baggage.get_all() == {"plan": "gold"}
            context_api.detach(inner)
        cleared = context_api.attach(baggage.clear())
        assert fasttrace.baggage.get_all() == {}
        assert "baggage" not in fasttrace.inject({})
        context_api.detach(cleared)
    context_api.detach(token)
    assert fasttrace.baggage.get_all() == {}


def test_values_of_baggage_stay_what_they_are_below_native_spans(traced: Any) -> None:
    token = context_api.attach(baggage.set_baggage("number", 5))
    with traced.native.start_as_current_span("native"):
        assert baggage.get_baggage("number") == 5
        assert fasttrace.baggage.get("number") == "5"
    context_api.detach(token)


def test_a_child_gets_the_baggage_of_the_context_given(traced: Any) -> None:
    with traced.native.start_as_current_span("parent") as parent:
        given = baggage.set_baggage("tenant", "blue")
        with traced.tracer.start_as_current_span("child", context=given) as child:
            assert child.parent_span_id == parent.span_id
            assert baggage.get_baggage("tenant") == "blue"
        without = trace.set_span_in_context(child, context_api.Context())
        with traced.tracer.start_as_current_span("child", context=without):
            assert baggage.get_all() == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_with_what_is_current(traced: Any) -> None:
    with traced.tracer.start_as_current_span("parent") as parent:
        token = context_api.attach(baggage.set_baggage("tenant", "blue"))
        child = os.fork()
        if child == 0:
            fine = trace.get_current_span() is parent and baggage.get_baggage("tenant") == "blue"
            with traced.tracer.start_as_current_span("child") as span:
                fine = fine and span.parent_span_id == parent.span_id and span.is_recording()
            context_api.detach(token)
            os._exit(0 if fine and trace.get_current_span() is parent else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        context_api.detach(token)
