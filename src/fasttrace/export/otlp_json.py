"""Spans as OTLP/JSON and back (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding").

Ids are hex, 64-bit numbers decimal text, enumerations numbers, other bytes base64.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from fasttrace._core import Event, InstrumentationScope, SpanData, SpanKind, SpanLink, Status, StatusCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


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


def from_otlp_json(data: dict[str, Any]) -> list[SpanData]:
    """The spans of a ``TracesData`` object. Raises ValueError for what is none."""
    try:
        spans: list[SpanData] = []
        for resource_spans in data["resourceSpans"]:
            resource = _read_attributes(resource_spans.get("resource", {}).get("attributes", ()))
            for scope_spans in resource_spans.get("scopeSpans", ()):
                found = scope_spans.get("scope", {})
                scope = InstrumentationScope(
                    found.get("name", ""),
                    found.get("version", ""),
                    scope_spans.get("schemaUrl", ""),
                    _read_attributes(found.get("attributes", ())),
                )
                spans += [_read_span(item, resource, scope) for item in scope_spans.get("spans", ())]
        return spans
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"not OTLP/JSON: {type(error).__name__}: {error}") from None


def _read_span(item: dict[str, Any], resource: dict[str, Any], scope: InstrumentationScope) -> SpanData:
    span = SpanData()
    span.resource, span.scope = resource, scope
    span.trace_id = item.get("traceId", "").lower()
    span.span_id = item.get("spanId", "").lower()
    span.trace_state = item.get("traceState", "")
    span.parent_span_id = item.get("parentSpanId", "").lower()
    span.name = item.get("name", "")
    span.kind = SpanKind(max(int(item.get("kind", 1)) - 1, 0))
    span.start_time_ns = int(item.get("startTimeUnixNano", 0))
    span.end_time_ns = int(item.get("endTimeUnixNano", 0))
    span.attributes = _read_attributes(item.get("attributes", ()))
    span.dropped_attributes_count = int(item.get("droppedAttributesCount", 0))
    span.dropped_events_count = int(item.get("droppedEventsCount", 0))
    span.dropped_links_count = int(item.get("droppedLinksCount", 0))
    span.flags = int(item.get("flags", 0))
    span.events = [
        Event(
            event.get("name", ""),
            int(event.get("timeUnixNano", 0)),
            _read_attributes(event.get("attributes", ())),
            int(event.get("droppedAttributesCount", 0)),
        )
        for event in item.get("events", ())
    ]
    span.links = [
        SpanLink(
            link.get("traceId", "").lower(),
            link.get("spanId", "").lower(),
            _read_attributes(link.get("attributes", ())),
            link.get("traceState", ""),
            int(link.get("flags", 0)),
            int(link.get("droppedAttributesCount", 0)),
        )
        for link in item.get("links", ())
    ]
    status = item.get("status", {})
    span.status = Status(StatusCode(int(status.get("code", 0))), status.get("message") or None)
    return span


def _read_attributes(items: Any) -> dict[str, Any]:
    return {item["key"]: _read_value(item.get("value", {})) for item in items}


def _read_value(value: dict[str, Any]) -> Any:
    for case, content in value.items():
        if case == "intValue":
            return int(content)
        if case == "doubleValue":
            return float(content)
        if case == "bytesValue":
            return b64decode(content)
        if case == "arrayValue":
            return [_read_value(item) for item in content.get("values", ())]
        if case == "kvlistValue":
            return _read_attributes(content.get("values", ()))
        if case in ("stringValue", "boolValue"):
            return content
    return None
