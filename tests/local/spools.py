"""Spools with given spans, written as frames by the real exporter."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from fasttrace._core.types import SpanData
from fasttrace.export import SpoolExporter
from fasttrace.export.otlp_json import to_otlp_json


def otlp(spans: Iterable[SpanData]) -> bytes:
    """Spans as the official protobuf package encodes them."""
    from base64 import b64encode

    data = to_otlp_json(spans)

    def ids(value: Any) -> Any:
        # protobuf's JSON has base64 where OTLP's has hex.
        if isinstance(value, dict):
            return {
                key: b64encode(bytes.fromhex(item)).decode() if key in ("traceId", "spanId", "parentSpanId") else ids(item)
                for key, item in value.items()
            }  # fmt: skip
        return [ids(item) for item in value] if isinstance(value, list) else value

    request: bytes = ParseDict(ids(data), TracesData()).SerializeToString()
    return request


def put(directory: object, *batches: Iterable[SpanData]) -> None:
    """One segment with a frame for each batch."""
    exporter = SpoolExporter(os.fspath(directory))  # type: ignore[call-overload]
    for batch in batches:
        exporter.append(otlp(batch))
    exporter.shutdown(1)
