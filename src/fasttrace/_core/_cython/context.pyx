# cython: freethreading_compatible=True
"""SpanContext, Context and what is current: one ContextVar that holds a Span, a Context or None.

Shared between threads: contexts, which do not change once they are made, and the dicts that they carry, which are
replaced and never changed; a node's view, in a critical section on it. The ContextVar's value is the thread's own.
Raced by ``stress/race.py`` ("headers").
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t

from fasttrace._core._cython.tail cimport ft_load_acquire_u32

from contextvars import ContextVar

from fasttrace._core.types import BAGGAGE_KEY, TraceState

__all__ = ["Context", "Node", "SpanContext", "attach", "current_node", "detach", "set_foreign"]

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maximum)
    void *PyUnicode_DATA(object text)

cdef extern from "shards.h":
    void ft_count_no_more(object variable)

cdef extern from "hex.h" nogil:
    void ft_hex_write(uint8_t *text, uint64_t value, int digits)

cdef extern from "buffer.h" nogil:
    uint8_t *ft_write_big_u64(uint8_t *at, uint64_t value)

CURRENT = ContextVar("fasttrace_current", default=None)
cdef object VARIABLE = CURRENT
# Each token holds a reference to it.
ft_count_no_more(VARIABLE)

LOW_64_BITS = (1 << 64) - 1


cdef object trace_id_of(uint64_t high, uint64_t low):
    return (<object> high << 64) | low


cdef int split_trace_id(object value, uint64_t *high, uint64_t *low) except -1:
    """Zero for anything that is not an int of 1 to 128 bits."""
    high[0] = low[0] = 0
    if not isinstance(value, int) or value < 0 or value >> 128:
        return 0
    high[0] = <uint64_t> (value >> 64)
    low[0] = <uint64_t> (value & LOW_64_BITS)
    return 0


cdef uint64_t span_id_of(object value) except? 0:
    if not isinstance(value, int) or value < 0 or value >> 64:
        return 0
    return <uint64_t> value


cdef object hex_of(uint64_t high, uint64_t low, int digits):
    cdef str text = PyUnicode_New(digits, 127)
    cdef uint8_t *at = <uint8_t *> PyUnicode_DATA(text)
    if digits == 32:
        ft_hex_write(at, high, 16)
        at += 16
    ft_hex_write(at, low, 16)
    return text


cdef object bytes_of(uint64_t high, uint64_t low, int size):
    data = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t *at = <uint8_t *> PyBytes_AS_STRING(data)
    if size == 16:
        at = ft_write_big_u64(at, high)
    ft_write_big_u64(at, low)
    return data


cdef object header_of(object trace_state):
    """The text of a tracestate given as text, a TraceState (anything with to_header), or None."""
    if trace_state is None:
        return None
    if type(trace_state) is str:
        return trace_state or None
    to_header = getattr(trace_state, "to_header", None)
    if to_header is None:
        return None
    text = to_header()
    return text if type(text) is str and text else None


@cython.final
cdef class SpanContext:
    """The part of a span that travels: ids, flags, tracestate. Immutable, hashable, picklable.

    ``SpanContext(trace_id, span_id, is_remote=False, trace_flags=0, trace_state=None)``; ``trace_state``
    is a ``TraceState``, a header's text or None. Ids out of range make an invalid context, not an error.
    """

    def __init__(self, trace_id, span_id, is_remote=False, trace_flags=0, trace_state=None):
        split_trace_id(trace_id, &self.trace_high, &self.trace_low)
        self.span_number = span_id_of(span_id)
        self.remote = bool(is_remote)
        self.flags = <uint8_t> (int(trace_flags) & 0xFF)
        self.header = header_of(trace_state)

    @property
    def trace_id(self):
        return trace_id_of(self.trace_high, self.trace_low)

    @property
    def span_id(self):
        return self.span_number

    @property
    def trace_id_bytes(self):
        return bytes_of(self.trace_high, self.trace_low, 16)

    @property
    def span_id_bytes(self):
        return bytes_of(0, self.span_number, 8)

    @property
    def trace_id_hex(self):
        return hex_of(self.trace_high, self.trace_low, 32)

    @property
    def span_id_hex(self):
        return hex_of(0, self.span_number, 16)

    @property
    def trace_flags(self):
        return self.flags

    @property
    def trace_state(self):
        return TraceState(self.header or "")

    @property
    def is_remote(self):
        return self.remote

    @property
    def is_valid(self):
        return (self.trace_high | self.trace_low) != 0 and self.span_number != 0

    @property
    def sampled(self):
        return (self.flags & 1) != 0

    def _key(self):
        return self.trace_id, self.span_number, self.remote, self.flags, self.header

    def __eq__(self, other):
        if type(other) is not SpanContext:
            return NotImplemented
        return self._key() == (<SpanContext> other)._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return (
            f"SpanContext(trace_id=0x{self.trace_id_hex}, span_id=0x{self.span_id_hex}, is_remote={self.is_remote}, "
            f"trace_flags=0x{self.flags:02x}, trace_state={self.header or ''!r})"
        )

    def __reduce__(self):
        return SpanContext, (self.trace_id, self.span_id, self.is_remote, self.trace_flags, self.header)


cdef uint8_t flags_of(Node node) noexcept:
    """The flags that travel: a trace that a tail rule keeps is sampled from then on."""
    if node.local_trace is not None and ft_load_acquire_u32(&node.local_trace.bits):
        return node.flags | 1
    return node.flags


cdef SpanContext span_context_of(Node node):
    cdef SpanContext result = SpanContext.__new__(SpanContext)
    result.trace_high = node.trace_high
    result.trace_low = node.trace_low
    result.span_number = node.span_number
    result.flags = flags_of(node)
    result.remote = node.remote
    result.header = node.header
    return result


cdef class Node:
    """What a span inherits from; the base of Span and Context."""

    @property
    def _view(self):
        """What stands for this node in another API."""
        with cython.critical_section(self):
            return self.view

    @_view.setter
    def _view(self, value):
        with cython.critical_section(self):
            _before = self.view
            self.view = value

    @property
    def _carried(self):
        """Baggage and the fields of foreign formats, or None; not a copy, not to be changed."""
        return self.carried

    @property
    def _ids(self):
        """Trace id, span id, whether they came from elsewhere, the flags as they travel, the tracestate's text."""
        return (
            trace_id_of(self.trace_high, self.trace_low),
            self.span_number,
            self.remote,
            flags_of(self),
            self.header,
        )


