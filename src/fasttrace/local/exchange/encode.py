"""Spans as an OTLP request in protobuf: the way back from ``decode``, for what was not recorded here."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any

from fasttrace._core.types import Event, InstrumentationScope, SpanData, SpanLink
from fasttrace.local.wire import part, varint

_DOUBLE = Struct("<d")
_MAX_COUNT = (1 << 32) - 1
_MAX_TIME = (1 << 64) - 1


def encode_request(spans: Iterable[SpanData]) -> bytes:
    """An ``ExportTraceServiceRequest``, equally ``TracesData``; grouped by resource and scope in order of appearance.

    Requests one behind the other are one request, too. Raises ValueError for ids that are not hexadecimal and
    for what is not of the type it should be.
    """
    try:
        return _encode(spans)
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a span as it should be: {error}") from None


def _encode(spans: Iterable[SpanData]) -> bytes:
    groups: dict[bytes, dict[tuple[bytes, str], list[bytes]]] = {}
    last: dict[str, Any] | None = None
    resource = b""
    for span in spans:
        if span.resource is not last:
            last, resource = span.resource, part(1, _attributes(1, span.resource))
        key = (part(1, _scope(span.scope)), span.scope.schema_url)
        groups.setdefault(resource, {}).setdefault(key, []).append(part(2, encode_span(span)))
    return b"".join(
        part(
            1,
            resource
            + b"".join(part(2, scope + b"".join(bodies) + _text(3, url)) for (scope, url), bodies in scopes.items()),
        )
        for resource, scopes in groups.items()
    )


def encode_span(span: SpanData) -> bytes:
    """The body of an OTLP ``Span``."""
    status = _text(2, span.status.description or "") + _count(3, int(span.status.status_code))
    return b"".join(
        (
            part(1, _identifier(span.trace_id, 16)),
            part(2, _identifier(span.span_id, 8)),
            _text(3, span.trace_state),
            part(4, _identifier(span.parent_span_id, 8)) if span.parent_span_id else b"",
            _text(5, span.name),
            _count(6, span.kind + 1),
            _fixed64(7, span.start_time_ns),
            _fixed64(8, span.end_time_ns),
            _attributes(9, span.attributes),
            _count(10, span.dropped_attributes_count),
            *(part(11, _event(event)) for event in span.events),
            _count(12, span.dropped_events_count),
            *(part(13, _link(link)) for link in span.links),
            _count(14, span.dropped_links_count),
            part(15, status) if status else b"",
            _fixed32(16, span.flags),
        )
    )


def _event(event: Event) -> bytes:
    return (
        _fixed64(1, event.time_ns)
        + _text(2, event.name)
        + _attributes(3, event.attributes)
        + _count(4, event.dropped_attributes_count)
    )


def _link(link: SpanLink) -> bytes:
    return (
        part(1, _identifier(link.trace_id, 16))
        + part(2, _identifier(link.span_id, 8))
        + _text(3, link.trace_state)
        + _attributes(4, link.attributes)
        + _count(5, link.dropped_attributes_count)
        + _fixed32(6, link.flags)
    )


def _scope(scope: InstrumentationScope) -> bytes:
    return _text(1, scope.name) + _text(2, scope.version) + _attributes(3, scope.attributes)


def _attributes(field: int, attributes: dict[str, Any]) -> bytes:
    return b"".join(part(field, part(1, _utf8(key)) + part(2, _value(value, 0))) for key, value in attributes.items())


def _value(value: Any, depth: int) -> bytes:
    """The body of an ``AnyValue``; nothing for None."""
    if depth > 30:
        raise ValueError("values nested deeper than 30 levels")
    if value is None:
        return b""
    if isinstance(value, str):
        return part(1, _utf8(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            return part(1, str(value).encode())
        return b"\x18" + varint(value & _MAX_TIME)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE.pack(value)
    if isinstance(value, bytes):
        return part(7, value)
    if isinstance(value, list | tuple):
        return part(5, b"".join(part(1, _value(item, depth + 1)) for item in value))
    if isinstance(value, dict):
        members = (part(1, _utf8(str(key))) + part(2, _value(item, depth + 1)) for key, item in value.items())
        return part(6, b"".join(part(1, member) for member in members))
    raise ValueError(f"a value of type {type(value).__name__}")


def _utf8(text: str) -> bytes:
    """JSON may hold half a pair of surrogates, which UTF-8 has no place for."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode() if _odd(text) else text.encode()


def _odd(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _text(field: int, text: str) -> bytes:
    return part(field, _utf8(text)) if text else b""


def _identifier(text: str, size: int) -> bytes:
    try:
        body = bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"an id that is not hexadecimal: {text!r}") from None
    if len(body) not in (0, size):
        raise ValueError(f"an id of {len(body)} bytes, not {size}: {text}")
    return body


def _count(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(min(max(value, 0), _MAX_COUNT)) if value else b""


def _fixed64(field: int, value: int) -> bytes:
    return varint(field << 3 | 1) + min(max(value, 0), _MAX_TIME).to_bytes(8, "little")


def _fixed32(field: int, value: int) -> bytes:
    return varint(field << 3 | 5) + (value & _MAX_COUNT).to_bytes(4, "little") if value else b""
