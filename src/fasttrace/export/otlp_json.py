"""Spans as OTLP/JSON (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding").

Ids are hex, 64-bit numbers decimal text, enumerations numbers, other bytes base64.
"""

from __future__ import annotations

from base64 import b64encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fasttrace._core import InstrumentationScope, SpanData, Status


def to_otlp_json(spans: Iterable[SpanData]) -> dict[str, Any]:
    """A ``TracesData`` object; spans are grouped by resource and scope in order of first appearance."""
    groups: dict[str, tuple[dict[str, Any], dict[str, tuple[InstrumentationScope, list[SpanData]]]]] = {}
    for span in spans:
        _resource, scopes = groups.setdefault(repr(span.resource), (span.resource, {}))
        scope = span.scope
        key = repr((scope.name, scope.version, scope.schema_url, scope.attributes))
        scopes.setdefault(key, (scope, []))[1].append(span)
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [_scope_spans(scope, members) for scope, members in scopes.values()],
            }
            for resource, scopes in groups.values()
        ]
    }


def _scope_spans(scope: InstrumentationScope, spans: list[SpanData]) -> dict[str, Any]:
    found: dict[str, Any] = {"scope": {"name": scope.name}, "spans": [_span(span) for span in spans]}
    if scope.version:
        found["scope"]["version"] = scope.version
    if scope.attributes:
        found["scope"]["attributes"] = _attributes(scope.attributes)
    if scope.schema_url:
        found["schemaUrl"] = scope.schema_url
    return found


def _span(span: SpanData) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "traceState": span.trace_state,
        "parentSpanId": span.parent_span_id,
        "name": span.name,
        "kind": span.kind + 1,
        "startTimeUnixNano": str(span.start_time_ns),
        "endTimeUnixNano": str(span.end_time_ns),
        "attributes": _attributes(span.attributes),
        "droppedAttributesCount": span.dropped_attributes_count,
        "events": [
            {
                "timeUnixNano": str(event.time_ns),
                "name": event.name,
                "attributes": _attributes(event.attributes),
                "droppedAttributesCount": event.dropped_attributes_count,
            }
            for event in span.events
        ],
        "droppedEventsCount": span.dropped_events_count,
        "links": [
            {
                "traceId": link.trace_id,
                "spanId": link.span_id,
                "traceState": link.trace_state,
                "attributes": _attributes(link.attributes),
                "droppedAttributesCount": link.dropped_attributes_count,
                "flags": link.flags,
            }
            for link in span.links
        ],
        "droppedLinksCount": span.dropped_links_count,
        "status": _status(span.status) if span.status.status_code else "",
        "flags": span.flags,
    }
    return {key: value for key, value in found.items() if value not in ("", 0, [])}


def _status(status: Status) -> dict[str, Any]:
    found: dict[str, Any] = {"code": int(status.status_code)}
    if status.description:
        found["message"] = status.description
    return found


def _attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": _double(value)}
    if isinstance(value, bytes):
        return {"bytesValue": b64encode(value).decode()}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _attributes(value)}}
    return {"arrayValue": {"values": [_value(item) for item in value]}}


def _double(value: float) -> float | str:
    """JSON has no NaN and no infinities: proto3's JSON mapping spells them out."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value
