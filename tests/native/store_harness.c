/* The trace store under random operations, all its lists and sums checked; run under sanitizers by test_native.py.

   Usage: store_harness random STEPS | scarce STEPS | threads STEPS */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "rng.h"

/* One of so many allocations in the store fails, none when 0. */
static uint64_t scarcity;
static void *scarce(void *memory);
#define malloc(size) scarce(malloc(size))
#define calloc(count, size) scarce(calloc(count, size))
#include "store.h"
#undef malloc
#undef calloc

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

enum { LARGEST = 3000, SPAN = 1, HEADER_BYTES = 64 };

_Static_assert(sizeof(ft_trace) + 16 + 2 * sizeof(void *) <= FT_STORE_ENTRY_BYTES, "a trace costs more than it counts");

static ft_rng rng;
static const uint8_t name[] = "J\x0d\x0a\x01k\x12\x08reason..";

typedef struct {
    ft_store *store;
    int64_t now_ns;
    uint64_t added, taken;
} subject;

static uint64_t below(uint64_t bound) { return ft_rng_next(&rng) % bound; }

static void *scarce(void *memory) {
    if (scarcity == 0 || below(scarcity) != 0) return memory;
    free(memory);
    return NULL;
}

static uint32_t write_record(uint8_t *record, uint64_t trace, uint32_t length) {
    static const uint8_t flags[] = {0, 0, 0, 4, 4, 4, 1, 5};
    memset(record, 0xAB, length);
    ft_write_little_u16(record, 0x7FA5);
    record[2] = SPAN;
    record[3] = flags[below(8)];
    ft_write_little_u32(record + 4, length);
    ft_write_little_u32(record + 16, below(40) ? 0 : UINT32_C(1) << below(32));
    ft_write_little_u32(record + 20, (uint32_t)below(3000));
    ft_write_big_u64(record + 24, trace * 77);
    ft_write_big_u64(record + 32, trace << 44);
    ft_write_little_u64(record + 48, below(100) ? below(100000) : UINT64_MAX);
    ft_write_little_u64(record + 56, below(100) ? UINT64_C(1) << below(64) : UINT64_MAX);
    return length;
}

static uint64_t check_list(const ft_link *list, int first_state, int second_state, uint64_t *spans, uint64_t *bytes) {
    uint64_t count = 0;
    for (const ft_link *link = list->next; link != list; link = link->next) {
        const ft_trace *trace = (const ft_trace *)link;
        uint64_t held = 0, held_bytes = 0;
        CHECK(link->next->previous == link && link->previous->next == link);
        CHECK(trace->state == first_state || trace->state == second_state);
        for (const ft_node *node = trace->first; node != NULL; node = node->next) {
            held++;
            held_bytes += ft_read_little_u32(node->record + 4) + FT_STORE_RECORD_BYTES;
            CHECK(memcmp(node->record + 24, trace->id, 16) == 0);
            CHECK(node->next != NULL || node == trace->last);
        }
        CHECK(held == trace->held_spans && held_bytes == trace->held_bytes);
        *spans += held;
        *bytes += held_bytes;
        count++;
    }
    return count;
}

static void check(const subject *it) {
    const ft_store *store = it->store;
    uint64_t spans = 0, bytes = 0, chained = 0, waiting = 0, kept = 0, kept_bytes = 0, due_ns = 0;
    uint64_t remembered = store->traces[FT_KEPT] + store->traces[FT_GONE];
    CHECK(check_list(&store->undecided, FT_UNDECIDED, FT_UNDECIDED, &spans, &bytes) == store->traces[FT_UNDECIDED]);
    CHECK(check_list(&store->dropped, FT_DROPPED, FT_DROPPED, &spans, &bytes) == store->traces[FT_DROPPED]);
    CHECK(spans == store->held_spans && bytes == store->held_bytes);
    CHECK(check_list(&store->remembered, FT_KEPT, FT_GONE, &spans, &bytes) == remembered);
    CHECK(spans == store->held_spans && remembered <= store->remember);
    for (size_t i = 0; i < store->bucket_count; i++) {
        for (const ft_trace *trace = store->buckets[i]; trace != NULL; trace = trace->chained) {
            CHECK(ft_store_find(store, trace->id) == trace);
            waiting += trace->waiting;
            chained++;
        }
    }
    CHECK(chained == ft_store_traces(store));
    for (const ft_link *link = store->due.next; link != &store->due; link = link->next) {
        const ft_trace *trace = (const ft_trace *)((const char *)link - offsetof(ft_trace, due_order));
        CHECK(trace->waiting && trace->state == FT_UNDECIDED && trace->due_ns >= due_ns);
        due_ns = trace->due_ns;
        waiting--;
    }
    CHECK(waiting == 0);
    for (const ft_node *node = store->kept_first; node != NULL; node = node->next) {
        kept++;
        kept_bytes += ft_store_size(store, node);
    }
    CHECK(kept == store->kept_spans && kept_bytes == store->kept_bytes);
    CHECK(ft_store_used(store) <= store->max_bytes);
    CHECK(it->added == store->held_spans + kept + it->taken + store->sampled_out + store->trace_evicted);
}

