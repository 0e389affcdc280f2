"""Jaeger's JSON, as its user interface loads and saves it; fields as in OpenTelemetry, "OpenTelemetry to Jaeger".

Times are microseconds; lists and mappings become JSON texts.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any

from fasttrace._core.types import Event, InstrumentationScope, SpanData, SpanKind, SpanLink, Status, StatusCode
from fasttrace.local.facts import service_of
from fasttrace.local.model import group_traces

NAME = "jaeger"
TITLE = "Jaeger's JSON"
SUFFIXES = (".jaeger.json",)
_SAFE_INTEGER = 2**53


def write(traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """One object with all traces."""
    yield b'{"data":['
    before = b""
    for spans in traces:
        for trace_id, members in group_traces(spans).items():
            yield before + json.dumps(_trace(trace_id, members), separators=(",", ":"), default=str).encode()
            before = b","
    yield b"]}\n"


def _trace(trace_id: str, spans: list[SpanData]) -> dict[str, Any]:
    processes: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    found = []
    for span in spans:
        key = repr(span.resource)
        if key not in names:
            names[key] = f"p{len(names) + 1}"
            tags = _tags({name: value for name, value in span.resource.items() if name != "service.name"})
            processes[names[key]] = {"serviceName": service_of(span.resource), "tags": tags}
        found.append(_span(span, names[key]))
    return {"traceID": trace_id, "spans": found, "processes": processes, "warnings": None}


def _span(span: SpanData, process: str) -> dict[str, Any]:
    references = [_reference("FOLLOWS_FROM", link.trace_id, link.span_id) for link in span.links]
    if span.parent_span_id:
        references.insert(0, _reference("CHILD_OF", span.trace_id, span.parent_span_id))
    return {
        "traceID": span.trace_id,
        "spanID": span.span_id,
        "operationName": span.name,
        "references": references,
        "startTime": span.start_time_ns // 1000,
        "duration": max(0, span.end_time_ns - span.start_time_ns) // 1000,
        "tags": _tags(span.attributes) + _tags(_of_span(span)),
        "logs": [
            {"timestamp": event.time_ns // 1000, "fields": _tags({"event": event.name, **event.attributes})}
            for event in span.events
        ],
        "processID": process,
        "warnings": None,
    }


def _reference(kind: str, trace_id: str, span_id: str) -> dict[str, str]:
    return {"refType": kind, "traceID": trace_id, "spanID": span_id}


def _of_span(span: SpanData) -> dict[str, Any]:
    """What Jaeger has no field for."""
    found: dict[str, Any] = {"span.kind": span.kind.name.lower()}
    if span.status.status_code != StatusCode.UNSET:
        found["otel.status_code"] = span.status.status_code.name
    if span.status.status_code == StatusCode.ERROR:
        found["error"] = True
        if span.status.description:
            found["otel.status_description"] = span.status.description
    if span.scope.name:
        found["otel.scope.name"] = span.scope.name
    if span.scope.version:
        found["otel.scope.version"] = span.scope.version
    if span.trace_state:
        found["w3c.tracestate"] = span.trace_state
    return {key: value for key, value in found.items() if key not in span.attributes}


def _tags(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, **_typed(value)} for key, value in attributes.items()]


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"type": "bool", "value": value}
    if isinstance(value, int):
        # What a browser would round is written as text, as Jaeger does.
        return {"type": "int64", "value": value if abs(value) < _SAFE_INTEGER else str(value)}
    if isinstance(value, float):
        return {"type": "float64", "value": value if isfinite(value) else str(value)}
    if isinstance(value, bytes):
        return {"type": "binary", "value": b64encode(value).decode()}
    if isinstance(value, str):
        return {"type": "string", "value": value}
    text = "" if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
    return {"type": "string", "value": text}


def is_it(data: Any) -> bool:
    """Whether a JSON value is of this format: Jaeger's answer, or one trace of it."""
    if not isinstance(data, dict):
        return False
    traces = data.get("data", [data])
    return isinstance(traces, list) and all(
        isinstance(one, dict) and "spans" in one and "processes" in one for one in traces
    )


def read(data: dict[str, Any]) -> list[SpanData]:
    """The spans of an object. Raises ValueError for what is none."""
    try:
        return [
            _read_span(item, trace.get("processes") or {})
            for trace in data.get("data", [data])
            for item in trace["spans"] or ()
        ]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"not Jaeger's JSON: {type(error).__name__}: {error}") from None


def _read_span(item: dict[str, Any], processes: dict[str, Any]) -> SpanData:
    span = SpanData()
    span.trace_id = item["traceID"].lower().rjust(32, "0")
    span.span_id = item["spanID"].lower().rjust(16, "0")
    span.name = item.get("operationName", "")
    span.start_time_ns = int(item.get("startTime", 0)) * 1000
    span.end_time_ns = span.start_time_ns + int(item.get("duration", 0)) * 1000
    process = item.get("process") or processes.get(item.get("processID", "")) or {}
    span.resource = {"service.name": process.get("serviceName", ""), **_read_tags(process.get("tags"))}
    attributes = span.attributes = _read_tags(item.get("tags"))
    kind = str(attributes.pop("span.kind", "internal")).upper()
    span.kind = SpanKind[kind] if kind in SpanKind.__members__ else SpanKind.INTERNAL
    span.scope = InstrumentationScope(
        str(attributes.pop("otel.scope.name", attributes.pop("otel.library.name", ""))),
        str(attributes.pop("otel.scope.version", attributes.pop("otel.library.version", ""))),
    )
    span.trace_state = str(attributes.pop("w3c.tracestate", ""))
    span.status = _read_status(attributes)
    for reference in item.get("references") or ():
        trace_id = reference["traceID"].lower().rjust(32, "0")
        span_id = reference["spanID"].lower().rjust(16, "0")
        if reference.get("refType") == "CHILD_OF" and trace_id == span.trace_id and not span.parent_span_id:
            span.parent_span_id = span_id
        else:
            span.links.append(SpanLink(trace_id, span_id, {}))
    if not span.parent_span_id and item.get("parentSpanID", "").strip("0"):
        span.parent_span_id = item["parentSpanID"].lower().rjust(16, "0")
    for log in item.get("logs") or ():
        fields = _read_tags(log.get("fields"))
        span.events.append(Event(str(fields.pop("event", "log")), int(log.get("timestamp", 0)) * 1000, fields))
    return span


def _read_status(attributes: dict[str, Any]) -> Status:
    code = str(attributes.pop("otel.status_code", "")).upper()
    description = attributes.pop("otel.status_description", None)
    failed = attributes.get("error")
    if code == "ERROR" or failed in (True, "true"):
        if failed in (True, "true"):
            del attributes["error"]
        return Status(StatusCode.ERROR, None if description is None else str(description))
    return Status(StatusCode.OK if code == "OK" else StatusCode.UNSET)


def _read_tags(tags: Any) -> dict[str, Any]:
    return {tag["key"]: _read_value(tag) for tag in tags or ()}


def _read_value(tag: dict[str, Any]) -> Any:
    kind, value = tag.get("type", "string"), tag.get("value")
    if kind == "int64":
        return int(value)  # type: ignore[arg-type]
    if kind == "float64":
        return float(value)  # type: ignore[arg-type]
    if kind == "bool":
        return value in (True, "true")
    if kind == "binary" and isinstance(value, str):
        return b64decode(value)
    return value if isinstance(value, str) else str(value)
