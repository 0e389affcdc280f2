"""What users type: the names, and the life of the process's provider."""

from __future__ import annotations

import asyncio
import gc
import pickle
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import fasttrace
from fasttrace import process
from fasttrace.export import MemoryExporter

PUBLIC = {
    "ConfigurationError",
    "Context",
    "ExportError",
    "FasttraceError",
    "InstrumentationScope",
    "Link",
    "Span",
    "SpanContext",
    "SpanData",
    "SpanKind",
    "SpanLimits",
    "Status",
    "StatusCode",
    "TraceState",
    "Tracer",
    "TracerProvider",
    "__version__",
    "active_spans",
    "aflush",
    "baggage",
    "configure",
    "current_span",
    "extract",
    "flush",
    "get_tracer",
    "implementation",
    "inject",
    "instrument",
    "keep_trace",
    "recall",
    "shutdown",
    "stats",
    "uninstrument",
    "use",
}


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins before ``configure``."""
    from fasttrace.tracer import TracerRegistry

    monkeypatch.setattr(process, "_provider", None)
    monkeypatch.setattr(process, "_tracers", TracerRegistry())
    yield
    fasttrace.shutdown(1)


def test_the_public_names_are_pinned() -> None:
    assert set(fasttrace.__all__) == PUBLIC
    assert all(hasattr(fasttrace, name) for name in PUBLIC)


def test_every_public_name_has_a_docstring() -> None:
    for name in PUBLIC - {"__version__"}:
        assert getattr(fasttrace, name).__doc__, name


def test_before_configure_nothing_is_recorded_and_everything_works() -> None:
    tracer = fasttrace.get_tracer("library")
    with tracer.start_as_current_span("operation") as span:
        span.set_attribute("key", "value")
        assert not span.is_recording()
        assert fasttrace.inject({}) == {}
    assert fasttrace.active_spans() == []
    assert fasttrace.stats()["started"] == 0
    assert fasttrace.flush()
    assert fasttrace.shutdown()


def test_tracers_handed_out_before_configure_go_live() -> None:
    early = fasttrace.get_tracer("library")
    exporter = MemoryExporter()
    fasttrace.configure(service_name="shop", exporter=exporter)
    with early.start_as_current_span("operation"):
        assert [span.name for span in fasttrace.active_spans()] == ["operation"]
    assert fasttrace.flush()
    (span,) = exporter.spans
    assert (span.name, span.scope.name, span.resource["service.name"]) == ("operation", "library", "shop")
    assert fasttrace.get_tracer("library") is early


def test_configure_again_flushes_and_replaces() -> None:
    first, second = MemoryExporter(), MemoryExporter()
    tracer = fasttrace.get_tracer("library")
    fasttrace.configure(exporter=first)
    tracer.start_span("one").end()
    fasttrace.configure(exporter=second)
    assert [span.name for span in first.spans] == ["one"]
    tracer.start_span("two").end()
    assert fasttrace.flush()
    assert [span.name for span in second.spans] == ["two"]


def test_configuring_again_and_again_leaves_few_providers_behind() -> None:
    """Also without a GIL, where the recorder of the process is not counted (``Recorder.pin``)."""
    made = [weakref.ref(fasttrace.configure(exporter="memory")) for _ in range(process._MOST_PINNED + 3)]
    gc.collect()
    living = sum(provider() is not None for provider in made)
    assert living <= process._MOST_PINNED + 1
    assert made[-1]() is not None
    assert made[-2]() is None


def test_a_bad_configuration_leaves_the_old_one_running() -> None:
    exporter = MemoryExporter()
    fasttrace.configure(exporter=exporter)
    with pytest.raises(fasttrace.ConfigurationError):
        fasttrace.configure(sampler="sometimes")
    fasttrace.get_tracer("library").start_span("still").end()
    assert fasttrace.flush()
    assert [span.name for span in exporter.spans] == ["still"]


def test_disabled_forwards_contexts_and_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    exporter = MemoryExporter()
    fasttrace.configure(exporter=exporter)
    header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    context = fasttrace.extract({"traceparent": header})
    with fasttrace.get_tracer("library").start_as_current_span("operation", context) as span:
        assert not span.is_recording()
        assert fasttrace.inject({})["traceparent"] == header
    fasttrace.flush()
    assert exporter.spans == []


def test_aflush_lets_the_loop_go_on() -> None:
    exporter = MemoryExporter()
    fasttrace.configure(exporter=exporter)
    fasttrace.get_tracer("library").start_span("operation").end()

    async def main() -> bool:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        done = await fasttrace.aflush(5)
        ticking.cancel()
        assert ticks
        return done

    assert asyncio.run(main())
    assert len(exporter.spans) == 1


def test_equal_arguments_give_the_same_tracer() -> None:
    one = fasttrace.get_tracer("library", "1", "https://example.org", {"a": 1})
    assert fasttrace.get_tracer("library", "1", "https://example.org", {"a": 1}) is one
    assert fasttrace.get_tracer("library", "2") is not one


def test_providers_side_by_side_do_not_touch_the_process() -> None:
    one, two = MemoryExporter(), MemoryExporter()
    first = fasttrace.TracerProvider(exporter=one, service_name="one")
    second = fasttrace.TracerProvider(exporter=two, service_name="two")
    first.get_tracer("x").start_span("a").end()
    second.get_tracer("x").start_span("b").end()
    assert first.flush()
    assert second.flush()
    assert [span.resource["service.name"] for span in (*one.spans, *two.spans)] == ["one", "two"]
    assert fasttrace.stats()["started"] == 0
    first.shutdown()
    second.shutdown()


def test_a_forgotten_provider_is_collected() -> None:
    provider: Any = fasttrace.TracerProvider(exporter="memory")
    gone = weakref.ref(provider)
    del provider
    gc.collect()
    assert gone() is None


def test_spans_started_after_shutdown_are_counted() -> None:
    provider = fasttrace.TracerProvider(exporter="memory")
    assert provider.shutdown()
    provider.get_tracer("x").start_span("late").end()
    assert provider.stats()["dropped"]["after_shutdown"] == 1
    assert provider.shutdown()


def test_stats_account_for_every_span_by_name() -> None:
    provider = fasttrace.TracerProvider(exporter="memory", sampler=0.0)
    provider.get_tracer("x").start_span("out").end()
    stats = provider.stats()
    assert (stats["started"], stats["sampled_out"]) == (1, 1)
    assert set(stats["dropped"]) == {
        "queue_full",
        "too_large",
        "encode_error",
        "after_shutdown",
        "forked",
        "export_failed",
        "rejected",
        "spool_full",
        "trace_evicted",
    }
    assert stats["implementation"] == fasttrace.implementation()[0]
    provider.shutdown()


def test_errors_are_one_tree_and_pickle() -> None:
    from fasttrace.errors import ExportError, MissingExtraError, SpoolError

    for error in (fasttrace.ConfigurationError("x"), ExportError("x", retryable=True), SpoolError("x")):
        assert isinstance(error, fasttrace.FasttraceError)
        assert str(pickle.loads(pickle.dumps(error))) == "x"
    assert 'pip install "fasttrace[viewer]"' in str(MissingExtraError("fasttrace demo", "viewer"))
