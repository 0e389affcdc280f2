"""OpenTelemetry's contexts, span contexts and spans as nodes of the core, and nodes as OpenTelemetry's contexts."""

from __future__ import annotations

from opentelemetry.baggage import _BAGGAGE_KEY
from opentelemetry.context import create_key
from opentelemetry.context.context import Context as ApiContext
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.trace.span import DEFAULT_TRACE_STATE, NonRecordingSpan, TraceFlags, TraceState
from opentelemetry.trace.span import Span as ApiSpan
from opentelemetry.trace.span import SpanContext as ApiSpanContext

from fasttrace._core import Context
from fasttrace._core import Span as CoreSpan
from fasttrace._core import SpanContext as CoreSpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace._core._python.context import Node

# Where a node carries what came from an enclosing OpenTelemetry context; every node below it does, too.
ENCLOSING = "fasttrace.opentelemetry"
# Where an OpenTelemetry context keeps the node that it shows, if that has more to say than its span has.
_NODE_KEY = create_key("fasttrace-node")
# Flags are a byte: one object for each value.
_new_tuple: Any = tuple.__new__
_FLAGS = tuple(TraceFlags(value) for value in range(256))


class Enclosing:
    """The entries of an OpenTelemetry context besides its span, and its baggage as text and as it was given."""

    __slots__ = ("baggage", "entries", "members")

    def __init__(self, entries: dict[str, Any], members: dict[str, str], baggage: Any) -> None:
        self.entries: dict[str, Any] = entries
        self.members: dict[str, str] = members
        self.baggage: Any = baggage


class View(ApiContext):
    """What a node looks like to OpenTelemetry. Contexts don't change, so the node stands for it on the way back."""

    __slots__ = ("node",)
    node: Node

    def __reduce__(self) -> tuple[Any, ...]:
        return ApiContext, (dict(self),)


class SpanContext(ApiSpanContext):
    """A span context of ours: OpenTelemetry's, with what fasttrace's has besides."""

    __slots__ = ()

    @property
    def trace_id_hex(self) -> str:
        """The trace id as 32 hexadecimal digits."""
        return f"{self[0]:032x}"

    @property
    def span_id_hex(self) -> str:
        """The span id as 16 hexadecimal digits."""
        return f"{self[1]:016x}"

    @property
    def trace_id_bytes(self) -> bytes:
        """The trace id as 16 bytes."""
        return self[0].to_bytes(16, "big")

    @property
    def span_id_bytes(self) -> bytes:
        """The span id as 8 bytes."""
        return self[1].to_bytes(8, "big")

    @property
    def sampled(self) -> bool:
        """The sampled flag."""
        return bool(self[3] & 1)


def api_span_context(node: Node) -> SpanContext:
    """The ids of a node of the core as a span context of OpenTelemetry's."""
    trace_id, span_id, remote, flags, header = node._ids
    state = DEFAULT_TRACE_STATE if header is None else TraceState.from_header([header])
    # The constructor of the API would check ranges that the core keeps.
    fields = (trace_id, span_id, remote, _FLAGS[flags], state, trace_id != 0 and span_id != 0)
    return _new_tuple(SpanContext, fields)  # type: ignore[no-any-return]


def core_span_context(given: ApiSpanContext) -> CoreSpanContext:
    """A span context of OpenTelemetry's as the core's."""
    state: Any = given.trace_state
    return CoreSpanContext(given.trace_id, given.span_id, given.is_remote, given.trace_flags, state)


def to_node(value: Any) -> Any:
    """The node that an OpenTelemetry context, span context or span is to the core; None for what is none of them."""
    if isinstance(value, ApiContext):
        return node_of(value)
    if isinstance(value, ApiSpanContext):
        return Context(core_span_context(value))
    if isinstance(value, ApiSpan):
        return Context(core_span_context(value.get_span_context()))
    return None


def node_of(context: ApiContext) -> Node:
    """What an OpenTelemetry context is to the core: its span or the ids of it, its baggage, its other entries."""
    if type(context) is View:
        return context.node
    if len(context) == 1:
        only = context.get(_SPAN_KEY)
        if isinstance(only, CoreSpan) and only._carried is None:
            return only  # the usual case: nothing but a span of ours
    entries: dict[str, Any] = dict(context)
    span = entries.pop(_SPAN_KEY, None)
    baggage = entries.pop(_BAGGAGE_KEY, None)
    shown = entries.pop(_NODE_KEY, None)
    base: Node | CoreSpanContext | None = None
    if shown is not None and shown[1] is span:
        base = shown[0]
    elif isinstance(span, CoreSpan):
        base = span
    elif isinstance(span, ApiSpan):
        base = core_span_context(span.get_span_context())
    node = Context(base)
    members = _text(baggage)
    if entries or members:
        return Context(node, members, {ENCLOSING: Enclosing(entries, members, baggage)})
    if node.baggage or ENCLOSING in node.values:
        return Context(node, {}, {ENCLOSING: None})
    return node


def _text(baggage: Any) -> dict[str, str]:
    """Baggage as text, as it goes on the wire."""
    if not baggage:
        return {}
    try:
        return {str(name): value if type(value) is str else str(value) for name, value in dict(baggage).items()}
    except Exception:  # whatever was put there in place of baggage, the request goes on
        return {}


def view_of(node: Node) -> View:
    """The OpenTelemetry context that shows a node."""
    whole = node if type(node) is Context else Context(node)
    values = whole.values
    enclosing = values.pop(ENCLOSING, None)
    entries: dict[str, Any] = {} if enclosing is None else enclosing.entries.copy()
    baggage = whole.baggage
    if baggage:
        same = enclosing is not None and enclosing.members == baggage
        entries[_BAGGAGE_KEY] = enclosing.baggage if same else baggage
    span: Any = whole.span
    if not isinstance(span, ApiSpan):
        ids = whole.span_context
        span = None if ids is None else NonRecordingSpan(api_span_context(whole))
        # A decision without ids, or ids without a decision, is also something that OpenTelemetry has no place for.
        if values or (ids is None) != (whole.sampled is None):
            entries[_NODE_KEY] = (whole, span)
    if span is not None:
        entries[_SPAN_KEY] = span
    view = View(entries)
    view.node = node
    if span is node:
        node._view = view  # until the span ends
    return view
