"""Span processors of users: when they are called, what they may do, and what they can't do to the application."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, SamplingResult

from fasttrace import _log
from fasttrace.errors import ConfigurationError
from fasttrace.export import MemoryExporter, NullExporter
from fasttrace.opentelemetry import TracerProvider


class Telling(SpanProcessor):
    """Notes the calls, with its name in front."""

    def __init__(self, calls: list[str], name: str = "") -> None:
        self.calls, self.name = calls, name

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.calls.append(f"{self.name}start {span.name}")

    def _on_ending(self, span: Any) -> None:
        assert span.is_recording()
        self.calls.append(f"{self.name}ending {span.name}")

    def on_end(self, span: Any) -> None:
        assert not span.is_recording()
        self.calls.append(f"{self.name}end {span.name}")

    def shutdown(self) -> None:
        self.calls.append(f"{self.name}shutdown")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self.calls.append(f"{self.name}flush")
        return True


class Raising(Telling):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise ValueError("secret")

    _on_ending = on_end = force_flush = shutdown = on_start  # type: ignore[assignment]


class Hanging(SpanExporter):
    """An exporter that hangs until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def export(self, spans: Any) -> SpanExportResult:
        self.let_go.wait(60)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.let_go.wait(60)


@pytest.fixture(autouse=True)
def every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that an earlier test has had are due again."""
    monkeypatch.setattr(_log, "_last", {})
    monkeypatch.setattr(_log, "_suppressed", {})


def test_processors_are_called_in_order(traced: Any) -> None:
    calls: list[str] = []
    traced.provider.add_span_processor(Telling(calls, "1 "))
    traced.provider.add_span_processor(Telling(calls, "2 "))
    with traced.tracer.start_as_current_span("a"), traced.native.start_as_current_span("b"):
        pass
    expected = ["start a", "start b", "ending b", "end b", "ending a", "end a"]
    assert calls == [f"{number} {call}" for call in expected for number in (1, 2)]
    calls.clear()
    assert traced.provider.force_flush()
    traced.provider.shutdown()
    traced.tracer.start_span("late").end()
    assert calls == ["1 flush", "2 flush", "1 shutdown", "2 shutdown"]


def test_a_multi_processor_is_a_processor(make_traced: Callable[..., Any]) -> None:
    calls: list[str] = []
    multi = SynchronousMultiSpanProcessor()
    multi.add_span_processor(Telling(calls))
    traced = make_traced(active_span_processor=multi)
    traced.tracer.start_span("a").end()
    assert calls == ["start a", "ending a", "end a"]


def test_a_change_at_the_end_is_exported(traced: Any) -> None:
    class Redacting(SpanProcessor):
        def _on_ending(self, span: Any) -> None:
            span.set_attribute("card", "***")
            span.update_name("changed")
            span.add_event("redacted")

    memory = InMemorySpanExporter()
    traced.provider.add_span_processor(Redacting())
    traced.provider.add_span_processor(SimpleSpanProcessor(memory))
    traced.tracer.start_span("pay", attributes={"card": "4711"}).end()
    exported = traced.spans()["changed"]
    assert (exported.attributes, [event.name for event in exported.events]) == ({"card": "***"}, ["redacted"])
    (seen,) = memory.get_finished_spans()
    assert (seen.name, dict(seen.attributes)) == ("changed", {"card": "***"})


def test_the_specifications_name_of_the_step_is_known_too(traced: Any) -> None:
    class Naming:
        def on_start(self, span: Any, parent_context: Any = None) -> None: ...

        def on_ending(self, span: Any) -> None:
            span.update_name("named")

        def on_end(self, span: Any) -> None: ...

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    traced.provider.add_span_processor(Naming())
    traced.tracer.start_span("a").end()
    assert list(traced.spans()) == ["named"]


def test_what_a_processor_raises_is_told_once_and_reaches_nobody(traced: Any, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    traced.provider.add_span_processor(Raising(calls))
    traced.provider.add_span_processor(Telling(calls))
    for _ in range(10):
        with traced.tracer.start_as_current_span("a"):
            pass
    assert calls == ["start a", "ending a", "end a"] * 10
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" failed in ")[2].partition(":")[0] for line in lines] == [
        "on_start",
        "_on_ending",
        "on_end",
    ]
    assert not traced.provider.force_flush()
    traced.provider.shutdown()
    assert calls[-2:] == ["flush", "shutdown"]


def test_the_parents_context_is_shown_with_its_baggage(traced: Any) -> None:
    seen: list[Any] = []

    class Copying(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            seen.append(trace.get_current_span(parent_context))
            for key, value in baggage.get_all(parent_context).items():
                span.set_attribute(key, value)

    traced.provider.add_span_processor(Copying())
    with traced.tracer.start_as_current_span("root") as root:
        given = baggage.set_baggage("user", "alice", trace.set_span_in_context(root))
        traced.tracer.start_span("explicit", given).end()
        token = trace.context_api.attach(given)
        traced.tracer.start_span("current").end()
        trace.context_api.detach(token)
    spans = traced.spans()
    assert [spans[name].attributes for name in ("explicit", "current", "root")] == [{"user": "alice"}] * 2 + [{}]
    assert seen[0] is trace.INVALID_SPAN
    assert seen[1:] == [root, root]


def test_what_is_only_recorded_is_for_processors_alone(make_traced: Callable[..., Any]) -> None:
    class Recording:
        def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
            return SamplingResult(Decision.RECORD_ONLY)

    calls: list[str] = []
    traced, memory = make_traced(sampler=Recording()), InMemorySpanExporter()
    traced.provider.add_span_processor(Telling(calls))
    traced.provider.add_span_processor(SimpleSpanProcessor(memory))
    traced.tracer.start_span("a").end()
    assert calls == ["start a", "ending a", "end a"]
    assert traced.spans() == {}
    assert memory.get_finished_spans() == ()


def test_a_processor_switches_off_the_default_exporter_and_no_other(make_traced: Callable[..., Any]) -> None:
    provider = TracerProvider()
    provider.add_span_processor(Telling([]))
    assert type(provider.native.exporter) is NullExporter
    provider.shutdown()
    given = make_traced()
    given.provider.add_span_processor(Telling([]))
    given.tracer.start_span("a").end()
    assert list(given.spans()) == ["a"]
    assert type(given.provider.native.exporter) is MemoryExporter


def test_without_a_processor_the_core_has_none(traced: Any) -> None:
    assert traced.provider.native.recorder.processor is None


def test_what_is_no_processor_is_refused(traced: Any) -> None:
    for value in (object(), SpanProcessor, None, InMemorySpanExporter()):
        with pytest.raises(ConfigurationError, match="on_start"):
            traced.provider.add_span_processor(value)


@pytest.mark.parametrize("kind", [BatchSpanProcessor, SimpleSpanProcessor])
def test_a_flush_takes_the_time_that_it_is_given(traced: Any, kind: Any) -> None:
    exporter, calls = Hanging(), []
    if kind is SimpleSpanProcessor:
        exporter.let_go.set()
    processor = kind(exporter)
    traced.provider.add_span_processor(processor)
    traced.provider.add_span_processor(Telling(calls))
    traced.tracer.start_span("a").end()
    begin = time.monotonic()
    done = traced.provider.force_flush(100)
    took = time.monotonic() - begin
    exporter.let_go.set()
    assert done is (kind is SimpleSpanProcessor)
    assert took < 10, "it would be 60"
    while "flush" not in calls:  # the others are told, too, with what is left of the time
        time.sleep(0.01)


def test_a_shutdown_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from fasttrace.opentelemetry import processors

    exporter = Hanging()
    provider = TracerProvider(exporter=MemoryExporter())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.get_tracer("x").start_span("a").end()
    begin = time.monotonic()
    assert not processors.shutdown(provider, 0.2)
    assert time.monotonic() - begin < 10
    exporter.let_go.set()
    provider.shutdown()


def test_a_forked_child_has_its_processors_and_its_own_spans(program: Any) -> None:
    printed = program(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from fasttrace.opentelemetry import TracerProvider

        memory = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(memory))
        tracer = provider.get_tracer("x")
        with tracer.start_as_current_span("before"):
            pass
        child = os.fork()
        tracer.start_span("child" if child == 0 else "parent").end()
        if child == 0:
            memory.clear()
        assert provider.force_flush(10_000)
        names = sorted(span.name for span in memory.get_finished_spans())
        pid = {span.resource.attributes["process.pid"] for span in memory.get_finished_spans()}
        if child == 0:
            os.write(1, f"{names} {pid == {os.getpid()}}\\n".encode())
            os._exit(0)
        os.waitpid(child, 0)
        print(names)
        """
    )
    assert printed.splitlines() == ["['child'] True", "['before', 'parent']"]


def test_at_the_end_of_the_process_processors_are_shut_down(program: Any) -> None:
    text = """
        from opentelemetry.sdk.trace import SpanProcessor
        from fasttrace.opentelemetry import TracerProvider

        class Printing(SpanProcessor):
            def shutdown(self): print("shutdown")

        provider = TracerProvider(shutdown_on_exit=%s)
        provider.add_span_processor(Printing())
        provider.get_tracer("x").start_span("a").end()
        """
    assert program(text % True) == "shutdown\n"
    assert program(text % False) == ""
