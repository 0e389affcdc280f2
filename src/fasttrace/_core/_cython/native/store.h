/* The traces whose spans have ended, held until it is known which of them are exported. No Python.h.

   One thread at a time. Every trace in the table is in one of three lists: undecided (by last activity), dropped (in the
   order in which they were), remembered (kept and gone, by last use); one that waits for the end of its grace is in
   `due`, too. Only undecided and dropped traces hold records. No clock is read: `now_ns` comes from the caller, and one
   that is smaller than the last counts as the last, so that `due` is in order. */
#ifndef FASTTRACE_STORE_H
#define FASTTRACE_STORE_H

#include <stddef.h>

#include "buffer.h"
#include "judge.h"
#include "links.h"

/* What counts towards the cap: these are at least what malloc spends. layout.py has the same numbers. */
#define FT_STORE_ENTRY_BYTES 160
#define FT_STORE_RECORD_BYTES 32
#define FT_STORE_REMEMBERED_SHARE 4

#define FT_STORE_SAMPLED 0x01
#define FT_STORE_LOCAL_ROOT 0x04
#define FT_STORE_HEAD (UINT32_C(1) << 30)
#define FT_STORE_NO_REASON 32

enum { FT_UNDECIDED, FT_KEPT, FT_DROPPED, FT_GONE, FT_STORE_STATES };

typedef struct ft_node {
    struct ft_node *next;
    uint8_t reason; /* the bit whose name is appended when it is taken, or FT_STORE_NO_REASON */
    uint8_t record[];
} ft_node;

typedef struct ft_trace {
    ft_link order; /* first, so that a link of these lists is the trace */
    ft_link due_order;
    struct ft_trace *chained;
    uint8_t id[16];
    ft_node *first, *last;
    uint64_t held_bytes;
    uint64_t due_ns;
    uint64_t active_ns;
    uint64_t begin_ns, end_ns; /* of all records seen, by the wall clock */
    uint32_t held_spans;
    uint32_t bits; /* not 0 once it is kept */
    uint8_t state;
    uint8_t waiting;
    uint8_t truncated;
} ft_trace;

typedef struct {
    uint64_t max_bytes, max_trace_bytes, grace_ns, remember;
    uint64_t seed[2];
    uint64_t now_ns;
    ft_trace **buckets;
    size_t bucket_count; /* a power of two */
    ft_link undecided, dropped, remembered, due;
    uint64_t traces[FT_STORE_STATES];
    uint64_t held_spans, held_bytes;
    ft_node *kept_first, *kept_last;
    uint64_t kept_spans, kept_bytes;
    uint64_t sampled_out, trace_evicted, evicted_traces, truncated_traces;
    uint64_t kept_traces[32];
    const uint8_t *reasons[FT_STORE_NO_REASON + 1];
    size_t reason_bytes[FT_STORE_NO_REASON + 1];
    ft_judge judge;
} ft_store;

/* --- the table --- */

