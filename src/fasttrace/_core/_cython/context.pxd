from libc.stdint cimport int64_t, uint8_t, uint64_t

from fasttrace._core._cython.tail cimport LocalTrace

cdef extern from "pytext.h":
    object ft_contextvar_get(object variable)
    object ft_contextvar_set(object variable, object value)
    int ft_contextvar_leave(object variable, object value, object token)

cdef enum:
    # a node's flags, W3C Trace Context level 2
    TRACE_SAMPLED = 0x01
    TRACE_RANDOM = 0x02
    # and its decision
    IN_FLAGS = 0     # the sampled flag says what was decided
    DEFERRED = 1     # there are ids, but whoever sent them left the decision to us
    WITHOUT_IDS = 2  # there are no ids, but the sampled flag says what was decided

# What a span inherits: both a Span and a Context are nodes, and the one ContextVar holds either, or None.
cdef class Node:
    cdef uint64_t trace_high
    cdef uint64_t trace_low
    cdef uint64_t span_number
    cdef int64_t wall_offset_ns
    cdef uint8_t flags
    cdef uint8_t decision   # one of the three above
    cdef bint remote
    cdef object header      # the tracestate's text, or None
    cdef dict carried       # baggage and the fields of foreign formats, or None; shared, therefore never changed
    cdef LocalTrace local_trace  # with tail rules: what the spans of one local root share
    cdef object view        # what stands for this node in another API, or None; inherited by nobody

cdef class Context(Node):
    cdef object span_object
    cdef int decide(self, object sampled) except -1

cdef class SpanContext:
    cdef uint64_t trace_high
    cdef uint64_t trace_low
    cdef uint64_t span_number
    cdef uint8_t flags
    cdef bint remote
    cdef object header

cdef uint8_t flags_of(Node node) noexcept
cdef SpanContext span_context_of(Node node)
cdef Context context_of(uint64_t trace_high, uint64_t trace_low, uint64_t span_number, uint8_t flags, object header)
cdef object as_node(object value)
cdef Node current()
cdef object trace_id_of(uint64_t high, uint64_t low)
cdef int split_trace_id(object value, uint64_t *high, uint64_t *low) except -1
cdef int leave_foreign(object token) except -1
cdef object hex_of(uint64_t high, uint64_t low, int digits)
