"""OTLP/JSON: a ``TracesData`` object, or one on each line (OpenTelemetry, "OTLP File Exporter")."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from fasttrace._core import decode
from fasttrace._core.types import SpanData
from fasttrace.export.otlp_json import to_otlp_json
from fasttrace.local.otlp_json import request_from

NAME = "otlp-json"
TITLE = "OTLP in JSON, one object a line"
SUFFIXES = (".otlp.jsonl", ".jsonl", ".otlp.json", ".ndjson")


def write(traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """A line for each of the lists."""
    for spans in traces:
        yield (
            json.dumps(to_otlp_json(spans), separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
            + b"\n"
        )


def is_it(data: Any) -> bool:
    """Whether a JSON value is of this format."""
    return isinstance(data, dict) and ("resourceSpans" in data or "batches" in data)


def read(data: Any) -> list[SpanData]:
    """The spans of one object; Tempo's ``batches`` are taken for ``resourceSpans``. Raises ValueError."""
    if "batches" in data and "resourceSpans" not in data:
        data = {"resourceSpans": data["batches"]}
    try:
        return decode.decode_request(request_from(data))
    except ValueError as error:
        raise ValueError(f"not OTLP/JSON: {error}") from None
