"""W3C ``traceparent``, single ``b3`` and the OpenCensus binary header."""

from __future__ import annotations

from fasttrace._core._python.context import (
    CURRENT,
    DEFERRED,
    WITHOUT_IDS,
    Context,
    Node,
    SpanContext,
    as_node,
    remote_context,
)
from fasttrace._core.types import BAGGAGE_KEY, DEBUG_VALUES, TraceState

__all__ = [
    "decode_binary",
    "encode_binary",
    "extract_w3c",
    "format_b3",
    "format_traceparent",
    "inject_w3c",
    "parse_b3",
    "parse_traceparent",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace._core._python.span import Span

_HEX = b"0123456789abcdef"
# Two lower-case hex digits.
_OCTETS = {b"%02x" % value: value for value in range(0x100)}
# Sampled and random; the other bits are reserved and not passed on.
_KNOWN_FLAGS = 0x03
_NAMES = frozenset(("traceparent", "tracestate", "baggage"))
_LENGTHS = frozenset(map(len, (*_NAMES, "wsgi.version")))


def _number(text: bytes) -> int | None:
    """The value of lower-case hex digits; ``int`` alone accepts signs, blanks and underscores."""
    return None if text.translate(None, _HEX) else int(text, 16)


def _text(value: Any) -> bytes | None:
    """The ASCII text of a header without blanks and tabs around it; None for any other object."""
    if isinstance(value, str):
        if not str.isascii(value):
            return None
        return str.encode(value, "ascii").strip(b" \t")
    return bytes(value).strip(b" \t") if isinstance(value, bytes) else None


def parse_traceparent(value: Any, trace_state: str | None = None, base: Context | Span | None = None) -> Context | None:
    """Read a ``traceparent`` (W3C Trace Context level 2, section 3.2); None when it is malformed.

    Strict ASCII lower-case hex; spaces and tabs around the value are allowed. Version ff is
    refused, version 00 has nothing after its flags, higher versions may. Only the sampled and
    random flags are kept. Any object that is neither str nor bytes gives None. The context is
    remote and carries the tracestate given, unread, and the values of ``base``, a Context or Span.
    """
    data = _text(value)
    if data is None or len(data) < 55 or data[2] != 0x2D or data[35] != 0x2D or data[52] != 0x2D:
        return None
    version, flags = _OCTETS.get(data[:2]), _OCTETS.get(data[53:55])
    if version is None or version == 0xFF or flags is None:
        return None
    if len(data) > 55 and (version == 0 or data[55] != 0x2D):
        return None
    trace_id, span_id = _number(data[3:35]), _number(data[36:52])
    if not trace_id or not span_id:
        return None
    header = trace_state if type(trace_state) is str and trace_state else None
    return remote_context(trace_id, span_id, flags & _KNOWN_FLAGS, header, base)


def _valid(span_context: Any) -> Node | None:
    node = as_node(span_context)
    return node if node is not None and node._trace_id and node._span_id else None


def format_traceparent(span_context: Any) -> str:
    """The ``traceparent`` of a context, version 00; "" when the context is invalid."""
    node = _valid(span_context)
    if node is None:
        return ""
    return f"00-{node._trace_id:032x}-{node._span_id:016x}-{node._flags_now() & _KNOWN_FLAGS:02x}"


def extract_w3c(carrier: Any, context: Context | Span | None = None) -> Context | None:
    """The context in the W3C headers of a plain dict or a list of pairs; None when the general way must be taken.

    That is: for any other carrier, a name or a value that is neither text nor bytes, a WSGI environ, a field that
    comes twice and may, and for baggage. ``context`` None is what is current; without a usable header its Context.
    """
    # Copies: another thread may be changing the carrier.
    if type(carrier) is dict:
        pairs: list[Any] = list(carrier.items())
    elif type(carrier) is list:
        pairs = carrier.copy()
        if not all(type(pair) is tuple and len(pair) == 2 for pair in pairs):
            return None
    else:
        return None
    found: dict[str, Any] = {}
    several = False
    for name, value in pairs:
        if type(name) is not str and type(name) is not bytes:
            return None
        if len(name) not in _LENGTHS:
            continue
        if type(name) is bytes:
            name = name.decode("latin-1")
        if name == "wsgi.version":
            return None
        # No other script has letters whose small ones are those of these names.
        name = name.lower()
        if name not in _NAMES:
            continue
        if name == "baggage":
            return None
        if type(value) is not str and type(value) is not bytes:
            return None
        if name in found:
            if name == "tracestate":
                return None
            several = True
        found[name] = value
    base: Any = CURRENT.get() if context is None else as_node(context)
    if "traceparent" in found and not several:
        state = found.get("tracestate")
        if state is not None:
            text = state if type(state) is str else state.decode("latin-1")
            state = TraceState.from_header((text,)).to_header()
        parsed = parse_traceparent(found["traceparent"], state, base)
        if parsed is not None:
            return parsed
    return base if type(base) is Context else Context(base)


def inject_w3c(carrier: Any, context: Context | Span | None = None) -> bool:
    """Write the W3C headers of a context, or of what is current, into a plain dict; False if it has baggage, too.

    False, and nothing written, for any other carrier. An invalid context writes nothing.
    """
    if type(carrier) is not dict:
        return False
    node = CURRENT.get() if context is None else as_node(context)
    if node is None:
        return True
    text = format_traceparent(node)
    if text:
        carrier["traceparent"] = text
        if node._header is not None:
            carrier["tracestate"] = node._header
    return node._carried is None or BAGGAGE_KEY not in node._carried


_STATES = (b"0", b"1", b"d")


def parse_b3(value: Any, base: Context | Span | None = None) -> Context | None:
    """Read a single ``b3`` header (b3-propagation, "Single Header"); None when it is malformed.

    Strict ASCII lower-case hex, trace ids of 16 or 32 digits. Without a state the decision is left to us
    (``sampled`` is None); a state alone gives a context without ids that says what was decided. The parent's id
    is checked and not kept, debug becomes the value ``debug``. The context carries the values of ``base``.
    """
    data = _text(value)
    if data is None or len(data) > 68:
        return None
    if data in _STATES:
        context = Context()
        context._remote = True
        context._decision = WITHOUT_IDS
        return _with_state(context, data, base)
    trace, _, rest = data.partition(b"-")
    span, *more = rest.split(b"-")
    if len(trace) not in (16, 32) or len(span) != 16:
        return None
    trace_id, span_id = _number(trace), _number(span)
    if not trace_id or not span_id:
        return None
    state = more.pop(0) if more and len(more[0]) == 1 else b""
    if state and state not in _STATES:
        return None
    if more and (len(more) > 1 or len(more[0]) != 16 or _number(more[0]) is None):
        return None
    context = Context(SpanContext(trace_id, span_id, True))
    if not state:
        context._decision = DEFERRED
    return _with_state(context, state, base)


def _with_state(context: Context, state: bytes, base: Any) -> Context:
    if isinstance(base, Node):
        context._carried = base._carried
    if state in (b"1", b"d"):
        context._flags = 1
    if state == b"d":
        context._carried = {**(context._carried or {}), **DEBUG_VALUES}
    return context


def format_b3(span_context: Any) -> str:
    """The single ``b3`` header of a context, without the parent's id; "" when there is nothing to say."""
    node = as_node(span_context)
    if node is None:
        return ""
    state = "d" if node._carried is not None and "debug" in node._carried else "1" if node._flags_now() & 1 else "0"
    if not (node._trace_id and node._span_id):
        return state if node._decision == WITHOUT_IDS else ""
    ids = f"{node._trace_id:032x}-{node._span_id:016x}"
    return ids if node._decision == DEFERRED and state != "d" else f"{ids}-{state}"


def encode_binary(span_context: Any) -> bytes:
    """The 29 bytes of ``grpc-trace-bin`` (OpenCensus BinaryEncoding), with the sampled flag; b"" if invalid."""
    node = _valid(span_context)
    if node is None:
        return b""
    trace_id, span_id = node._trace_id.to_bytes(16, "big"), node._span_id.to_bytes(8, "big")
    return b"\x00\x00" + trace_id + b"\x01" + span_id + b"\x02" + bytes((node._flags_now() & 0x01,))


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
