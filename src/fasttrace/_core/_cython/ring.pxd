from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "ring.h" nogil:
    ctypedef struct ft_ring:
        uint8_t *data
        uint64_t capacity
    uint64_t ft_ring_room(ft_ring *ring, uint8_t **at)
    void ft_ring_commit(ft_ring *ring, uint32_t length)
    uint64_t ft_ring_used(const ft_ring *ring)

cdef extern from "buffer.h" nogil:
    uint8_t *ft_write_little_u32(uint8_t *at, uint32_t value)

cdef extern from "shards.h" nogil:
    enum:
        FT_SHARDS
        FT_HAS_GIL
        FT_SPANS
        FT_BYTES
    ctypedef char ft_mutex  # what it is depends on the build; its address is all that is used
    ctypedef struct ft_shard:
        ft_mutex mutex
        uint32_t sequence
        int64_t pushed[2]
        int64_t spare[2]
        ft_ring ring
    void ft_lock(ft_mutex *mutex)
    void ft_unlock(ft_mutex *mutex)
    int64_t ft_add_seq_cst(int64_t *word, int64_t delta)
    int64_t ft_load_seq_cst(int64_t *word)
    void ft_store_seq_cst(int64_t *word, int64_t value)
    int64_t ft_exchange_seq_cst(int64_t *word, int64_t value)
    int64_t ft_take_up_to(int64_t *taken, int64_t bound, int64_t wanted)
    uint32_t ft_own_shard(uint32_t count)
    int ft_is_first(int64_t *word, int64_t value)

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
    # What all threads read, in lines that are seldom written.
    cdef uint32_t shard_count
    cdef uint64_t ring_bytes
    cdef readonly int64_t max_spans
    cdef readonly int64_t max_bytes
    cdef char line_before_shards[128]
    # Producers: a shard's mutex (the GIL where there is one) guards its sequence and the writing side of its ring.
    cdef ft_shard shards[FT_SHARDS]
    # Consumers: `consumer_lock` guards the reading side of the rings and the chunks.
    cdef Chunk *oldest
    cdef Chunk *newest
    cdef PyThread_type_lock consumer_lock
    # Whoever brings `signalled` from 0 to 1 releases `wake_lock`.
    cdef PyThread_type_lock wake_lock
    cdef uint32_t signalled
    # Of spans and bytes: what was released, which only grows; and, without a GIL, what is out of the bounds: queued, or
    # spare in a shard. `pushed` is raised before the record is in; what can't be pushed is released again.
    cdef int64_t released[2]
    cdef int64_t taken[2]
    cdef int new_locks(self) except -1
    cdef int64_t depth(self, int kind) noexcept
    cdef bint reserve(self, ft_shard *shard, int kind, int64_t amount) noexcept
    cdef void give_back(self, int kind, int64_t amount) noexcept
    cdef void let_go(self, int64_t spans, int64_t nbytes) noexcept
    cdef int push_record(self, ft_shard *shard, uint8_t *record, uint32_t length) noexcept
    cdef int place(self, ft_shard *shard, uint8_t *record, uint32_t length) noexcept
    cdef void signal(self) noexcept nogil
    cdef int drain(self) noexcept nogil
    cdef int append_pending(self, const uint8_t *record, uint32_t length) noexcept nogil

# Whether one more record of this length is within the bounds; it is then counted. The caller holds the shard's mutex.
cdef inline bint admit(Ring ring, ft_shard *shard, uint32_t length) noexcept:
    if FT_HAS_GIL:
        if shard.pushed[FT_SPANS] - ring.released[FT_SPANS] >= ring.max_spans:
            return False
        if shard.pushed[FT_BYTES] - ring.released[FT_BYTES] + length > ring.max_bytes:
            return False
    else:
        if not ring.reserve(shard, FT_SPANS, 1):
            return False
        if not ring.reserve(shard, FT_BYTES, length):
            ring.give_back(FT_SPANS, 1)
            return False
    ft_add_seq_cst(&shard.pushed[FT_SPANS], 1)
    ft_add_seq_cst(&shard.pushed[FT_BYTES], length)
    return True

# A record that lies where `ft_ring_room` said; the caller holds the shard's mutex.
cdef inline int commit_record(Ring ring, ft_shard *shard, uint8_t *record, uint32_t length) noexcept:
    if not admit(ring, shard, length):
        return QUEUE_FULL
    ft_write_little_u32(record + 12, shard.sequence)
    shard.sequence += 1
    ft_ring_commit(&shard.ring, length)
    if ft_ring_used(&shard.ring) > shard.ring.capacity // 2:
        ring.signal()
    return PUSHED