cdef dict carried_with(dict inherited, object baggage, object values):
    """What a context carries when baggage is replaced and values are added, or removed by None."""
    cdef dict result = {} if inherited is None else dict(inherited)
    if baggage is not None:
        result[BAGGAGE_KEY] = dict(baggage)
    for key, item in dict(values or ()).items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = item
    return result or None


@cython.final
cdef class Context(Node):
    """What is current: a span's context, the span itself if it is ours, baggage, and what other formats carry.

    ``Context(span_context=None, baggage=None, values=None, sampled=...)``: ``span_context`` is a ``SpanContext``, a
    ``Span``, a ``Context`` or None (also reachable as ``span`` when it is a Span), ``baggage`` a mapping or None,
    ``values`` a mapping of fields that one header format hands on (``debug``, ``datadog.origin``), None removing one.
    ``sampled`` says what was decided where headers carry that apart from the ids: True, False, or None when the
    decision is left to us; as the flags say if it is not given.
    """

    def __init__(self, span_context=None, baggage=None, values=None, sampled=...):
        cdef Node node
        node = as_node(span_context)
        if node is not None:
            self.trace_high = node.trace_high
            self.trace_low = node.trace_low
            self.span_number = node.span_number
            self.wall_offset_ns = node.wall_offset_ns
            self.flags = node.flags
            self.remote = node.remote
            self.header = node.header
            self.decision = node.decision
            self.carried = node.carried
            self.local_trace = node.local_trace
            self.span_object = (<Context> node).span_object if type(node) is Context else node
        if baggage is not None or values is not None:
            self.carried = carried_with(self.carried, baggage, values)
        if sampled is not ...:
            self.decide(sampled)

    cdef int decide(self, object sampled) except -1:
        cdef bint has_ids = (self.trace_high | self.trace_low) != 0 and self.span_number != 0
        self.local_trace = None
        self.flags = (self.flags & 0xFE) | (1 if sampled else 0)
        if sampled is None:
            self.decision = DEFERRED if has_ids else IN_FLAGS
        else:
            self.decision = IN_FLAGS if has_ids else WITHOUT_IDS
        return 0

    @property
    def span_context(self):
        if (self.trace_high | self.trace_low) == 0 or self.span_number == 0:
            return None
        return span_context_of(self)

    @property
    def baggage(self):
        return {} if self.carried is None else dict(self.carried.get(BAGGAGE_KEY, ()))

    @property
    def values(self):
        return {} if self.carried is None else {key: item for key, item in self.carried.items() if key != BAGGAGE_KEY}

    @property
    def sampled(self):
        if self.decision == DEFERRED:
            return None
        if self.decision == IN_FLAGS and ((self.trace_high | self.trace_low) == 0 or self.span_number == 0):
            return None
        return (flags_of(self) & 1) != 0

    @property
    def span(self):
        return self.span_object

    def __repr__(self):
        return f"Context({self.span_context!r}, baggage={self.baggage!r})"


