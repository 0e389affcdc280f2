/* The ring between a producing and a consuming thread, and its edges; run under sanitizers by test_native.py.

   Usage: ring_harness threads RECORDS CAPACITY | edges */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "ring.h"

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static ft_ring ring;
static uint64_t records;

/* Look again at once while the other thread may be about to act; it needs this core if it has none. */
static void wait_a_little(uint64_t *looks) {
    if (++*looks % 1000 == 0) sched_yield();
}

static uint64_t mix(uint64_t value) {
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdULL;
    return value ^ value >> 29;
}

/* Sizes that make pads of every length: 64 up to an eighth of the ring. */
static uint32_t size_of(uint64_t number) {
    return FT_RECORD_HEADER_BYTES + (uint32_t)(mix(number) % (ring.capacity / 8 - FT_RECORD_HEADER_BYTES));
}

static void fill(uint8_t *record, uint64_t number, uint32_t length) {
    record[0] = FT_RECORD_MAGIC & 0xFF;
    record[1] = FT_RECORD_MAGIC >> 8;
    record[2] = FT_RECORD_KIND_SPAN;
    record[3] = 0;
    for (int i = 0; i < 4; i++) record[4 + i] = (uint8_t)(length >> (8 * i));
    for (uint32_t i = 8; i < length; i++) record[i] = (uint8_t)(number + i);
}

static void check(const uint8_t *record, uint64_t number) {
    uint32_t length = ft_record_length(record);
    CHECK(length == size_of(number));
    CHECK(!ft_record_is_pad(record));
    for (uint32_t i = 8; i < length; i++) CHECK(record[i] == (uint8_t)(number + i));
}

/* Written where it stays, if the ring has the room in one piece; whether it was. */
static int produced_in_place(uint64_t number, uint32_t length) {
    uint8_t *place = NULL;
    uint64_t room = ft_ring_room(&ring, &place);
    CHECK(room <= ring.capacity / 8);
    if (room < length) return 0;
    fill(place, number, length);
    ft_ring_commit(&ring, length);
    return 1;
}

static void *produce(void *unused) {
    uint8_t *record = malloc(ring.capacity / 8 + 8);
    CHECK(record != NULL);
    for (uint64_t number = 0; number < records; number++) {
        uint32_t length = size_of(number);
        if (number % 3 && produced_in_place(number, length)) continue;
        fill(record, number, length);
        uint64_t looks = 0;
        while (!ft_ring_push(&ring, record, length)) wait_a_little(&looks);
    }
    free(record);
    return unused;
}

static void *consume(void *unused) {
    for (uint64_t number = 0; number < records; number++) {
        const uint8_t *record;
        uint64_t looks = 0;
        while ((record = ft_ring_peek(&ring)) == NULL) wait_a_little(&looks);
        check(record, number);
        CHECK(ft_ring_used(&ring) <= ring.capacity);
        ft_ring_pop(&ring, ft_record_length(record));
    }
    return unused;
}

static void threads(uint64_t capacity) {
    pthread_t producer, consumer;
    CHECK(ft_ring_init(&ring, capacity) == 0);
    CHECK(pthread_create(&producer, NULL, produce, NULL) == 0);
    CHECK(pthread_create(&consumer, NULL, consume, NULL) == 0);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    CHECK(ft_ring_used(&ring) == 0);
    CHECK(ft_ring_peek(&ring) == NULL);
    ft_ring_free(&ring);
}

/* One thread: filled to refusal and emptied, from every starting offset. */
static void edges(void) {
    uint8_t record[128];
    CHECK(ft_ring_init(&ring, 1024) == 0);
    CHECK(ft_ring_peek(&ring) == NULL);
    for (uint64_t start = 0; start < 400; start++) {
        uint64_t pushed = 0, popped = 0;
        const uint8_t *at;
        for (;;) {
            uint32_t length = 64 + (uint32_t)((start + pushed) % 65);
            fill(record, pushed, length);
            if (!(pushed % 2 && produced_in_place(pushed, length)) && !ft_ring_push(&ring, record, length)) break;
            pushed++;
        }
        CHECK(pushed >= 7);
        while ((at = ft_ring_peek(&ring)) != NULL) {
            CHECK(ft_ring_peek(&ring) == at);
            CHECK(at[8] == (uint8_t)(popped + 8));
            CHECK(ft_record_length(at) == 64 + (start + popped) % 65);
            ft_ring_pop(&ring, ft_record_length(at));
            popped++;
        }
        CHECK(pushed == popped);
    }
    ft_ring_free(&ring);
}

int main(int count, char **arguments) {
    if (count == 4 && strcmp(arguments[1], "threads") == 0) {
        records = strtoull(arguments[2], NULL, 10);
        threads(strtoull(arguments[3], NULL, 10));
    } else {
        edges();
    }
    puts("ok");
    return 0;
}
