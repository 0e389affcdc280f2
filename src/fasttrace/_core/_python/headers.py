"""The W3C text header and the OpenCensus binary header."""

from __future__ import annotations

from fasttrace._core._python.context import Context, Node, SpanContext, as_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEX = frozenset(b"0123456789abcdef")
# Sampled and random; the other bits are reserved and not passed on.
_KNOWN_FLAGS = 0x03


def _number(text: bytes) -> int | None:
    """The value of lower-case hex digits; ``int`` alone accepts signs, blanks and underscores."""
    return int(text, 16) if _HEX.issuperset(text) else None


def parse_traceparent(value: Any, trace_state: str | None = None) -> Context | None:
    """Read a ``traceparent`` (W3C Trace Context level 2, section 3.2); None when it is malformed.

    Strict ASCII lower-case hex; spaces and tabs around the value are allowed. Version ff is
    refused, version 00 has nothing after its flags, higher versions may. Only the sampled and
    random flags are kept. Any object that is neither str nor bytes gives None. The context is
    remote and carries the tracestate given, unread.
    """
    if isinstance(value, str):
        if not str.isascii(value):
            return None
        data = str.encode(value, "ascii")
    elif isinstance(value, bytes):
        data = bytes(value)
    else:
        return None
    data = data.strip(b" \t")
    if len(data) < 55 or data[2] != 0x2D or data[35] != 0x2D or data[52] != 0x2D:
        return None
    version, trace_id, span_id, flags = (
        _number(data[0:2]),
        _number(data[3:35]),
        _number(data[36:52]),
        _number(data[53:55]),
    )
    if version is None or version == 0xFF or not trace_id or not span_id or flags is None:
        return None
    if len(data) > 55 and (version == 0 or data[55] != 0x2D):
        return None
    context = Context()
    context._trace_id = trace_id
    context._span_id = span_id
    context._flags = flags & _KNOWN_FLAGS
    context._remote = True
    context._header = trace_state if type(trace_state) is str and trace_state else None
    return context


def _valid(span_context: Any) -> Node | None:
    node = as_node(span_context)
    return node if node is not None and node._trace_id and node._span_id else None


def format_traceparent(span_context: Any) -> str:
    """The ``traceparent`` of a context, version 00; "" when the context is invalid."""
    node = _valid(span_context)
    if node is None:
        return ""
    return f"00-{node._trace_id:032x}-{node._span_id:016x}-{node._flags & _KNOWN_FLAGS:02x}"


def encode_binary(span_context: Any) -> bytes:
    """The 29 bytes of ``grpc-trace-bin`` (OpenCensus BinaryEncoding), with the sampled flag; b"" if invalid."""
    node = _valid(span_context)
    if node is None:
        return b""
    trace_id, span_id = node._trace_id.to_bytes(16, "big"), node._span_id.to_bytes(8, "big")
    return b"\x00\x00" + trace_id + b"\x01" + span_id + b"\x02" + bytes((node._flags & 0x01,))


def decode_binary(data: Any) -> SpanContext | None:
    """Read ``grpc-trace-bin``; None when the version is not 0, a field is cut, or an id is missing or zero.

    Fields may come in any order; an unknown field id ends the reading without an error; the
    options may be absent. Takes bytes, bytearray and memoryview; anything else gives None.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        return None
    if isinstance(data, memoryview) and not data.c_contiguous:
        return None
    data = bytes(memoryview(data))
    if not data or data[0] != 0:
        return None
    sizes = (16, 8, 1)
    found = [0, 0, 0]
    position = 1
    while position < len(data):
        field = data[position]
        if field >= len(sizes):
            break
        end = position + 1 + sizes[field]
        if end > len(data):
            return None
        found[field] = int.from_bytes(data[position + 1 : end], "big")
        position = end
    trace_id, span_id, options = found
    if not trace_id or not span_id:
        return None
    return SpanContext(trace_id, span_id, True, options & 0x01)