static void take(subject *it, int64_t max_spans, int64_t max_bytes) {
    int64_t spans;
    size_t size = ft_store_measure(it->store, max_spans, max_bytes, &spans), position = 0;
    /* Exactly so much: one byte more is seen by the sanitizer. */
    uint8_t *records = malloc(size ? size : 1);
    CHECK(records != NULL);
    ft_store_take(it->store, records, spans);
    it->taken += (uint64_t)spans;
    for (; spans > 0; spans--) {
        uint32_t length = ft_read_little_u32(records + position + 4);
        CHECK(records[position + 2] == SPAN && length >= HEADER_BYTES);
        position += length;
    }
    CHECK(position == size);
    free(records);
}

static void step(subject *it, uint64_t traces) {
    uint8_t records[4 * LARGEST], id[16];
    size_t size = 0;
    uint64_t choice = below(100);
    it->now_ns += (int64_t)below(50) - (choice == 0 ? 1000 : 5);
    if (choice < 70) {
        for (uint64_t count = below(4); count > 0; count--) {
            uint32_t length = below(20) ? HEADER_BYTES + (uint32_t)below(300) : LARGEST;
            uint64_t trace = below(traces);
            size += write_record(records + size, trace, length);
            it->added++;
        }
        ft_store_add(it->store, records, size, it->now_ns);
    } else if (choice < 80) {
        ft_store_tick(it->store, it->now_ns, choice == 70);
    } else if (choice < 90) {
        int64_t max_spans = (int64_t)below(20) - 1;
        take(it, max_spans, (int64_t)below(5000) - 1);
    } else if (choice < 92) {
        uint64_t trace = below(traces);
        ft_write_big_u64(id, trace * 77);
        ft_write_big_u64(id + 8, trace << 44);
        int64_t neighbours_ns = below(20) ? -1 : (int64_t)below(2);
        ft_store_recall(it->store, id, 1 + (uint32_t)below(UINT32_MAX), neighbours_ns);
    } else if (choice == 92 && below(20) == 0) {
        ft_store_recall_recent(it->store, UINT32_C(1) << 28, it->now_ns - 20);
    } else if (choice == 93 && below(20) == 0) {
        ft_store_close(it->store, it->now_ns);
        CHECK(it->store->held_spans == 0);
    }
}

static subject begin(uint64_t max_bytes, uint64_t scarce_later) {
    uint64_t remember = below(2000);
    scarcity = 0;
    subject it = {ft_store_new(max_bytes, max_bytes / 8, 100, remember, 42), 0, 0, 0};
    CHECK(it.store != NULL);
    for (int bit = 0; bit < 32; bit += 2) {
        it.store->reasons[bit] = name;
        it.store->reason_bytes[bit] = sizeof(name) - 1;
    }
    CHECK(ft_judge_add(&it.store->judge, FT_RULE_RARE, 1 << 1, 2, 5000) == 0);
    CHECK(ft_judge_add(&it.store->judge, FT_RULE_PERCENTILE, 1 << 2, 950000, 0) == 0);
    CHECK(ft_judge_add(&it.store->judge, FT_RULE_BASELINE, 1 << 3, UINT64_C(0xF0000000000000), 0) == 0);
    scarcity = scarce_later;
    return it;
}

static void random_steps(uint64_t steps, uint64_t scarce_later) {
    uint64_t sampled_out = 0, evicted_traces = 0;
    static const uint64_t sizes[] = {1, 1000, 20000, 200000, 1 << 22};
    for (int round = 0; round < 5; round++) {
        subject it = begin(sizes[round], scarce_later);
        for (uint64_t i = 0; i < steps; i++) {
            step(&it, round == 4 ? 10000 : 60 * (round + 1));
            if (i % 64 == 0 || i < 500) check(&it);
        }
        check(&it);
        CHECK(it.taken && it.store->kept_traces[1] && it.store->kept_traces[30]);
        sampled_out += it.store->sampled_out;
        evicted_traces += it.store->evicted_traces;
        ft_store_free(it.store);
    }
    CHECK(sampled_out > 100 && evicted_traces > 100);
}

static subject shared;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *steps) {
    for (uint64_t i = 0; i < *(uint64_t *)steps; i++) {
        pthread_mutex_lock(&mutex);
        step(&shared, 200);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

/* Two threads that hand the store over by a lock, as a background thread and a flush do. */
static void threads(uint64_t steps) {
    pthread_t others[2];
    shared = begin(100000, 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&others[i], NULL, work, &steps) == 0);
    for (int i = 0; i < 2; i++) pthread_join(others[i], NULL);
    check(&shared);
    ft_store_free(shared.store);
}

int main(int count, char **arguments) {
    const uint8_t seed[32] = {1};
    uint64_t steps = count > 2 ? strtoull(arguments[2], NULL, 10) : 0;
    CHECK(steps > 0);
    ft_rng_seed(&rng, seed);
    if (strcmp(arguments[1], "threads") == 0) threads(steps);
    else random_steps(steps, strcmp(arguments[1], "scarce") == 0 ? 10 : 0);
    puts("ok");
    return 0;
}
