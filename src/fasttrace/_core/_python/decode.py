"""The strict reading side of OTLP, for tests and the local tools.

Every length is checked against what is left before it is used, and nesting is bounded, so that
hostile bytes end in a DecodeError.
"""

from __future__ import annotations

from struct import Struct

from fasttrace._core.layout import MAX_VALUE_DEPTH
from fasttrace._core.types import (
    DecodeError,
    Event,
    InstrumentationScope,
    SpanData,
    SpanKind,
    SpanLink,
    Status,
    StatusCode,
)

__all__ = ["decode_request", "decode_span"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# What a span (it has its ids), an event and a link take at least: empty ones would cost memory a hundred times
# their size. A small request may hold any.
_SPAN_BYTES, _EVENT_BYTES, _FREE_BYTES = 24, 8, 65536
_DOUBLE = Struct("<d")
_KINDS = tuple(SpanKind)
_CODES = tuple(StatusCode)


class _Cursor:
    """A message being read: after ``next`` the field's number, its wire type and its value.

    The value is ``number``, or the bytes from ``begin`` to ``stop`` of ``data``. ``room`` is what is left for spans,
    events and links, and the same for all messages in one.
    """

    __slots__ = ("at", "begin", "data", "end", "field", "number", "room", "stop", "wire")

    def __init__(self, data: bytes, at: int, end: int, room: list[int]) -> None:
        self.data = data
        self.room = room
        self.at = at
        self.end = end
        self.field = self.wire = self.number = self.begin = self.stop = 0

    def inside(self) -> _Cursor:
        """The message that the field just read holds."""
        self.expect(_BYTES)
        return _Cursor(self.data, self.begin, self.stop, self.room)

    def fault(self, text: str) -> DecodeError:
        return DecodeError(f"{text} at offset {self.at}")

    def varint(self) -> int:
        value = shift = 0
        while True:
            if self.at == self.end:
                raise self.fault("cut short")
            byte = self.data[self.at]
            if shift == 63 and byte > 1:
                raise self.fault("a varint of more than 64 bits")
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def next(self) -> bool:
        """Read one field; False at the end of the message."""
        if self.at == self.end:
            return False
        tag = self.varint()
        self.wire = tag & 7
        if tag >> 3 == 0 or tag >> 32:
            raise self.fault("a field number out of range")
        self.field = tag >> 3
        if self.wire == _VARINT:
            self.number = self.varint()
        elif self.wire == _BYTES:
            size = self.varint()
            if size > self.end - self.at:
                raise self.fault("cut short")
            self.begin = self.at
            self.at = self.stop = self.at + size
        elif self.wire in (_FIXED64, _FIXED32):
            size = 8 if self.wire == _FIXED64 else 4
            if self.end - self.at < size:
                raise self.fault("cut short")
            self.number = int.from_bytes(self.data[self.at : self.at + size], "little")
            self.at += size
        else:
            raise self.fault(f"wire type {self.wire}")
        return True

    def expect(self, wire: int) -> None:
        if self.wire != wire:
            raise self.fault(f"field {self.field} has wire type {self.wire}, not {wire},")

    def take(self, size: int) -> None:
        """Room for one more object that takes so many bytes at least."""
        self.expect(_BYTES)
        self.room[0] -= size
        if self.room[0] < 0:
            raise self.fault("more spans, events and links than so few bytes can hold")

    def text(self) -> str:
        self.expect(_BYTES)
        try:
            return self.data[self.begin : self.stop].decode()
        except UnicodeDecodeError:
            raise self.fault(f"field {self.field} is not UTF-8") from None

    def identifier(self, size: int) -> str:
        """An id in hex; "" when it is empty."""
        self.expect(_BYTES)
        found = self.stop - self.begin
        if found not in (0, size):
            raise self.fault(f"an id of {found} bytes, not {size},")
        return self.data[self.begin : self.stop].hex()

    def count(self) -> int:
        self.expect(_VARINT)
        return self.number & 0xFFFFFFFF

    def fixed64(self) -> int:
        self.expect(_FIXED64)
        return self.number

    def fixed32(self) -> int:
        self.expect(_FIXED32)
        return self.number


def _value(cursor: _Cursor, depth: int, value: Any) -> Any:
    """Merge an AnyValue into one read before: the last case wins, and two lists or mappings are joined."""
    if depth > MAX_VALUE_DEPTH:
        raise cursor.fault(f"values nested deeper than {MAX_VALUE_DEPTH} levels")
    while cursor.next():
        if cursor.field == 1:
            value = cursor.text()
        elif cursor.field == 2:
            cursor.expect(_VARINT)
            value = cursor.number != 0
        elif cursor.field == 3:
            cursor.expect(_VARINT)
            value = cursor.number - (1 << 64) if cursor.number >> 63 else cursor.number
        elif cursor.field == 4:
            value = _DOUBLE.unpack(cursor.fixed64().to_bytes(8, "little"))[0]
        elif cursor.field == 5:
            inner = cursor.inside()
            if type(value) is not list:
                value = []
            while inner.next():
                if inner.field == 1:
                    value.append(_value(inner.inside(), depth + 1, None))
        elif cursor.field == 6:
            inner = cursor.inside()
            if type(value) is not dict:
                value = {}
            while inner.next():
                if inner.field == 1:
                    _attribute(inner, depth + 1, value)
        elif cursor.field == 7:
            cursor.expect(_BYTES)
            value = cursor.data[cursor.begin : cursor.stop]
    return value


def _attribute(cursor: _Cursor, depth: int, attributes: dict[str, Any]) -> None:
    """One KeyValue; of equal keys the last wins."""
    inner = cursor.inside()
    key = ""
    value = None
    while inner.next():
        if inner.field == 1:
            key = inner.text()
        elif inner.field == 2:
            value = _value(inner.inside(), depth, value)
    attributes[key] = value


def _event(cursor: _Cursor) -> Event:
    event = Event("", 0, {})
    while cursor.next():
        if cursor.field == 1:
            event.time_ns = cursor.fixed64()
        elif cursor.field == 2:
            event.name = cursor.text()
        elif cursor.field == 3:
            _attribute(cursor, 0, event.attributes)
        elif cursor.field == 4:
            event.dropped_attributes_count = cursor.count()
    return event


def _link(cursor: _Cursor) -> SpanLink:
    link = SpanLink("", "", {})
    while cursor.next():
        if cursor.field == 1:
            link.trace_id = cursor.identifier(16)
        elif cursor.field == 2:
            link.span_id = cursor.identifier(8)
        elif cursor.field == 3:
            link.trace_state = cursor.text()
        elif cursor.field == 4:
            _attribute(cursor, 0, link.attributes)
        elif cursor.field == 5:
            link.dropped_attributes_count = cursor.count()
        elif cursor.field == 6:
            link.flags = cursor.fixed32()
    return link


def _span(cursor: _Cursor) -> SpanData:
    span = SpanData()
    code = 0
    message = ""
    while cursor.next():
        field = cursor.field
        if field == 1:
            span.trace_id = cursor.identifier(16)
        elif field == 2:
            span.span_id = cursor.identifier(8)
        elif field == 3:
            span.trace_state = cursor.text()
        elif field == 4:
            span.parent_span_id = cursor.identifier(8)
        elif field == 5:
            span.name = cursor.text()
        elif field == 6:
            cursor.expect(_VARINT)
            span.kind = _KINDS[cursor.number - 1] if 1 <= cursor.number <= 5 else SpanKind.INTERNAL
        elif field == 7:
            span.start_time_ns = cursor.fixed64()
        elif field == 8:
            span.end_time_ns = cursor.fixed64()
        elif field == 9:
            _attribute(cursor, 0, span.attributes)
        elif field == 10:
            span.dropped_attributes_count = cursor.count()
        elif field == 11:
            cursor.take(_EVENT_BYTES)
            span.events.append(_event(cursor.inside()))
        elif field == 12:
            span.dropped_events_count = cursor.count()
        elif field == 13:
            cursor.take(_EVENT_BYTES)
            span.links.append(_link(cursor.inside()))
        elif field == 14:
            span.dropped_links_count = cursor.count()
        elif field == 15:
            inner = cursor.inside()
            while inner.next():
                if inner.field == 2:
                    message = inner.text()
                elif inner.field == 3:
                    inner.expect(_VARINT)
                    code = inner.number
        elif field == 16:
            span.flags = cursor.fixed32()
    span.status = Status(_CODES[code] if code <= 2 else StatusCode.UNSET, message or None)
    return span


def _scope_spans(cursor: _Cursor, resource: dict[str, Any], spans: list[SpanData]) -> None:
    scope = InstrumentationScope("")
    while cursor.next():
        if cursor.field == 1:
            inner = cursor.inside()
            while inner.next():
                if inner.field == 1:
                    scope.name = inner.text()
                elif inner.field == 2:
                    scope.version = inner.text()
                elif inner.field == 3:
                    _attribute(inner, 0, scope.attributes)
        elif cursor.field == 2:
            cursor.take(_SPAN_BYTES)
            span = _span(cursor.inside())
            span.resource = resource
            span.scope = scope
            spans.append(span)
        elif cursor.field == 3:
            scope.schema_url = cursor.text()


def _resource_spans(cursor: _Cursor, spans: list[SpanData]) -> None:
    resource: dict[str, Any] = {}
    while cursor.next():
        if cursor.field == 1:
            inner = cursor.inside()
            while inner.next():
                if inner.field == 1:
                    _attribute(inner, 0, resource)
        elif cursor.field == 2:
            _scope_spans(cursor.inside(), resource, spans)


def _whole(data: bytes, name: str) -> _Cursor:
    if type(data) is not bytes:
        raise TypeError(f"Argument '{name}' has incorrect type (expected bytes, got {type(data).__name__})")
    return _Cursor(data, 0, len(data), [len(data) + _FREE_BYTES])


def decode_span(body: bytes) -> SpanData:
    """Read the body of an OTLP ``Span``. Unknown fields are skipped, later singular fields win, messages merge.

    Raises DecodeError (a ValueError) for a cut or overlong field, a wrong wire type, text that is
    not UTF-8, an id of a wrong size, or values nested deeper than 32 levels.
    """
    return _span(_whole(body, "body"))


def decode_request(data: bytes) -> list[SpanData]:
    """Read an ``ExportTraceServiceRequest`` or ``TracesData``: every span with its resource and scope."""
    cursor = _whole(data, "data")
    spans: list[SpanData] = []
    while cursor.next():
        if cursor.field == 1:
            _resource_spans(cursor.inside(), spans)
    return spans
