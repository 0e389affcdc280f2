from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "links.h" nogil:
    ctypedef struct ft_link:
        pass

cdef extern from "judge.h" nogil:
    enum:
        FT_JUDGE_RULES
        FT_JUDGE_ROUTES
        FT_JUDGE_FIRST
        FT_JUDGE_HALVED_AT
        FT_RULE_RARE
        FT_RULE_PERCENTILE
        FT_RULE_BASELINE
    ctypedef struct ft_judge:
        pass
    int ft_judge_add(ft_judge *judge, int kind, uint32_t bits, uint64_t amount, uint64_t window_ns)

cdef extern from "store.h" nogil:
    enum:
        FT_STORE_ENTRY_BYTES
        FT_STORE_RECORD_BYTES
        FT_STORE_REMEMBERED_SHARE
        FT_STORE_NO_REASON
        FT_UNDECIDED
        FT_KEPT
        FT_DROPPED
        FT_GONE
    ctypedef struct ft_trace:
        uint64_t due_ns
        uint64_t active_ns
    ctypedef struct ft_store:
        uint64_t traces[4]
        uint64_t held_spans
        uint64_t held_bytes
        uint64_t kept_spans
        uint64_t kept_bytes
        uint64_t sampled_out
        uint64_t trace_evicted
        uint64_t evicted_traces
        uint64_t truncated_traces
        uint64_t kept_traces[32]
        const uint8_t *reasons[33]
        size_t reason_bytes[33]
        ft_judge judge
    ft_store *ft_store_new(
        uint64_t max_bytes, uint64_t max_trace_bytes, uint64_t grace_ns, uint64_t remember, uint64_t seed
    )
    void ft_store_free(ft_store *store)
    uint64_t ft_store_traces(const ft_store *store)
    ft_trace *ft_store_next_due(const ft_store *store)
    ft_trace *ft_store_oldest_dropped(const ft_store *store)
    void ft_store_add(ft_store *store, const uint8_t *records, size_t size, int64_t now_ns)
    void ft_store_tick(ft_store *store, int64_t now_ns, int everything)
    void ft_store_close(ft_store *store, int64_t now_ns)
    size_t ft_store_measure(const ft_store *store, int64_t max_spans, int64_t max_bytes, int64_t *spans)
    void ft_store_take(ft_store *store, uint8_t *at, int64_t spans)
    uint64_t ft_store_recall(ft_store *store, const uint8_t *id, uint32_t bits, int64_t neighbours_ns)
    uint64_t ft_store_recall_recent(ft_store *store, uint32_t bits, int64_t since_ns)

cdef class Store:
    # Everything that changes is behind this pointer, so that a forked child can leave it alone and take another.
    cdef ft_store *store
    cdef tuple options  # max_bytes, max_trace_bytes, grace_ns, remember
    cdef list rules
    cdef list suffixes  # what ft_store.reasons points into
