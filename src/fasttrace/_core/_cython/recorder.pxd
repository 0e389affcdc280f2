from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fasttrace._core._cython.context cimport Node
from fasttrace._core._cython.otlp cimport ft_buffer
from fasttrace._core._cython.ring cimport FT_SHARDS, Ring, ft_own_shard
from fasttrace._core._cython.tail cimport TailRules

cdef extern from "links.h" nogil:
    ctypedef struct ft_link:
        ft_link *previous
        ft_link *next
    void ft_links_init(ft_link *list)
    void ft_links_append(ft_link *list, ft_link *link)
    void ft_links_remove(ft_link *link)

cdef extern from "shards.h":
    bint ft_is_every(uint64_t *count, uint64_t at, uint64_t every)

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
    # what becomes of a record, and the drop counters; the first four are the ring's answers
    PUSHED = 0
    DROPPED_QUEUE_FULL = 1
    DROPPED_TOO_LARGE = 2
    DROPPED_ENCODE_ERROR = 3
    DROPPED_AFTER_SHUTDOWN = 4
    DROPPED_FORKED = 5
    ONLY_RECORDED = 6
    # which spans are timed
    TIMED_EVERY = 251
    TIMED_FIRST = 125

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

# What module ``span``, which stands on this one, says when it is imported: the class of spans, and how far in one its
# link is.
cdef int know_spans(object kind, Py_ssize_t offset_of_link) except -1

# A recorder whose generation is another one than the process's calls it before anything else.
cdef int after_fork(Recorder recorder) except -1

# Counts what a step has taken since the thread's clock was read; ``begun`` is whether it was a span's start. Without a
# recorder nobody counts.
cdef int spent(Recorder recorder, uint32_t shard, int64_t since, bint begun) except -1

# How one of the five rules decides now, and its member of tracestate, or None.
cdef object rule_of(Recorder recorder, int rule, Compare *compare)

# Whether a span is sampled: its trace id, or the randomness that its tracestate gives, is compared. A member marks the
# tracestate.
cdef bint by_threshold(Node span, const Compare *compare, object member) except -1

# What a sampler that is not a compare decides, and the attributes that it adds.
cdef tuple ask(
    Recorder recorder,
    uint32_t shard,
    int rule,
    Node parent,
    Node span,
    object name,
    object kind,
    object attributes,
    object links,
)

# Whether the user's generator has given a span an id that is one.
cdef bint foreign_trace_id(Recorder recorder, Node span) except -1
cdef bint foreign_span_id(Recorder recorder, Node span) except -1

# The time of a boost is over: whoever set it sets the thresholds again.
cdef int expire(Recorder recorder) except -1

# There is a record, and nobody waits for any: wakes the consumer.
cdef int announce(Recorder recorder) except -1


cdef inline bint is_timed(Recorder recorder) noexcept:
    """Whether the span that is being made is one of those that are timed."""
    cdef Account *account = &recorder.accounts[ft_own_shard(recorder.ring.shard_count)]
    return ft_is_every(&account.spans_made, TIMED_FIRST, TIMED_EVERY)


cdef inline void observed(Window *window, int64_t nanoseconds, bint failed) noexcept:
    """One more local root; the caller holds the shard's mutex."""
    window.requests += 1
    window.errors += failed
    window.durations[ft_duration_bucket(<uint64_t> nanoseconds)] += 1
