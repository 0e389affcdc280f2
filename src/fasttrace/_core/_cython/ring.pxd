from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "ring.h" nogil:
    ctypedef struct ft_ring:
        uint64_t capacity

cdef enum:
    PUSHED = 0
    QUEUE_FULL = 1
    TOO_LARGE = 2
    NO_MEMORY = 3

cdef struct Chunk:
    Chunk *next
    size_t filled
    size_t taken
    size_t capacity
    uint8_t data[1]

cdef class Ring:
    cdef ft_ring staged
    cdef Chunk *oldest
    cdef Chunk *newest
    cdef PyThread_type_lock wake_lock
    cdef PyThread_type_lock consumer_lock
    cdef uint32_t signalled
    cdef uint32_t sequence
    cdef int64_t spans_queued
    cdef int64_t bytes_queued
    cdef readonly int64_t max_spans
    cdef readonly int64_t max_bytes
    cdef int new_locks(self) except -1
    cdef int push_record(self, uint8_t *record, uint32_t length) noexcept
    cdef void signal(self) noexcept nogil
    cdef int drain(self) noexcept nogil
    cdef int append_pending(self, const uint8_t *record, uint32_t length) noexcept nogil
