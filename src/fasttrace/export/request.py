"""An OTLP request taken apart where its spans begin, without decoding them (trace_service.proto, trace.proto).

``ExportTraceServiceRequest.resource_spans`` = 1, ``ResourceSpans.scope_spans`` = 2, ``ScopeSpans.spans`` = 2.
Every length is checked before it is used; DecodeError for bytes that are no request.
"""

from __future__ import annotations

from fasttrace._core.types import DecodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 1, 2, 2


def count_spans(request: bytes) -> int:
    """How many spans a request holds."""
    count = 0
    for resource_field, begin, end in _fields(request, 0, len(request)):
        if resource_field != _RESOURCE_SPANS:
            continue
        for scope_field, scope_begin, scope_end in _fields(request, begin, end):
            if scope_field == _SCOPE_SPANS:
                count += sum(field == _SPANS for field, _, _ in _fields(request, scope_begin, scope_end))
    return count


def split(request: bytes, first: int) -> tuple[bytes, bytes]:
    """Two requests: one with the first so many spans, one with the rest; resource and scope stand in both."""
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    seen = 0
    for resource_field, begin, end in _fields(request, 0, len(request)):
        if resource_field != _RESOURCE_SPANS:
            continue
        around: list[bytes] = []
        scopes: tuple[list[bytes], list[bytes]] = ([], [])
        for scope_field, scope_begin, scope_end in _fields(request, begin, end):
            if scope_field != _SCOPE_SPANS:
                around.append(_message(scope_field, request[scope_begin:scope_end]))
                continue
            shared: list[bytes] = []
            spans: tuple[list[bytes], list[bytes]] = ([], [])
            for field, at, stop in _fields(request, scope_begin, scope_end):
                if field == _SPANS:
                    spans[seen >= first].append(_message(field, request[at:stop]))
                    seen += 1
                else:
                    shared.append(_message(field, request[at:stop]))
            for side in (0, 1):
                if spans[side]:
                    scopes[side].append(_message(_SCOPE_SPANS, b"".join(shared + spans[side])))
        for side in (0, 1):
            if scopes[side]:
                parts[side].append(_message(_RESOURCE_SPANS, b"".join(around + scopes[side])))
    return b"".join(parts[0]), b"".join(parts[1])


def _message(field: int, body: bytes) -> bytes:
    """A length-delimited field; all fields of these three messages are of this kind."""
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each length-delimited field between two offsets."""
    while at < end:
        tag, at = _read(data, at, end)
        if tag & 7 != 2:
            raise DecodeError(f"no request: a field of wire type {tag & 7} before offset {at}")
        length, at = _read(data, at, end)
        if length > end - at:
            raise DecodeError(f"cut short at offset {at}")
        yield tag >> 3, at, at + length
        at += length


def _read(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DecodeError(f"no varint before offset {at}")
