"""Zipkin v2 JSON (openzipkin/zipkin-api, zipkin2-api.yaml): a list of spans. Times are microseconds, tags are texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

from fasttrace._core.types import Event, InstrumentationScope, SpanData, SpanKind, Status, StatusCode
from fasttrace.export.zipkin import to_zipkin

NAME = "zipkin"
TITLE = "Zipkin's JSON"
SUFFIXES = (".zipkin.json",)


def write(traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """One list with all spans."""
    yield b"["
    before = b""
    for spans in traces:
        for span in spans:
            yield before + json.dumps(to_zipkin(span), separators=(",", ":"), default=str).encode()
            before = b","
    yield b"]\n"


def is_it(data: Any) -> bool:
    """Whether a JSON value is of this format: a list of spans, or of lists of them as Zipkin answers."""
    while isinstance(data, list) and data:
        data = data[0]
    return data == [] or (isinstance(data, dict) and "traceId" in data and "id" in data)


def read(data: Any) -> list[SpanData]:
    """The spans of a list. Raises ValueError for what is none."""
    items = [item for part in data for item in (part if isinstance(part, list) else [part])]
    try:
        spans = [_read_span(item) for item in items]
        _part_shared(spans, [bool(item.get("shared")) for item in items])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not Zipkin's JSON: {type(error).__name__}: {error}") from None
    return spans


def _read_span(item: dict[str, Any]) -> SpanData:
    span = SpanData()
    span.trace_id = item["traceId"].lower().rjust(32, "0")
    span.span_id = item["id"].lower().rjust(16, "0")
    span.parent_span_id = (item.get("parentId") or "").lower()
    span.name = item.get("name") or ""
    kind = item.get("kind") or "INTERNAL"
    span.kind = SpanKind[kind] if kind in SpanKind.__members__ else SpanKind.INTERNAL
    span.start_time_ns = int(item.get("timestamp") or 0) * 1000
    span.end_time_ns = span.start_time_ns + int(item.get("duration") or 0) * 1000
    span.resource = {"service.name": (item.get("localEndpoint") or {}).get("serviceName") or ""}
    tags = {str(key): str(value) for key, value in (item.get("tags") or {}).items()}
    span.scope = InstrumentationScope(tags.pop("otel.scope.name", ""), tags.pop("otel.scope.version", ""))
    code = tags.pop("otel.status_code", "")
    if "error" in tags or code == "ERROR":
        span.status = Status(StatusCode.ERROR, tags.pop("error", "") or None)
    elif code == "OK":
        span.status = Status(StatusCode.OK)
    for what in ("attributes", "events", "links"):
        count = tags.pop(f"otel.dropped_{what}_count", "0")
        setattr(span, f"dropped_{what}_count", int(count) if count.isdecimal() else 0)
    remote = (item.get("remoteEndpoint") or {}).get("serviceName")
    if remote and not any(value == remote for value in tags.values()):
        tags["peer.service"] = str(remote)
    span.attributes = dict(tags)
    span.events = [_read_annotation(annotation) for annotation in item.get("annotations") or ()]
    return span


def _read_annotation(item: dict[str, Any]) -> Event:
    """``{"name": {attributes}}`` is what OpenTelemetry makes of an event with attributes."""
    value = str(item.get("value") or "")
    attributes: dict[str, Any] = {}
    if value.startswith("{"):
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if isinstance(found, dict) and len(found) == 1 and isinstance(next(iter(found.values())), dict):
            value, attributes = next(iter(found.items()))
    return Event(value, int(item.get("timestamp") or 0) * 1000, attributes)


def _part_shared(spans: list[SpanData], shared: list[bool]) -> None:
    """Where a server took over its client's span id, the client gets one of its own, above the server's."""
    servers = {(span.trace_id, span.span_id): span for span, taken in zip(spans, shared, strict=True) if taken}
    for span, taken in zip(spans, shared, strict=True):
        server = servers.get((span.trace_id, span.span_id))
        if server is not None and not taken and span.kind == SpanKind.CLIENT:
            digest = blake2b(f"{span.trace_id}{span.span_id}".encode(), digest_size=8)
            span.span_id = server.parent_span_id = digest.hexdigest()
