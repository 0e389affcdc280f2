"""SpanContext, Context and what is current: one ContextVar that holds a Span, a Context or None."""

from __future__ import annotations

from contextvars import ContextVar

from fasttrace._core.types import BAGGAGE_KEY, TraceState

__all__ = ["Context", "Node", "SpanContext", "attach", "current_node", "detach", "set_foreign"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import EllipsisType
    from typing import Any

    from fasttrace._core._python.span import Span
    from fasttrace._core._python.tail import LocalTrace


# What a node says of the sampling decision: the sampled flag has it; there are ids, but it is left to us; there are
# no ids, but the sampled flag has it.
IN_FLAGS = 0
DEFERRED = 1
WITHOUT_IDS = 2


def _in_range(value: Any, bits: int) -> int:
    """An id as it is, or 0 for anything that is not an int of so many bits."""
    return int(value) if isinstance(value, int) and value >= 0 and not value >> bits else 0


def _header(trace_state: Any) -> str | None:
    """The text of a tracestate given as text, a TraceState (anything with to_header), or None."""
    if type(trace_state) is not str:
        to_header = getattr(trace_state, "to_header", None)
        trace_state = None if to_header is None else to_header()
    return trace_state if type(trace_state) is str and trace_state else None


class SpanContext:
    """The part of a span that travels: ids, flags, tracestate. Immutable, hashable, picklable.

    ``SpanContext(trace_id, span_id, is_remote=False, trace_flags=0, trace_state=None)``; ``trace_state``
    is a ``TraceState``, a header's text or None. Ids out of range make an invalid context, not an error.
    """

    __slots__ = ("_flags", "_header", "_remote", "_span_id", "_trace_id")

    def __init__(
        self,
        trace_id: int,
        span_id: int,
        is_remote: bool = False,
        trace_flags: int = 0,
        trace_state: TraceState | str | None = None,
    ) -> None:
        self._trace_id = _in_range(trace_id, 128)
        self._span_id = _in_range(span_id, 64)
        self._remote = bool(is_remote)
        self._flags = int(trace_flags) & 0xFF
        self._header = _header(trace_state)

    @property
    def trace_id(self) -> int:
        return self._trace_id

    @property
    def span_id(self) -> int:
        return self._span_id

    @property
    def trace_id_bytes(self) -> bytes:
        return self._trace_id.to_bytes(16, "big")

    @property
    def span_id_bytes(self) -> bytes:
        return self._span_id.to_bytes(8, "big")

    @property
    def trace_id_hex(self) -> str:
        return f"{self._trace_id:032x}"

    @property
    def span_id_hex(self) -> str:
        return f"{self._span_id:016x}"

    @property
    def trace_flags(self) -> int:
        return self._flags

    @property
    def trace_state(self) -> TraceState:
        return TraceState(self._header or "")

    @property
    def is_remote(self) -> bool:
        return self._remote

    @property
    def is_valid(self) -> bool:
        return self._trace_id != 0 and self._span_id != 0

    @property
    def sampled(self) -> bool:
        return self._flags & 1 != 0

    def _key(self) -> tuple[Any, ...]:
        return self._trace_id, self._span_id, self._remote, self._flags, self._header

    def __eq__(self, other: object) -> bool:
        if type(other) is not SpanContext:
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return (
            f"SpanContext(trace_id=0x{self.trace_id_hex}, span_id=0x{self.span_id_hex}, is_remote={self._remote}, "
            f"trace_flags=0x{self._flags:02x}, trace_state={self._header or ''!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return SpanContext, self._key()


class Node:
    """What a span inherits from; the base of Span and Context."""

    __slots__ = (
        "_carried",
        "_decision",
        "_flags",
        "_header",
        "_local_trace",
        "_remote",
        "_span_id",
        "_trace_id",
        "_view",
        "_wall_offset_ns",
    )

    _trace_id: int
    _span_id: int
    _flags: int
    _remote: bool
    _header: str | None
    _decision: int
    # Baggage and the fields of foreign formats; shared, therefore never changed.
    _carried: dict[str, Any] | None
    _wall_offset_ns: int
    # With tail rules: what the spans of one local root share.
    _local_trace: LocalTrace | None
    # What stands for this node in another API, or None; inherited by nobody.
    _view: Any

    def _take_over(self, other: Node | SpanContext) -> None:
        """The ids, flags and tracestate of another node or of a SpanContext, and what a node carries."""
        if isinstance(other, Node):
            self._decision = other._decision
            self._carried = other._carried
            self._local_trace = other._local_trace
        self._trace_id = other._trace_id
        self._span_id = other._span_id
        self._flags = other._flags
        self._remote = other._remote
        self._header = other._header

    def _flags_now(self) -> int:
        """The flags that travel: a trace that a tail rule keeps is sampled from then on."""
        local_trace = self._local_trace
        return self._flags | 1 if local_trace is not None and local_trace.bits else self._flags

    @property
    def _ids(self) -> tuple[int, int, bool, int, str | None]:
        """Trace id, span id, whether they came from elsewhere, the flags as they travel, the tracestate's text."""
        return self._trace_id, self._span_id, self._remote, self._flags_now(), self._header

    def _span_context(self) -> SpanContext:
        return SpanContext(self._trace_id, self._span_id, self._remote, self._flags_now(), self._header)


def _carried_with(
    inherited: dict[str, Any] | None, baggage: Mapping[str, str] | None, values: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """What a context carries when baggage is replaced and values are added, or removed by None."""
    result = dict(inherited or {})
    if baggage is not None:
        result[BAGGAGE_KEY] = dict(baggage)
    for key, item in dict(values or ()).items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = item
    return result or None


class Context(Node):
    """What is current: a span's context, the span itself if it is ours, baggage, and what other formats carry.

    ``Context(span_context=None, baggage=None, values=None, sampled=...)``: ``span_context`` is a ``SpanContext``, a
    ``Span``, a ``Context`` or None (also reachable as ``span`` when it is a Span), ``baggage`` a mapping or None,
    ``values`` a mapping of fields that one header format hands on (``debug``, ``datadog.origin``), None removing one.
    ``sampled`` says what was decided where headers carry that apart from the ids: True, False, or None when the
    decision is left to us; as the flags say if it is not given.
    """

    __slots__ = ("_span",)

    def __init__(
        self,
        span_context: SpanContext | Node | None = None,
        baggage: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        sampled: bool | EllipsisType | None = ...,
    ) -> None:
        node = as_node(span_context)
        self._span: Any = None
        self._carried = None
        self._decision = IN_FLAGS
        self._wall_offset_ns = 0
        self._local_trace = None
        self._view = None
        if node is None:
            self._trace_id = self._span_id = self._flags = 0
            self._remote = False
            self._header = None
        else:
            self._take_over(node)
            self._wall_offset_ns = node._wall_offset_ns
            self._span = node._span if type(node) is Context else node
        if baggage is not None or values is not None:
            self._carried = _carried_with(self._carried, baggage, values)
        if sampled is not ...:
            self._decide(sampled)

    def _decide(self, sampled: Any) -> None:
        has_ids = self._trace_id and self._span_id
        self._local_trace = None
        self._flags = self._flags & 0xFE | (1 if sampled else 0)
        if sampled is None:
            self._decision = DEFERRED if has_ids else IN_FLAGS
        else:
            self._decision = IN_FLAGS if has_ids else WITHOUT_IDS

    @property
    def span_context(self) -> SpanContext | None:
        return self._span_context() if self._trace_id and self._span_id else None

    @property
    def baggage(self) -> dict[str, str]:
        return {} if self._carried is None else dict(self._carried.get(BAGGAGE_KEY, ()))

    @property
    def values(self) -> dict[str, Any]:
        return {} if self._carried is None else {k: item for k, item in self._carried.items() if k != BAGGAGE_KEY}

    @property
    def sampled(self) -> bool | None:
        if self._decision == DEFERRED:
            return None
        if self._decision == IN_FLAGS and not (self._trace_id and self._span_id):
            return None
        return self._flags_now() & 1 != 0

    @property
    def span(self) -> Any:
        return self._span

    def __repr__(self) -> str:
        return f"Context({self.span_context!r}, baggage={self.baggage!r})"


def context_of(span_context: SpanContext) -> Context:
    """A Context that holds a SpanContext."""
    context = Context()
    context._take_over(span_context)
    return context


def remote_context(trace_id: int, span_id: int, flags: int, header: str | None, base: Any) -> Context:
    """A Context of ids that came from elsewhere, with what ``base`` carries if it is a node."""
    context = Context.__new__(Context)
    context._span = context._local_trace = context._view = None
    context._trace_id = trace_id
    context._span_id = span_id
    context._flags = flags
    context._remote = True
    context._header = header
    context._decision = IN_FLAGS
    context._wall_offset_ns = 0
    context._carried = base._carried if isinstance(base, Node) else None
    return context


def as_node(value: Any) -> Node | None:
    """A Span or Context as it is, a SpanContext as a Context; None for anything else."""
    if isinstance(value, Node):
        return value
    if type(value) is SpanContext:
        return context_of(value)
    if _foreign is not None and value is not None:
        try:
            found = _foreign(value)
        except Exception:
            return None
        return found if isinstance(found, Node) else None
    return None


# How values of another API are read; set once.
_foreign: Callable[[Any], Any] | None = None


def set_foreign(convert: Callable[[Any], Context | Span | None] | None) -> None:
    """How what is not ours is read as a parent or link: ``convert(value)`` gives a node, or None for neither."""
    global _foreign
    _foreign = convert


CURRENT: ContextVar[Any] = ContextVar("fasttrace_current", default=None)


def current_node() -> Any:
    """What is current in this execution context: a Span, a Context, or None."""
    return CURRENT.get()


def attach(node: Node) -> Any:
    """Make a node current; returns a token for ``detach``."""
    if not isinstance(node, Node):
        raise _wrong_node(node)
    return CURRENT.set(node)


def detach(node: Node, token: Any) -> None:
    """Undo ``attach``: if the node is still current, what was current before is again.

    A token of another execution context is dropped in silence, and a current node that is not
    this one is left alone.
    """
    if not isinstance(node, Node):
        raise _wrong_node(node)
    if CURRENT.get() is not node:
        return
    try:
        CURRENT.reset(token)
    except (ValueError, RuntimeError, TypeError):
        # Entered in another execution context: there is nothing to reset here, but a span that is over must not
        # stay current, so what it replaced is put back.
        previous = getattr(token, "old_value", None)
        CURRENT.set(previous if isinstance(previous, Node) else None)


def _wrong_node(node: object) -> TypeError:
    return TypeError(f"{type(node).__name__} is neither a Span nor a Context")
