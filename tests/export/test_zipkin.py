"""Zipkin v2 JSON, against OpenTelemetry's own Zipkin encoder as the oracle."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from chaos import Chaos, answer
from opentelemetry import trace as otel
from opentelemetry.exporter.zipkin.json.v2 import JsonV2Encoder
from opentelemetry.exporter.zipkin.node_endpoint import NodeEndpoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import fasttrace
from fasttrace.errors import ConfigurationError
from fasttrace.export import ZipkinExporter

START = 1_700_000_000_000_000_600


def sent(chaos: Chaos) -> list[dict[str, Any]]:
    """Every span that was posted."""
    return [span for _, _, body in chaos.requests for span in json.loads(body)]


def test_a_span_is_what_opentelemetrys_encoder_makes_of_it(chaos: Chaos) -> None:
    provider = fasttrace.TracerProvider(exporter=ZipkinExporter(chaos.endpoint), service_name="shop", schedule_delay=60)
    attributes = {"text": "ü", "int": 7, "float": 1.5, "flag": True, "list": ("a", "b")}
    tracer = provider.get_tracer("library", "1.0")
    parent = fasttrace.SpanContext(0xA, 0xB, True, 1)
    span = tracer.start_span(
        "GET /", fasttrace.Context(parent), fasttrace.SpanKind.SERVER, attributes, start_time=START
    )
    span.add_event("retry", {"attempt": 2}, START + 1000)
    span.set_status(fasttrace.StatusCode.ERROR, "broken")
    span.end(START + 2_500_400)
    assert provider.flush(60)
    (ours,) = sent(chaos)
    theirs_span = ReadableSpan(
        "GET /",
        context=otel.SpanContext(0xA, span.span_id, False, otel.TraceFlags(1)),
        parent=otel.SpanContext(0xA, 0xB, True),
        resource=Resource(provider.resource),
        attributes=attributes,
        events=[Event("retry", {"attempt": 2}, START + 1000)],
        kind=otel.SpanKind.SERVER,
        instrumentation_scope=InstrumentationScope("library", "1.0"),
        status=otel.Status(otel.StatusCode.ERROR, "broken"),
        start_time=START,
        end_time=START + 2_500_400,
    )
    (theirs,) = json.loads(JsonV2Encoder().serialize([theirs_span], NodeEndpoint()))
    for differs in ("service.name", "otel.library.name", "otel.library.version"):
        theirs["tags"].pop(differs, None)  # the service is the local endpoint; otel.library.* is deprecated
    del theirs["debug"]  # they call every sampled span one of debugging
    theirs["localEndpoint"] = {"serviceName": "shop"}
    assert ours == theirs
    assert chaos.requests[0][1]["content-type"] == "application/json"
    provider.shutdown(1)


def test_short_and_internal_spans_and_values_that_are_no_text(chaos: Chaos) -> None:
    chaos.script = [answer(202)]
    provider = fasttrace.TracerProvider(exporter=ZipkinExporter(chaos.endpoint), schedule_delay=60)
    tracer = provider.get_tracer("library")
    attributes = {
        "none": None,
        "bytes": b"\0",
        "infinite": -math.inf,
        "deep": {"k": [1, None, b"\0", math.inf, -math.inf, math.nan]},
        "peer.service": "db",
    }
    span = tracer.start_span("x", kind=fasttrace.SpanKind.CLIENT, attributes=attributes, start_time=START)
    span.add_event("measured", {"ratio": math.nan})
    span.end(START)
    tracer.start_span("y").end()
    assert provider.flush(60)
    client, internal = sent(chaos)
    assert client["duration"] == 1
    assert client["tags"]["deep"] == '{"k":[1,null,"AA==","Infinity","-Infinity","NaN"]}'
    assert (client["tags"]["bytes"], client["tags"]["infinite"]) == ("AA==", "-Infinity")
    assert client["tags"]["none"] == "", "a null tag rejects the whole request"
    assert client["annotations"][0]["value"] == '{"measured": {"ratio": "NaN"}}'
    assert client["remoteEndpoint"] == {"serviceName": "db"}
    assert "kind" not in internal
    assert "parentId" not in internal
    assert all(isinstance(value, str) for span in (client, internal) for value in span["tags"].values())
    provider.shutdown(1)


def test_it_is_chosen_by_name_and_by_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    monkeypatch.setenv("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://zipkin.example/api/v2/spans")
    monkeypatch.setenv("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "2500")
    provider = fasttrace.TracerProvider()
    exporter: Any = provider.exporter
    assert (exporter.endpoint, exporter.timeout) == ("http://zipkin.example/api/v2/spans", 2.5)
    with pytest.raises(ConfigurationError, match="use a URL"):
        ZipkinExporter("zipkin:9411")
