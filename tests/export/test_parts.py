"""A receiver that refuses large requests gets smaller ones, and every span is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from chaos import Chaos, answer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import fasttrace
from fasttrace.errors import ExportError
from fasttrace.export import OTLPExporter


def at_most(limit: int, status: int = 413) -> Callable[[BaseHTTPRequestHandler], None]:
    """Takes bodies of so many bytes."""
    return lambda handler: answer(status if int(handler.headers["content-length"]) > limit else 200)(handler)


def numbers(chaos: Chaos, limit: int) -> list[int]:
    """The attribute ``number`` of every span in the requests that were taken."""
    return [
        item.value.int_value
        for _, _, body in chaos.requests
        if len(body) <= limit
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
        for item in span.attributes
        if item.key == "number"
    ]


def test_a_refused_batch_is_halved_until_it_is_taken_and_the_size_remembered(chaos: Chaos, make_batch: Any) -> None:
    chaos.script = [at_most(3000)]
    exporter = OTLPExporter(chaos.endpoint)
    assert not exporter.export(make_batch(100))
    assert sorted(numbers(chaos, 3000)) == list(range(100))
    refused = sum(len(body) > 3000 for _, _, body in chaos.requests)
    assert refused > 0
    chaos.requests.clear()
    exporter.export(make_batch(100))
    assert sorted(numbers(chaos, 3000)) == list(range(100))
    assert all(len(body) <= 3000 for _, _, body in chaos.requests), "what it takes is known by now"


def test_a_bare_400_on_a_large_body_is_a_refusal_by_size_and_on_a_small_one_is_not(
    chaos: Chaos, make_batch: Any
) -> None:
    chaos.script = [at_most(300_000, 400)]
    batch = make_batch(4000, "n" * 150)
    assert len(batch.otlp) > 600_000
    assert not OTLPExporter(chaos.endpoint).export(batch)
    assert sorted(numbers(chaos, 300_000)) == list(range(4000))
    chaos.requests.clear()
    chaos.script = [answer(400)]
    with pytest.raises(ExportError, match="400"):
        OTLPExporter(chaos.endpoint).export(make_batch(10))
    assert len(chaos.requests) == 1


def test_a_span_that_is_too_large_by_itself_does_not_keep_the_others_back(chaos: Chaos) -> None:
    chaos.script = [at_most(4000)]
    provider = fasttrace.TracerProvider(exporter=OTLPExporter(chaos.endpoint), schedule_delay=60)
    tracer = provider.get_tracer("test")
    for number in range(20):
        tracer.start_span("operation", attributes={"number": number, "text": "x" * (6000 if number == 7 else 5)}).end()
    assert not provider.flush(20)
    assert sorted(numbers(chaos, 4000)) == [number for number in range(20) if number != 7]
    stats = provider.stats()
    assert (stats["exported"], stats["dropped"]["export_failed"], stats["queued"]) == (19, 1, 0)
    provider.shutdown(1)


def test_what_arrived_before_a_failure_is_counted_as_exported(chaos: Chaos) -> None:
    def third_fails(handler: BaseHTTPRequestHandler) -> None:
        answer(500 if len(chaos.requests) >= 4 else 413 if len(chaos.requests) == 1 else 200)(handler)

    chaos.script = [third_fails]
    provider = fasttrace.TracerProvider(exporter=OTLPExporter(chaos.endpoint), schedule_delay=60)
    for number in range(8):
        provider.get_tracer("test").start_span("operation", attributes={"number": number}).end()
    assert provider.flush(20)
    for number in range(8):
        provider.get_tracer("test").start_span("operation", attributes={"number": number}).end()
    assert not provider.flush(20)
    stats = provider.stats()
    assert stats["started"] == 16 == stats["exported"] + stats["dropped"]["export_failed"]
    assert stats["exported"] == 8
    provider.shutdown(1)
