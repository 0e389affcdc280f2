# cython: freethreading_compatible=True
"""The bounded queue between the spans that end and the thread that sends them.

Two stages: the staged rings of ``ring.h``, written by whoever ends a span, and a list of chunks, filled from the rings
by the one consumer, without the GIL. One ring is enough where the GIL makes that one producer at a time; without a
GIL there are several shards, and a lock each that makes it one (``shards.h``).
``consumer_lock`` keeps the consuming side one thread: it is held for memory copies only, never while
waiting for the GIL or running Python code, so that a producer that finds its ring full may take it and drain.

Shared between threads: all fields; ``ring.pxd`` says what guards which. Raced by ``stress/race.py`` ("queue").
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pythread cimport (
    WAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
)
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fasttrace._core.layout import (
    DEFAULT_QUEUE_BYTES,
    DEFAULT_QUEUE_SPANS,
    MAX_RECORD_BYTES,
    RECORD_HEADER_BYTES,
    RING_BYTES,
    RING_LARGEST_SHARE,
    check_record,
)

__all__ = ["Ring"]

cdef extern from "Python.h":
    Py_ssize_t PyBytes_GET_SIZE(object data)

cdef extern from "pythread.h" nogil:
    int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interruptible)

cdef extern from "ring.h" nogil:
    int ft_ring_init(ft_ring *ring, uint64_t capacity)
    void ft_ring_free(ft_ring *ring)
    int ft_ring_push(ft_ring *ring, const uint8_t *record, uint32_t length)
    const uint8_t *ft_ring_peek(ft_ring *ring)
    void ft_ring_pop(ft_ring *ring, uint32_t length)
    uint32_t ft_record_length(const uint8_t *record)
    uint32_t ft_exchange_acq_rel(uint32_t *word, uint32_t value)
    uint32_t ft_load_acquire_u32(const uint32_t *word)

cdef enum:
    CHUNK_BYTES = 256 * 1024
    LARGEST_SHARE = 8
    MAX_RECORD = 4 * 1024 * 1024
    HEADER_BYTES = 64
    # What a shard takes from the bounds beyond what it needs.
    LOT_SPANS = 64
    LOT_BYTES = 16 * 1024

assert LARGEST_SHARE == RING_LARGEST_SHARE and MAX_RECORD == MAX_RECORD_BYTES
assert HEADER_BYTES == RECORD_HEADER_BYTES

REASONS = (None, "queue_full", "too_large", "encode_error")
cdef uint32_t SHARDS = min(FT_SHARDS, 2 * (os.cpu_count() or 1))


@cython.final
cdef class Ring:
    """Module ``ring``. The bounded queue of records between the spans that end and the thread that sends.

    ``Ring(max_spans=10_000, max_bytes=16 MiB, ring_bytes=1 MiB)``. Depth counts what was pushed and not
    yet released. Many threads may push; the consuming calls are for one thread at a time.
    """

    def __cinit__(self, max_spans=DEFAULT_QUEUE_SPANS, max_bytes=DEFAULT_QUEUE_BYTES, ring_bytes=RING_BYTES):
        if max_spans < 1 or max_bytes < 1:
            raise ValueError(f"max_spans={max_spans!r}, max_bytes={max_bytes!r}: both must be at least 1")
        if ring_bytes < 1024 or ring_bytes & (ring_bytes - 1):
            raise ValueError(f"ring_bytes={ring_bytes!r}: a power of two of at least 1024")
        self.max_spans = max_spans
        self.max_bytes = max_bytes
        self.ring_bytes = ring_bytes
        self.shard_count = SHARDS
        if ft_ring_init(&self.shards[0].ring, ring_bytes):
            raise MemoryError()
        self.new_locks()

    cdef int new_locks(self) except -1:
        self.wake_lock = PyThread_allocate_lock()
        self.consumer_lock = PyThread_allocate_lock()
        if self.wake_lock == NULL or self.consumer_lock == NULL:
            raise MemoryError()
        PyThread_acquire_lock(self.wake_lock, WAIT_LOCK)
        self.signalled = 0
        return 0

    def __dealloc__(self):
        cdef Chunk *chunk
        cdef uint32_t i
        for i in range(self.shard_count):
            ft_ring_free(&self.shards[i].ring)
        while self.oldest != NULL:
            chunk = self.oldest
            self.oldest = chunk.next
            free(chunk)
        if self.consumer_lock != NULL:
            PyThread_free_lock(self.consumer_lock)
        if self.wake_lock != NULL:
            if not self.signalled:
                PyThread_release_lock(self.wake_lock)
            PyThread_free_lock(self.wake_lock)

    @property
    def depth_spans(self):
        return self.depth(FT_SPANS)

    @property
    def depth_bytes(self):
        return self.depth(FT_BYTES)

    cdef int64_t depth(self, int kind) noexcept:
        # What was released comes first: what others push meanwhile makes it larger than it is, never smaller.
        cdef int64_t found = -ft_load_seq_cst(&self.released[kind])
        cdef uint32_t i
        for i in range(self.shard_count):
            found += ft_load_seq_cst(&self.shards[i].pushed[kind])
        return found

    @property
    def staged_bytes(self):
        cdef uint32_t i
        return sum([ft_ring_used(&self.shards[i].ring) for i in range(self.shard_count)])

    def push(self, record):
        """Append one record, header included. None when taken, else the reason it was dropped for.

        ``queue_full`` beyond either bound (the newest is dropped), ``too_large`` above 4 MiB. Sets the
        record's sequence number. Never blocks.
        """
        check_record(record)
        copy = PyBytes_FromStringAndSize(PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record))
        cdef ft_shard *shard = &self.shards[ft_own_shard(self.shard_count)]
        ft_lock(&shard.mutex)
        answer = self.push_record(shard, <uint8_t *> PyBytes_AS_STRING(copy), <uint32_t> PyBytes_GET_SIZE(copy))
        ft_unlock(&shard.mutex)
        return REASONS[answer]

    cdef int push_record(self, ft_shard *shard, uint8_t *record, uint32_t length) noexcept:
        """The caller holds the shard's mutex."""
        cdef int answer = PUSHED
        if length > MAX_RECORD:
            return TOO_LARGE
        if not admit(self, shard, length):
            return QUEUE_FULL
        answer = self.place(shard, record, length)
        if answer != PUSHED:
            self.let_go(1, length)
        return answer

    cdef bint reserve(self, ft_shard *shard, int kind, int64_t amount) noexcept:
        """Without a GIL: whether so much more is within the bound. The caller holds the shard's mutex.

        A shard takes more than it needs, and goes on with that, so that threads seldom meet here; when
        nothing is left, what others have spare is collected.
        """
        cdef int64_t bound = self.max_bytes if kind == FT_BYTES else self.max_spans
        cdef int64_t lot = LOT_BYTES if kind == FT_BYTES else LOT_SPANS
        cdef int64_t missing
        cdef int64_t *spare
        cdef uint32_t i
        missing = -ft_add_seq_cst(&shard.spare[kind], -amount)
        if missing > 0:
            missing = -ft_add_seq_cst(&shard.spare[kind], ft_take_up_to(&self.taken[kind], bound, missing + lot))
        if missing <= 0:
            return True
        for i in range(self.shard_count):
            spare = &self.shards[i].spare[kind]
            if spare != &shard.spare[kind] and ft_load_seq_cst(spare) > 0:
                self.give_back(kind, ft_exchange_seq_cst(spare, 0))
        if ft_add_seq_cst(&shard.spare[kind], ft_take_up_to(&self.taken[kind], bound, missing)) >= 0:
            return True
        ft_add_seq_cst(&shard.spare[kind], amount)
        return False

    cdef void give_back(self, int kind, int64_t amount) noexcept:
        """So much is within the bound again."""
        ft_add_seq_cst(&self.taken[kind], -amount)

    cdef int place(self, ft_shard *shard, uint8_t *record, uint32_t length) noexcept:
        """Into the ring, or around it."""
        cdef bint taken
        if shard.ring.data == NULL and ft_ring_init(&shard.ring, self.ring_bytes):
            return NO_MEMORY
        ft_write_little_u32(record + 12, shard.sequence)
        if length > shard.ring.capacity // LARGEST_SHARE or not ft_ring_push(&shard.ring, record, length):
            # Around the ring, behind all that is in it; the order stays.
            PyThread_acquire_lock(self.consumer_lock, WAIT_LOCK)
            taken = self.drain() == 0 and self.append_pending(record, length) == 0
            PyThread_release_lock(self.consumer_lock)
            if not taken:
                return NO_MEMORY
            self.signal()
        elif ft_ring_used(&shard.ring) > shard.ring.capacity // 2:
            self.signal()
        shard.sequence += 1
        return PUSHED

    cdef void signal(self) noexcept nogil:
        # Only the step from 0 to 1 releases the lock, which therefore is a binary semaphore.
        if ft_load_acquire_u32(&self.signalled) == 0 and ft_exchange_acq_rel(&self.signalled, 1) == 0:
            PyThread_release_lock(self.wake_lock)

    def wake(self):
        """End the current or the next ``wait``."""
        self.signal()

    def wait(self, timeout):
        """Wait up to ``timeout`` seconds for ``wake`` or a ring that is half full; False on the timeout.

        Moves what is staged to the pending list before it returns; the compiled one does so without
        the GIL.
        """
        cdef long long microseconds = <long long> (max(0.0, min(float(timeout), 1e6)) * 1e6)
        cdef bint woken
        with nogil:
            woken = PyThread_acquire_lock_timed(self.wake_lock, microseconds, 0) == 1
            if woken:
                ft_exchange_acq_rel(&self.signalled, 0)
            PyThread_acquire_lock(self.consumer_lock, WAIT_LOCK)
            self.drain()
            PyThread_release_lock(self.consumer_lock)
        return woken

    cdef int drain(self) noexcept nogil:
        """From the rings to the pending list; 0, or -1 without memory (what is left stays in its ring)."""
        cdef const uint8_t *record
        cdef uint32_t length, i
        cdef ft_ring *ring
        for i in range(self.shard_count):
            ring = &self.shards[i].ring
            while True:
                record = ft_ring_peek(ring)
                if record == NULL:
                    break
                length = ft_record_length(record)
                if self.append_pending(record, length):
                    return -1
                ft_ring_pop(ring, length)
        return 0

    cdef int append_pending(self, const uint8_t *record, uint32_t length) noexcept nogil:
        cdef Chunk *chunk = self.newest
        cdef size_t capacity
        if chunk == NULL or chunk.capacity - chunk.filled < length:
            capacity = length if length > CHUNK_BYTES else CHUNK_BYTES
            chunk = <Chunk *> malloc(sizeof(Chunk) + capacity)
            if chunk == NULL:
                return -1
            chunk.next = NULL
            chunk.filled = chunk.taken = 0
            chunk.capacity = capacity
            if self.newest == NULL:
                self.oldest = chunk
            else:
                self.newest.next = chunk
            self.newest = chunk
        memcpy(chunk.data + chunk.filled, record, length)
        chunk.filled += length
        return 0

    def take(self, max_spans, max_bytes):
        """The oldest records, whole, at most so many and so many bytes (but at least one); b"" when empty."""
        cdef int64_t spans_left = max_spans, bytes_left = max_bytes
        cdef size_t total = 0, position, run
        cdef Chunk *chunk
        cdef uint32_t length
        PyThread_acquire_lock(self.consumer_lock, WAIT_LOCK)
        self.drain()
        chunk = self.oldest
        while chunk != NULL and spans_left > 0:
            position = chunk.taken
            while position < chunk.filled and spans_left > 0:
                length = ft_record_length(chunk.data + position)
                if total and total + length > <size_t> bytes_left:
                    spans_left = 0
                    break
                position += length
                total += length
                spans_left -= 1
            chunk = chunk.next
        PyThread_release_lock(self.consumer_lock)
        # Only this thread takes, and others only append, so what was counted is still there.
        records = PyBytes_FromStringAndSize(NULL, total)
        cdef uint8_t *at = <uint8_t *> PyBytes_AS_STRING(records)
        PyThread_acquire_lock(self.consumer_lock, WAIT_LOCK)
        while total:
            chunk = self.oldest
            run = chunk.filled - chunk.taken
            if run > total:
                run = total
            memcpy(at, chunk.data + chunk.taken, run)
            at += run
            total -= run
            chunk.taken += run
            if chunk.taken == chunk.filled:
                self.oldest = chunk.next
                if self.oldest == NULL:
                    self.newest = NULL
                free(chunk)
        PyThread_release_lock(self.consumer_lock)
        return records

    def release(self, spans, nbytes):
        """Records of so many spans and bytes have been sent or dropped: the depth goes down."""
        self.let_go(spans, nbytes)

    cdef void let_go(self, int64_t spans, int64_t nbytes) noexcept:
        ft_add_seq_cst(&self.released[FT_SPANS], spans)
        ft_add_seq_cst(&self.released[FT_BYTES], nbytes)
        self.give_back(FT_SPANS, spans)
        self.give_back(FT_BYTES, nbytes)

    def reset_after_fork(self):
        """In a forked child: forget everything, take new locks; what was queued belongs to the parent."""
        cdef uint32_t i
        # The consumer may have been copied in the middle of a change, locks held: chunks and locks are left behind.
        self.oldest = self.newest = NULL
        self.new_locks()
        memset(self.released, 0, sizeof(self.released))
        memset(self.taken, 0, sizeof(self.taken))
        for i in range(self.shard_count):
            ft_ring_free(&self.shards[i].ring)
            memset(&self.shards[i], 0, sizeof(ft_shard))
        if ft_ring_init(&self.shards[0].ring, self.ring_bytes):
            raise MemoryError()
