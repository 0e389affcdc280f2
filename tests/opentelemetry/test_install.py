"""One line makes OpenTelemetry's API and fasttrace's own one pipeline, whatever comes first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace

BEFORE = """
import fasttrace
from fasttrace.opentelemetry import TracerProvider, install
from opentelemetry import propagate, trace

def names(provider):
    assert fasttrace.flush(60)
    return sorted(span.name for span in provider.exporter.spans)
"""


def test_installed_both_kinds_of_tracers_feed_one_pipeline(program: Callable[..., str]) -> None:
    program(
        BEFORE
        + """
early, native = trace.get_tracer("early"), fasttrace.get_tracer("native")
assert type(early).__name__ == "ProxyTracer"
with early.start_as_current_span("nothing yet") as span:
    assert not span.is_recording()
provider = install(service_name="one", exporter="memory")
assert trace.get_tracer_provider() is provider
for tracer in (early, native, trace.get_tracer("late")):
    with tracer.start_as_current_span("span") as span:
        assert isinstance(span, trace.Span) and trace.get_current_span() is span
assert names(provider.native) == ["span"] * 3
assert fasttrace.stats()["exported"] == 3
assert provider.resource.attributes["service.name"] == "one"
assert provider.resource.schema_url == ""
"""
    )


def test_configure_before_install(program: Callable[..., str]) -> None:
    program(
        BEFORE
        + """
configured = fasttrace.configure(service_name="one", exporter="memory")
with fasttrace.get_tracer("native").start_as_current_span("before") as before:
    provider = install()
    assert provider.native is configured
    with trace.get_tracer("otel").start_as_current_span("otel") as span:
        assert span.parent_span_id == before.span_id
    with fasttrace.get_tracer("native").start_as_current_span("native") as span:
        assert isinstance(span, trace.Span)
assert names(configured) == ["before", "native", "otel"]
assert install() is provider
"""
    )


def test_configure_after_install(program: Callable[..., str]) -> None:
    program(
        BEFORE
        + """
provider = install(exporter="memory")
tracer = trace.get_tracer("otel")
tracer.start_span("first").end()
first = provider.native
configured = fasttrace.configure(exporter="memory")
assert provider.native is configured
tracer.start_span("second").end()
fasttrace.get_tracer("native").start_span("third").end()
assert names(configured) == ["second", "third"]
assert [span.name for span in first.exporter.spans] == ["first"], "flushed when it was replaced"
again = install(exporter="memory")
assert again is provider is trace.get_tracer_provider()
tracer.start_span("fourth").end()
assert names(provider.native) == ["fourth"]
"""
    )


def test_a_provider_set_by_hand_leaves_the_process_alone(program: Callable[..., str]) -> None:
    program(
        BEFORE
        + """
provider = TracerProvider(exporter="memory")
trace.set_tracer_provider(provider)
trace.get_tracer("otel").start_span("otel").end()
fasttrace.get_tracer("native").start_span("native").end()
assert provider.force_flush()
assert [span.name for span in provider.native.exporter.spans] == ["otel"]
assert fasttrace.stats()["started"] == 0
"""
    )


def test_spans_go_to_otlp_unless_told_otherwise(program: Callable[..., str]) -> None:
    program(
        BEFORE
        + """
import os
assert type(TracerProvider().native.exporter).__name__.startswith("OTLP"), TracerProvider().native.exporter
os.environ["OTEL_TRACES_EXPORTER"] = "console"
assert type(TracerProvider().native.exporter).__name__ == "ConsoleExporter"
"""
    )


def test_disabled_nothing_is_traced(program: Callable[..., str]) -> None:
    program(
        BEFORE
        + """
provider = install(exporter="memory")
tracer = trace.get_tracer("otel")
assert type(tracer) is trace.NoOpTracer
with tracer.start_as_current_span("span") as span:
    assert not span.is_recording()
with fasttrace.get_tracer("native").start_as_current_span("native") as span:
    assert not span.is_recording()
""",
        OTEL_SDK_DISABLED="true",
    )


def test_the_default_propagators_are_replaced_and_others_stay(program: Callable[..., str]) -> None:
    text = (
        BEFORE
        + """
install(exporter="memory")
print(type(propagate.get_global_textmap()).__name__)
install(propagators="b3")
assert type(propagate.get_global_textmap()).__name__ == "FasttracePropagator"
assert propagate.get_global_textmap().fields == {"b3"}
"""
    )
    assert program(text) == "FasttracePropagator\n"
    assert program(text, OTEL_PROPAGATORS="b3") == "CompositePropagator\n"


def test_the_same_scope_has_the_same_tracer(traced: Any) -> None:
    get = traced.provider.get_tracer
    assert get("a", "1", "url", {"k": [1]}) is get("a", "1", "url", {"k": [1]})
    assert get("a", "1", "url", {"k": [1]}) is not get("a", "1", "url", {"k": [2]})
    tracer = get("library", "1.2", "https://example/schema", {"k": "v"})
    assert isinstance(tracer, trace.Tracer)
    tracer.start_span("span").end()
    scope = traced.spans()["span"].scope
    assert (scope.name, scope.version, scope.schema_url) == ("library", "1.2", "https://example/schema")
    assert scope.attributes == {"k": "v"}


def test_a_tracer_without_a_name_is_told(traced: Any, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("", None):
        caplog.clear()
        traced.provider.get_tracer(name).start_span("span").end()
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert traced.spans()["span"].scope.name == ""


def test_after_shutdown_tracers_do_nothing(traced: Any) -> None:
    traced.tracer.start_span("before").end()
    traced.provider.shutdown()
    assert [span.name for span in traced.exporter.spans] == ["before"]
    assert type(traced.provider.get_tracer("otel")) is trace.NoOpTracer
    traced.tracer.start_span("after").end()
    assert traced.provider.native.stats()["dropped"]["after_shutdown"] == 1


def test_unknown_arguments_are_named() -> None:
    from fasttrace.opentelemetry import TracerProvider

    with pytest.raises(TypeError, match="exportr"):
        TracerProvider(exportr="memory")
