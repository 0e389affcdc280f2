"""The record of an ended span: header and body."""

from __future__ import annotations

from fasttrace._core._python.otlp import attribute, length_field, text_field, utf8, varint
from fasttrace._core.layout import (
    DETAIL_BARE,
    DETAIL_KEPT_KEYS,
    DETAIL_KEY,
    DETAILS,
    RECORD_FLAG_ERROR,
    RECORD_FLAG_HTTP_5XX,
    RECORD_FLAG_LOCAL_ROOT,
    RECORD_FLAG_REMOTE_PARENT,
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    RECORD_KIND_SPAN,
    RECORD_MAGIC,
    SPAN_FLAG_HAS_IS_REMOTE,
    SPAN_FLAG_IS_REMOTE,
)
from fasttrace._core.types import StatusCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace._core._python.span import Span

_HTTP_STATUS_CODE = "http.response.status_code"
_HTTP_ROUTE = "http.route"
_UNSET, _ERROR = StatusCode.UNSET.value, StatusCode.ERROR.value


def encode(span: Span) -> bytes:
    """Header and body of the record; the span keeps the header's flags."""
    flags = span._record_flags
    trace_id, span_id = span._trace_id.to_bytes(16, "big"), span._span_id.to_bytes(8, "big")
    parts = [b"\x0a\x10", trace_id, b"\x12\x08", span_id]
    if span._header is not None:
        parts.append(text_field(b"\x1a", span._header))
    if span._parent_span_id:
        parts += (b"\x22\x08", span._parent_span_id.to_bytes(8, "big"))
    parts += (
        text_field(b"\x2a", span._name),
        b"\x30",
        varint(span._kind + 1),
        b"\x39",
        span._start_time_ns.to_bytes(8, "little"),
        b"\x41",
        span._end_time_ns.to_bytes(8, "little"),
    )
    # A copy: another thread may be in the middle of setting one.
    members, left_out = list(span._attributes.items()), 0
    if span._detail >= DETAIL_BARE:
        kept = [member for member in members if member[0] in DETAIL_KEPT_KEYS]
        members, left_out = kept, len(members) - len(kept)
    parts += [attribute(b"\x4a", key, value) for key, value in members]
    if span._detail:
        parts.append(attribute(b"\x4a", DETAIL_KEY, DETAILS[span._detail]))
        recorder = span._recorder
        assert recorder is not None
        with recorder._lock:
            recorder._detail_attributes += left_out
    status_code = span._attributes.get(_HTTP_STATUS_CODE)
    if type(status_code) is int and 500 <= status_code < 600:
        flags |= RECORD_FLAG_HTTP_5XX
    parts.append(_count(b"\x50", span._attributes_dropped + left_out))
    parts += span._events
    parts.append(_count(b"\x60", span._events_dropped))
    parts += span._links
    parts.append(_count(b"\x70", span._links_dropped))
    if span._status != _UNSET:
        message = text_field(b"\x12", span._description or "")
        parts.append(length_field(b"\x7a", message + b"\x18" + varint(span._status)))
        if span._status == _ERROR:
            flags |= RECORD_FLAG_ERROR
    remote = SPAN_FLAG_IS_REMOTE if flags & RECORD_FLAG_REMOTE_PARENT else 0
    parts += (b"\x85\x01", (span._flags | SPAN_FLAG_HAS_IS_REMOTE | remote).to_bytes(4, "little"))
    body = b"".join(parts)
    assert span._tracer is not None
    bits = _judge(span, flags)
    span._record_flags = flags
    header = RECORD_HEADER.pack(
        RECORD_MAGIC,
        RECORD_KIND_SPAN,
        flags,
        RECORD_HEADER_BYTES + len(body),
        span._tracer._scope_index,
        0,
        bits,
        _route_hash(span) if span._local_trace is not None and flags & RECORD_FLAG_LOCAL_ROOT else 0,
        trace_id,
        span_id,
        span._start_time_ns,
        span._end_time_ns - span._start_time_ns,
    )
    return header + body


def _judge(span: Span, flags: int) -> int:
    """The bits of the tail rules that this span meets, and those that its trace has by now."""
    tail = None if span._recorder is None else span._recorder._tail
    if tail is None:
        return 0
    bits = tail.duration_bits(span._end_time_ns - span._start_time_ns) | tail.attribute_bits(span._attributes)
    if flags & RECORD_FLAG_ERROR:
        bits |= tail.error_mask
    if flags & RECORD_FLAG_HTTP_5XX:
        bits |= tail.http_5xx_mask
    if span._raised:
        bits |= tail.exception_mask
    return bits if span._local_trace is None else span._local_trace.add(bits)


def _route_hash(span: Span) -> int:
    """FNV-1a: a route's number, or that of the name without one."""
    route = span._attributes.get(_HTTP_ROUTE)
    value = 0x811C9DC5
    for byte in utf8(route if type(route) is str else span._name):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def _count(tag: bytes, count: int) -> bytes:
    return tag + varint(count) if count else b""