cdef Context context_of(uint64_t trace_high, uint64_t trace_low, uint64_t span_number, uint8_t flags, object header):
    cdef Context result = Context.__new__(Context)
    result.trace_high = trace_high
    result.trace_low = trace_low
    result.span_number = span_number
    result.flags = flags
    result.remote = True
    result.header = header
    return result


cdef object as_node(object value):
    """A Span or Context as it is, a SpanContext as a Context; None for anything else."""
    cdef Context result
    cdef SpanContext span_context
    if isinstance(value, Node):
        return value
    if type(value) is SpanContext:
        span_context = <SpanContext> value
        result = context_of(
            span_context.trace_high,
            span_context.trace_low,
            span_context.span_number,
            span_context.flags,
            span_context.header,
        )
        result.remote = span_context.remote
        return result
    if FOREIGN is not None and value is not None:
        try:
            found = FOREIGN(value)
        except Exception:
            return None
        if isinstance(found, Node):
            return found
    return None


# How values of another API are read; set once.
cdef object FOREIGN = None


def set_foreign(convert):
    """How what is not ours is read as a parent or link: ``convert(value)`` gives a node, or None for neither."""
    global FOREIGN
    FOREIGN = convert


cdef Node current():
    return <Node> ft_contextvar_get(VARIABLE)


def current_node():
    """What is current in this execution context: a Span, a Context, or None."""
    return current()


def attach(node):
    """Make a node current; returns a token for ``detach``."""
    if not isinstance(node, Node):
        raise wrong_node(node)
    return ft_contextvar_set(VARIABLE, node)


def detach(node, token):
    """Undo ``attach``: if the node is still current, what was current before is again.

    A token of another execution context is dropped in silence, and a current node that is not
    this one is left alone.
    """
    if not isinstance(node, Node):
        raise wrong_node(node)
    leave(node, token)


cdef object wrong_node(object node):
    return TypeError(f"{type(node).__name__} is neither a Span nor a Context")


cdef int leave(Node node, object token) except -1:
    if ft_contextvar_leave(VARIABLE, node, token) < 0:
        leave_foreign(token)
    return 0


cdef int leave_foreign(object token) except -1:
    """Entered in another execution context: there is nothing to reset here, but a span that is over must not
    stay current, so what it replaced is put back."""
    previous = getattr(token, "old_value", None)
    ft_contextvar_set(VARIABLE, previous if isinstance(previous, Node) else None)
    return 0
