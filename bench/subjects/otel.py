"""The OpenTelemetry SDK with its batch processor and an exporter that encodes as the OTLP exporter does."""

from __future__ import annotations

import time
from typing import Any

import cases


def make() -> cases.Subject:
    from opentelemetry import propagate, trace
    from opentelemetry.exporter.otlp.proto.common._internal import _encode_attributes
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

    class Encoding(SpanExporter):
        spent = 0

        def export(self, spans: Any) -> SpanExportResult:
            begin = time.thread_time_ns()
            encode_spans(spans).SerializeToString()
            self.spent += time.thread_time_ns() - begin
            return SpanExportResult.SUCCESS

    exporter = Encoding()
    processor = BatchSpanProcessor(exporter)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    unsampled = TracerProvider(ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    unsampled.add_span_processor(BatchSpanProcessor(Encoding()))

    def drain() -> int:
        processor.force_flush()
        spent, exporter.spent = exporter.spent, 0
        return spent

    ids = RandomIdGenerator()
    names = {
        "start": provider.get_tracer("bench").start_as_current_span,
        "current_span": trace.get_current_span,
        "trace_id": ids.generate_trace_id,
        "span_id": ids.generate_span_id,
        "extract": propagate.extract,
        "inject": propagate.inject,
        "encode_attributes": _encode_attributes,
        "Resource": Resource,
    }
    say = cases.Dialect(
        current="current_span()",
        ids="trace_id(); span_id()",
        extract="extract(HEADERS)",
        inject="inject({})",
        encode="Resource(attributes=encode_attributes(FOUR)).SerializeToString()",
    )
    off = {"start": unsampled.get_tracer("bench").start_as_current_span}
    return cases.Subject("otel", cases.build(say, names, off), drain)
