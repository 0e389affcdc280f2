from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fasttrace._core._cython.context cimport Node
from fasttrace._core._cython.otlp cimport ft_buffer
from fasttrace._core._cython.ring cimport FT_SHARDS, Ring
from fasttrace._core._cython.tail cimport TailRules

cdef extern from "links.h" nogil:
    ctypedef struct ft_link:
        ft_link *previous
        ft_link *next
    void ft_links_init(ft_link *list)
    void ft_links_append(ft_link *list, ft_link *link)
    void ft_links_remove(ft_link *link)

cdef extern from "duration.h" nogil:
    enum:
        FT_DURATION_BUCKETS
    uint32_t ft_duration_bucket(uint64_t ns)

# A trace is kept when (its low 64 bits ^ flip) & mask is at or above the threshold.
cdef struct Compare:
    uint64_t threshold
    uint64_t mask
    uint64_t flip
    bint marked  # what it samples gets a member of tracestate

# The outcomes of local roots, recorded or not.
cdef struct Window:
    int64_t requests
    int64_t errors
    int64_t durations[FT_DURATION_BUCKETS]

cdef enum:
    # Two pointers each: most spans need no second allocation.
    INLINE_ATTRIBUTES = 8

# What a recorder keeps by shard; the mutex of the ring's shard guards it (the GIL where there is one).
cdef struct Account:
    int64_t started
    int64_t active
    int64_t abandoned
    int64_t sampled_out
    int64_t detail_spans       # of those: what lowered detail has left out
    int64_t detail_attributes
    int64_t sampler_errors
    int64_t dropped[6]
    int64_t wall_offset_ns
    int64_t wall_offset_taken_ns
    uint64_t spans_made    # until the next one that is timed
    int64_t timed
    int64_t timed_ns
    # The active spans, oldest first, as borrowed references: a span links itself at its start and unlinks itself at
    # its end or deallocation, so each in it is alive, or waits for the mutex to unlink itself.
    ft_link active_spans
    # Where a span is encoded at its end. What fills it runs no Python code.
    ft_buffer scratch
    Window *window  # once somebody wants to observe
    char line[128]

cdef class Recorder:
    cdef object __weakref__
    cdef readonly Ring ring
    cdef readonly object limits
    cdef readonly list scopes
    cdef object id_generator
    cdef object on_first_record
    cdef tuple baggage_attributes  # the names, or None
    cdef int64_t running
    cdef public bint closed
    cdef bint pinned
    cdef uint32_t generation
    cdef Compare compare[5]
    cdef tuple given_thresholds
    cdef tuple members           # of tracestate, for each of the five; None when there are none
    cdef object decide_hook
    cdef object expire_hook
    cdef int64_t expires_at
    cdef bint observing
    cdef public bint record_unsampled
    cdef uint8_t level       # of detail
    cdef TailRules tail
    cdef object span_class   # None for Span
    cdef object processing   # the processor
    cdef int64_t max_attributes
    cdef int64_t max_attribute_length
    cdef int64_t max_events
    cdef int64_t max_links
    cdef int64_t max_event_attributes
    cdef int64_t max_link_attributes
    cdef int64_t max_member_length
    cdef int64_t reset_in  # the fork generation that somebody resets it for
    cdef char line[128]  # what all threads read ends here
    cdef Account accounts[FT_SHARDS]

cdef class Tracer:
    cdef readonly object scope
    cdef readonly Recorder recorder
    cdef uint32_t scope_index

cdef extern from "calls.h":
    ctypedef PyObject *(*ft_vectorcall)(PyObject *callable, PyObject *const *arguments, size_t count, PyObject *names)

cdef class Span(Node):
    cdef ft_vectorcall vectorcall
    cdef Tracer tracer
    cdef Recorder recorder
    cdef object text            # the name
    cdef object parent          # the `context` argument, until the start
    cdef object start_attributes
    cdef object start_rest      # (links, start_time) when either is given
    cdef object token
    cdef object description
    cdef ft_link link
    cdef PyObject **attributes_at
    cdef uint32_t attributes_count
    cdef uint32_t attributes_capacity
    cdef uint32_t attributes_dropped
    cdef uint32_t events_count
    cdef uint32_t events_dropped
    cdef uint32_t links_count
    cdef uint32_t links_dropped
    cdef uint32_t generation
    cdef uint32_t shard         # where it is linked and counted
    cdef uint8_t state
    cdef uint8_t options
    cdef uint8_t asked          # which of the block's methods were looked up
    cdef uint8_t kind_number
    cdef uint8_t status_number
    cdef uint8_t record_flags
    cdef uint8_t detail         # of what begins below it, as its local root found it
    cdef uint64_t parent_number
    cdef int64_t start_ns
    cdef int64_t end_ns
    cdef ft_buffer events
    cdef ft_buffer links
    cdef PyObject *inline_attributes[16]