static inline uint64_t ft_store_mix(uint64_t value) {
    value = (value ^ value >> 33) * UINT64_C(0xff51afd7ed558ccd);
    value = (value ^ value >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

/* Seeded, since ids come from outside. */
static inline ft_trace **ft_store_bucket(const ft_store *store, const uint8_t *id) {
    uint64_t hash = ft_store_mix(ft_read_little_u64(id) ^ store->seed[0]);
    hash = ft_store_mix(hash ^ ft_read_little_u64(id + 8) ^ store->seed[1]);
    return &store->buckets[hash & (store->bucket_count - 1)];
}

static inline uint64_t ft_store_traces(const ft_store *store) {
    return store->traces[FT_UNDECIDED] + store->traces[FT_KEPT] + store->traces[FT_DROPPED] + store->traces[FT_GONE];
}

static inline uint64_t ft_store_used(const ft_store *store) {
    return store->held_bytes + FT_STORE_ENTRY_BYTES * ft_store_traces(store);
}

static inline ft_trace *ft_store_find(const ft_store *store, const uint8_t *id) {
    ft_trace *trace = *ft_store_bucket(store, id);
    while (trace != NULL && memcmp(trace->id, id, 16) != 0) trace = trace->chained;
    return trace;
}

static inline void ft_store_chain(ft_store *store, ft_trace *trace) {
    ft_trace **bucket = ft_store_bucket(store, trace->id);
    trace->chained = *bucket;
    *bucket = trace;
}

/* Twice as many buckets; without memory the chains get longer instead. */
static inline void ft_store_grow(ft_store *store) {
    ft_trace **old = store->buckets, *trace, *next;
    size_t old_count = store->bucket_count;
    ft_trace **buckets = (ft_trace **)calloc(2 * old_count, sizeof(*buckets));
    if (buckets == NULL) return;
    store->buckets = buckets;
    store->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        for (trace = old[i]; trace != NULL; trace = next) {
            next = trace->chained;
            ft_store_chain(store, trace);
        }
    }
    free(old);
}

static inline ft_trace *ft_store_begin(ft_store *store, const uint8_t *id) {
    ft_trace *trace = (ft_trace *)calloc(1, sizeof(*trace));
    if (trace == NULL) return NULL;
    if (ft_store_traces(store) >= store->bucket_count) ft_store_grow(store);
    memcpy(trace->id, id, 16);
    trace->begin_ns = UINT64_MAX;
    ft_store_chain(store, trace);
    ft_links_append(&store->undecided, &trace->order);
    store->traces[FT_UNDECIDED]++;
    return trace;
}

static inline void ft_store_move(ft_store *store, ft_trace *trace, uint8_t state, ft_link *list) {
    ft_links_remove(&trace->order);
    ft_links_append(list, &trace->order);
    store->traces[trace->state]--;
    store->traces[state]++;
    trace->state = state;
    if (trace->waiting) ft_links_remove(&trace->due_order);
    trace->waiting = 0;
}

/* Takes a remembered trace, which holds nothing, out of the table. */
static inline void ft_store_forget(ft_store *store, ft_trace *trace) {
    ft_trace **at = ft_store_bucket(store, trace->id);
    while (*at != trace) at = &(*at)->chained;
    *at = trace->chained;
    ft_links_remove(&trace->order);
    store->traces[trace->state]--;
    free(trace);
}

/* --- what becomes of records --- */

static inline ft_node *ft_store_copy(const uint8_t *record, uint32_t length) {
    ft_node *node = (ft_node *)malloc(offsetof(ft_node, record) + length);
    if (node == NULL) return NULL;
    node->next = NULL;
    node->reason = FT_STORE_NO_REASON;
    memcpy(node->record, record, length);
    return node;
}

static inline size_t ft_store_size(const ft_store *store, const ft_node *node) {
    return ft_read_little_u32(node->record + 4) + store->reason_bytes[node->reason];
}

static inline uint8_t ft_store_lowest(uint32_t bits) {
    uint8_t bit = 0;
    while (!(bits >> bit & 1)) bit++;
    return bit;
}

static inline void ft_store_queue(ft_store *store, const ft_trace *trace, ft_node *node) {
    if (node->record[3] & FT_STORE_LOCAL_ROOT) node->reason = ft_store_lowest(trace->bits);
    node->next = NULL;
    if (store->kept_first == NULL) store->kept_first = node;
    else store->kept_last->next = node;
    store->kept_last = node;
    store->kept_spans++;
    store->kept_bytes += ft_store_size(store, node);
}

/* The records of a trace, which has none then. */
static inline ft_node *ft_store_unhold(ft_store *store, ft_trace *trace) {
    ft_node *first = trace->first;
    store->held_spans -= trace->held_spans;
    store->held_bytes -= trace->held_bytes;
    trace->first = trace->last = NULL;
    trace->held_spans = 0;
    trace->held_bytes = 0;
    return first;
}

/* The number of spans that are kept now and were not. */
static inline uint32_t ft_store_keep(ft_store *store, ft_trace *trace, uint32_t bits) {
    uint32_t spans = trace->held_spans;
    ft_node *next;
    trace->bits = bits;
    store->kept_traces[ft_store_lowest(bits)]++;
    for (ft_node *node = ft_store_unhold(store, trace); node != NULL; node = next) {
        next = node->next;
        ft_store_queue(store, trace, node);
    }
    ft_store_move(store, trace, FT_KEPT, &store->remembered);
    return spans;
}

static inline void ft_store_evict(ft_store *store, ft_trace *trace) {
    ft_node *next;
    for (ft_node *node = ft_store_unhold(store, trace); node != NULL; node = next) {
        next = node->next;
        free(node);
    }
    ft_store_move(store, trace, FT_GONE, &store->remembered);
}

static inline int ft_store_none(const ft_link *list) { return list->next == list; }

/* Back under the caps: what is remembered has one of its own, then the dropped go first, the undecided last. */
static inline void ft_store_shrink(ft_store *store) {
    ft_trace *trace;
    for (;;) {
        if (store->traces[FT_KEPT] + store->traces[FT_GONE] > store->remember) {
            ft_store_forget(store, (ft_trace *)store->remembered.next);
        } else if (ft_store_used(store) <= store->max_bytes) {
            return;
        } else if (!ft_store_none(&store->dropped)) {
            trace = (ft_trace *)store->dropped.next;
            store->sampled_out += trace->held_spans;
            ft_store_evict(store, trace);
        } else {
            /* What is remembered alone is never over the cap: one is here. */
            trace = (ft_trace *)store->undecided.next;
            store->trace_evicted += trace->held_spans;
            store->evicted_traces++;
            ft_store_evict(store, trace);
        }
    }
}

/* --- the calls --- */

static inline void ft_store_advance(ft_store *store, int64_t now_ns) {
    if (now_ns > 0 && (uint64_t)now_ns > store->now_ns) store->now_ns = (uint64_t)now_ns;
}

static inline void ft_store_see(ft_store *store, ft_trace *trace, const uint8_t *record) {
    uint64_t begin = ft_read_little_u64(record + 48), end = begin + ft_read_little_u64(record + 56);
    if (end < begin) end = UINT64_MAX;
    if (begin < trace->begin_ns) trace->begin_ns = begin;
    if (end > trace->end_ns) trace->end_ns = end;
    trace->active_ns = store->now_ns;
    if (trace->state == FT_DROPPED) return;
    ft_links_remove(&trace->order);
    ft_links_append(trace->state == FT_UNDECIDED ? &store->undecided : &store->remembered, &trace->order);
}

static inline void ft_store_hold(ft_store *store, ft_trace *trace, const uint8_t *record, uint32_t length) {
    uint64_t bytes = (uint64_t)length + FT_STORE_RECORD_BYTES;
    int fits = trace->held_bytes + bytes <= store->max_trace_bytes;
    ft_node *node = fits ? ft_store_copy(record, length) : NULL;
    if (node == NULL) {
        store->trace_evicted++;
        store->truncated_traces += !fits && !trace->truncated;
        trace->truncated |= !fits;
        return;
    }
    if (trace->first == NULL) trace->first = node;
    else trace->last->next = node;
    trace->last = node;
    trace->held_spans++;
    trace->held_bytes += bytes;
    store->held_spans++;
    store->held_bytes += bytes;
}

static inline void ft_store_add_one(ft_store *store, const uint8_t *record, uint32_t length) {
    int local_root = (record[3] & FT_STORE_LOCAL_ROOT) != 0;
    uint32_t bits = ft_read_little_u32(record + 16) | (record[3] & FT_STORE_SAMPLED ? FT_STORE_HEAD : 0);
    uint32_t judged = local_root ? ft_judge_root(&store->judge, record, store->now_ns) : 0;
    ft_trace *trace = ft_store_find(store, record + 24);
    if (trace == NULL) trace = ft_store_begin(store, record + 24);
    if (trace == NULL) {
        store->trace_evicted++;
        return;
    }
    ft_store_see(store, trace, record);
    if (trace->state == FT_UNDECIDED || trace->state == FT_DROPPED) bits |= judged;
    if (trace->state == FT_KEPT) trace->bits |= bits;
    else if (bits) ft_store_keep(store, trace, bits);
    if (trace->state == FT_KEPT) {
        ft_node *node = ft_store_copy(record, length);
        if (node == NULL) store->trace_evicted++;
        else ft_store_queue(store, trace, node);
    } else if (trace->state == FT_GONE) {
        store->sampled_out++;
    } else {
        ft_store_hold(store, trace, record, length);
        if (local_root && trace->state == FT_UNDECIDED) {
            if (trace->waiting) ft_links_remove(&trace->due_order);
            ft_links_append(&store->due, &trace->due_order);
            trace->waiting = 1;
            trace->due_ns = store->now_ns + store->grace_ns;
        }
    }
    ft_store_shrink(store);
}

/* Whole span records; the caller has checked them. */
static inline void ft_store_add(ft_store *store, const uint8_t *records, size_t size, int64_t now_ns) {
    ft_store_advance(store, now_ns);
    for (size_t position = 0; position < size;) {
        uint32_t length = ft_read_little_u32(records + position + 4);
        ft_store_add_one(store, records + position, length);
        position += length;
    }
}

static inline ft_trace *ft_store_next_due(const ft_store *store) {
    if (ft_store_none(&store->due)) return NULL;
    return (ft_trace *)((char *)store->due.next - offsetof(ft_trace, due_order));
}

static inline ft_trace *ft_store_oldest_dropped(const ft_store *store) {
    return ft_store_none(&store->dropped) ? NULL : (ft_trace *)store->dropped.next;
}

/* Drops what is due; with `everything` whatever waits. */
static inline void ft_store_tick(ft_store *store, int64_t now_ns, int everything) {
    ft_trace *trace;
    ft_store_advance(store, now_ns);
    while ((trace = ft_store_next_due(store)) != NULL && (everything || trace->due_ns <= store->now_ns)) {
        ft_store_move(store, trace, FT_DROPPED, &store->dropped);
    }
}

static inline void ft_store_close(ft_store *store, int64_t now_ns) {
    ft_store_tick(store, now_ns, 1);
    while (!ft_store_none(&store->undecided)) {
        ft_store_move(store, (ft_trace *)store->undecided.next, FT_DROPPED, &store->dropped);
    }
    while (!ft_store_none(&store->dropped)) {
        ft_trace *trace = (ft_trace *)store->dropped.next;
        store->sampled_out += trace->held_spans;
        ft_store_evict(store, trace);
    }
    ft_store_shrink(store);
}

/* How many records, and how many bytes they are, a take of at most so many gives. */
static inline size_t ft_store_measure(const ft_store *store, int64_t max_spans, int64_t max_bytes, int64_t *spans) {
    size_t total = 0, size;
    *spans = 0;
    for (const ft_node *node = store->kept_first; node != NULL && *spans < max_spans; node = node->next) {
        size = ft_store_size(store, node);
        if (total && (max_bytes < 0 || total + size > (uint64_t)max_bytes)) break;
        total += size;
        ++*spans;
    }
    return total;
}

static inline void ft_store_take(ft_store *store, uint8_t *at, int64_t spans) {
    for (; spans > 0; spans--) {
        ft_node *node = store->kept_first;
        size_t length = ft_read_little_u32(node->record + 4), extra = store->reason_bytes[node->reason];
        memcpy(at, node->record, length);
        if (extra) {
            memcpy(at + length, store->reasons[node->reason], extra);
            ft_write_little_u32(at + 4, (uint32_t)(length + extra));
        }
        at += length + extra;
        store->kept_spans--;
        store->kept_bytes -= length + extra;
        store->kept_first = node->next;
        free(node);
    }
}

/* Keeps what is held in a list, was active at or after `since_ns`, and overlaps an interval of the wall clock. */
static inline uint64_t ft_store_recall_from(
    ft_store *store, ft_link *list, uint32_t bits, uint64_t since_ns, uint64_t begin_ns, uint64_t end_ns) {
    uint64_t spans = 0;
    ft_link *next;
    for (ft_link *link = list->next; link != list; link = next) {
        ft_trace *trace = (ft_trace *)link;
        next = link->next;
        if (trace->active_ns < since_ns || trace->begin_ns > end_ns || trace->end_ns < begin_ns) continue;
        spans += ft_store_keep(store, trace, bits);
    }
    return spans;
}

static inline uint64_t ft_store_recall_held(
    ft_store *store, uint32_t bits, uint64_t since_ns, uint64_t begin_ns, uint64_t end_ns) {
    uint64_t spans = ft_store_recall_from(store, &store->dropped, bits, since_ns, begin_ns, end_ns);
    return spans + ft_store_recall_from(store, &store->undecided, bits, since_ns, begin_ns, end_ns);
}

static inline uint64_t ft_store_recall_recent(ft_store *store, uint32_t bits, int64_t since_ns) {
    uint64_t spans = ft_store_recall_held(store, bits, since_ns > 0 ? (uint64_t)since_ns : 0, 0, UINT64_MAX);
    ft_store_shrink(store);
    return spans;
}

static inline uint64_t ft_store_recall(ft_store *store, const uint8_t *id, uint32_t bits, int64_t neighbours_ns) {
    ft_trace *trace = ft_store_find(store, id);
    uint64_t spans = 0, around = (uint64_t)neighbours_ns, begin_ns, end_ns;
    if (trace == NULL) return 0;
    begin_ns = trace->begin_ns;
    end_ns = trace->end_ns;
    if (trace->state != FT_KEPT) spans = ft_store_keep(store, trace, bits);
    if (neighbours_ns >= 0) {
        begin_ns = begin_ns > around ? begin_ns - around : 0;
        end_ns = end_ns < UINT64_MAX - around ? end_ns + around : UINT64_MAX;
        spans += ft_store_recall_held(store, bits, 0, begin_ns, end_ns);
    }
    ft_store_shrink(store);
    return spans;
}

/* --- its life --- */

static inline void ft_store_free(ft_store *store) {
    ft_link *lists[] = {&store->undecided, &store->dropped, &store->remembered};
    ft_node *node;
    for (int i = 0; i < 3; i++) {
        while (!ft_store_none(lists[i])) {
            ft_trace *trace = (ft_trace *)lists[i]->next;
            ft_store_evict(store, trace);
            ft_store_forget(store, trace);
        }
    }
    while ((node = store->kept_first) != NULL) {
        store->kept_first = node->next;
        free(node);
    }
    ft_judge_free(&store->judge);
    free(store->buckets);
    free(store);
}

/* NULL without memory. Its rules and the names of reasons are for the caller to add. */
static inline ft_store *ft_store_new(
    uint64_t max_bytes, uint64_t max_trace_bytes, uint64_t grace_ns, uint64_t remember, uint64_t seed) {
    uint64_t room = max_bytes / FT_STORE_REMEMBERED_SHARE / FT_STORE_ENTRY_BYTES;
    ft_store *store = (ft_store *)calloc(1, sizeof(*store));
    if (store == NULL) return NULL;
    store->bucket_count = 1024;
    store->buckets = (ft_trace **)calloc(store->bucket_count, sizeof(*store->buckets));
    if (store->buckets == NULL) {
        free(store);
        return NULL;
    }
    store->max_bytes = max_bytes;
    store->max_trace_bytes = max_trace_bytes;
    store->grace_ns = grace_ns;
    /* What is remembered is evicted last: without a share of its own it would fill a small store. */
    store->remember = remember < room ? remember : room;
    store->seed[0] = seed;
    store->seed[1] = ft_store_mix(seed + 1);
    ft_links_init(&store->undecided);
    ft_links_init(&store->dropped);
    ft_links_init(&store->remembered);
    ft_links_init(&store->due);
    return store;
}

#endif
