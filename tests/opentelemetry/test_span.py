"""Spans that OpenTelemetry knows, with the core's methods."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import fasttrace
from fasttrace import _core
from fasttrace.opentelemetry import Span, Tracer

HOT = (
    "set_attribute",
    "set_attributes",
    "add_event",
    "add_link",
    "update_name",
    "set_status",
    "record_exception",
    "is_recording",
    "end",
    "__enter__",
    "__exit__",
    "__call__",
)


@pytest.mark.parametrize("name", HOT)
def test_what_runs_per_span_is_the_cores(name: str, traced: Any) -> None:
    with traced.tracer.start_as_current_span("span") as span:
        for kind in (Span, type(span)):
            assert getattr(kind, name) is getattr(_core.Span, name)


def test_tracers_are_the_cores(traced: Any) -> None:
    assert isinstance(traced.tracer, Tracer)
    assert isinstance(traced.tracer, _core.Tracer)
    for name in ("start_span", "start_as_current_span"):
        assert getattr(Tracer, name) == getattr(_core.Tracer, name)


@pytest.mark.skipif(_core.IMPL == "python", reason="the pure-Python core is made of frames")
def test_no_python_frame_runs_per_span(traced: Any) -> None:
    tracer, frames = traced.tracer, []

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            frames.append(frame.f_code.co_qualname)

    def spans() -> None:
        with tracer.start_as_current_span("span", attributes={"a": 1}) as span:
            span.set_attribute("key", "value")
            span.add_event("event", {"a": 1})
            with tracer.start_as_current_span("child", kind=SpanKind.CLIENT):
                pass
            tracer.start_span("other", kind=SpanKind.PRODUCER, context=None).end()

    spans()  # the first span starts the thread
    sys.setprofile(profile)
    try:
        spans()
    finally:
        sys.setprofile(None)
    assert frames == ["test_no_python_frame_runs_per_span.<locals>.spans"]


def test_a_span_passes_for_the_sdks_where_the_sdk_is_loaded(program: Any) -> None:
    assert "True True False" in program(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import Span

        import fasttrace
        from fasttrace.opentelemetry import TracerProvider

        provider = TracerProvider(exporter="none")
        with provider.get_tracer("otel").start_as_current_span("ours") as span:
            print(isinstance(span, Span), isinstance(span, trace.Span), isinstance(fasttrace.Span, Span))
        """
    )


def test_reads_give_opentelemetrys_types(traced: Any) -> None:
    with traced.native.start_as_current_span("span", kind=fasttrace.SpanKind.CLIENT, attributes={"a": 1}) as span:
        assert isinstance(span, trace.Span)
        assert span.kind is SpanKind.CLIENT
        assert (span.name, dict(span.attributes)) == ("span", {"a": 1})
        with pytest.raises(TypeError):
            span.attributes["b"] = 2
        assert span.status.status_code is StatusCode.UNSET
        span.set_status(trace.Status(StatusCode.ERROR, "broken"))
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "broken")
        assert not span.status.is_ok
        found = span.get_span_context()
        assert isinstance(found, trace.SpanContext)
        assert found == trace.SpanContext(span.trace_id, span.span_id, False, trace.TraceFlags(3))
        assert isinstance(found.trace_flags, trace.TraceFlags)
        assert isinstance(found.trace_state, trace.TraceState)
        assert found.is_valid
        assert (found.trace_id_hex, found.span_id_hex) == (span.trace_id_hex, span.span_id_hex)
        assert (found.trace_id_bytes.hex(), found.span_id_bytes.hex()) == (span.trace_id_hex, span.span_id_hex)
        assert found.sampled
        assert "SpanContext(trace_id=0x" in repr(found)


def test_status_follows_opentelemetrys_rules(traced: Any) -> None:
    span = traced.tracer.start_span("span")
    span.set_status(StatusCode.ERROR, "first")
    span.set_status(StatusCode.UNSET)
    assert span.status.description == "first"
    span.set_status(trace.Status(StatusCode.OK))
    span.set_status(StatusCode.ERROR, "too late")
    assert (span.status.status_code, span.status.description) == (StatusCode.OK, None)


def test_exceptions_are_events_as_opentelemetry_has_them(traced: Any) -> None:
    with pytest.raises(ValueError), traced.tracer.start_as_current_span("current"):
        raise ValueError("x")
    with pytest.raises(ValueError), traced.tracer.start_span("started"):
        raise ValueError("x")
    with pytest.raises(KeyboardInterrupt), traced.tracer.start_as_current_span("interrupted"):
        raise KeyboardInterrupt
    spans = traced.spans()
    for name, escaped in (("current", "False"), ("started", "True")):
        attributes = spans[name].events[0].attributes
        assert attributes["exception.type"] == "ValueError"
        assert attributes["exception.message"] == "x"
        assert "raise ValueError" in attributes["exception.stacktrace"]
        assert attributes["exception.escaped"] == escaped
        assert spans[name].status.description == "ValueError: x"
    assert spans["interrupted"].events == []
    assert spans["interrupted"].status.status_code == fasttrace.StatusCode.UNSET


def test_links_of_opentelemetrys(traced: Any) -> None:
    state = trace.TraceState([("vendor", "value")])
    other = trace.SpanContext(5, 6, True, trace.TraceFlags(1), state)
    local = traced.tracer.start_span("local")
    links = [trace.Link(other, {"a": 1}), trace.Link(local.get_span_context())]
    span = traced.tracer.start_span("span", links=links)
    span.add_link(other, {"b": 2})
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.end()
    found = traced.spans()["span"].links
    assert [(int(link.span_id, 16), link.attributes) for link in found] == [
        (6, {"a": 1}),
        (local.span_id, {}),
        (6, {"b": 2}),
    ]
    assert found[0].trace_state == "vendor=value"


def test_unsampled_spans_have_ids_of_their_own_and_take_everything(make_traced: Any) -> None:
    traced = make_traced(sampler=0.0)
    with traced.tracer.start_as_current_span("span", attributes={"a": 1}) as span:
        found = span.get_span_context()
        assert found.is_valid
        assert not found.trace_flags.sampled
        assert not span.is_recording()
        assert trace.get_current_span() is span
        assert (span.kind, dict(span.attributes)) == (SpanKind.INTERNAL, {})
        span.set_attribute("a", 1)
        span.add_event("event")
        span.record_exception(ValueError("x"))
        span.set_status(StatusCode.ERROR)
        span.update_name("other")
        assert traced.tracer.start_span("child").get_span_context().trace_id == found.trace_id
    with traced.tracer.start_as_current_span("next") as following:
        assert following.get_span_context().span_id != found.span_id
    assert traced.spans() == {}


def test_a_span_that_has_not_started_is_invalid(traced: Any) -> None:
    span = traced.tracer.start_as_current_span("span")
    assert span.get_span_context() == trace.INVALID_SPAN_CONTEXT
    with span:
        assert span.get_span_context().is_valid


def test_instrumented_clients_see_suppression_during_an_export() -> None:
    from fasttrace.opentelemetry import TracerProvider

    seen: list[Any] = []

    class Exporter:
        def export(self, batch: Any) -> None:
            seen.append(context_api.get_value(context_api._SUPPRESS_INSTRUMENTATION_KEY))
            token = context_api.attach(context_api.set_value("key", 1))
            seen.append(provider.get_tracer("client").start_span("client").is_recording())
            context_api.detach(token)

        def flush(self, timeout: float) -> bool:
            return True

        def shutdown(self, timeout: float) -> None:
            pass

    provider = TracerProvider(exporter=Exporter())
    provider.get_tracer("otel").start_span("span").end()
    assert provider.force_flush(10_000)
    provider.shutdown()
    assert seen[:2] == [True, False]
    assert context_api.get_value(context_api._SUPPRESS_INSTRUMENTATION_KEY) is None


def test_suppression_changes_nothing_for_spans_of_ours(traced: Any) -> None:
    token = context_api.attach(context_api.set_value(context_api._SUPPRESS_INSTRUMENTATION_KEY, True))
    with traced.tracer.start_as_current_span("span") as span:
        assert span.is_recording()
    context_api.detach(token)
