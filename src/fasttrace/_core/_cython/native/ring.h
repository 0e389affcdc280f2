/* A bounded ring of variable-length records: one producer at a time, one consumer at a time. No Python.h.

   Invariant: the producer stores `head` with release after the bytes, so whatever lies below it is whole; the
   consumer stores `tail` with release after it has copied, so whatever lies below it may be overwritten.
   Positions only grow; a position modulo the capacity is the place in `data`. Records start at multiples of 8. One
   that does not fit before the end is preceded by a pad record that fills the rest. */
#ifndef FASTTRACE_RING_H
#define FASTTRACE_RING_H

#include <stdlib.h>
#include <string.h>

#include "atomics.h"

#define FT_RECORD_MAGIC 0x7FA5u
#define FT_RECORD_KIND_SPAN 1
#define FT_RECORD_KIND_PAD 2
#define FT_RECORD_HEADER_BYTES 64
#define FT_CACHE_LINES 128 /* two lines: the neighbour is prefetched, too */

typedef struct {
    uint8_t *data;
    uint64_t capacity; /* a power of two */
    char line_before_head[FT_CACHE_LINES];
    uint64_t head;        /* written by the producer */
    uint64_t cached_tail; /* the producer's last look at tail */
    char line_before_tail[FT_CACHE_LINES];
    uint64_t tail; /* written by the consumer */
    char line_after_tail[FT_CACHE_LINES];
} ft_ring;

static inline uint32_t ft_record_length(const uint8_t *record) {
    return (uint32_t)record[4] | (uint32_t)record[5] << 8 | (uint32_t)record[6] << 16 | (uint32_t)record[7] << 24;
}

static inline int ft_record_is_pad(const uint8_t *record) { return record[2] == FT_RECORD_KIND_PAD; }

static inline uint64_t ft_ring_place(uint64_t length) { return (length + 7u) & ~(uint64_t)7u; }

/* 0, or -1 without memory. `capacity` must be a power of two of at least 1024. */
static inline int ft_ring_init(ft_ring *ring, uint64_t capacity) {
    memset(ring, 0, sizeof(*ring));
    ring->data = (uint8_t *)malloc((size_t)capacity);
    if (ring->data == NULL) return -1;
    ring->capacity = capacity;
    return 0;
}

static inline void ft_ring_free(ft_ring *ring) {
    free(ring->data);
    ring->data = NULL;
}

/* Bytes between tail and head; exact for the producer and the consumer, a hint for others. */
static inline uint64_t ft_ring_used(const ft_ring *ring) {
    uint64_t tail = ft_load_acquire(&ring->tail);
    return ft_load_acquire(&ring->head) - tail;
}

/* Producer. The free bytes in one piece behind the last record, at `at`, at most an eighth of the capacity; a record
   written there, of any length up to that, is in with ft_ring_commit. */
static inline uint64_t ft_ring_room(ft_ring *ring, uint8_t **at) {
    uint64_t head = ft_load_relaxed(&ring->head);
    uint64_t offset = head & (ring->capacity - 1);
    uint64_t piece = ring->capacity - offset;
    if (piece > ring->capacity / 8) piece = ring->capacity / 8;
    if (ring->capacity - (head - ring->cached_tail) < piece) {
        ring->cached_tail = ft_load_acquire(&ring->tail);
        if (ring->capacity - (head - ring->cached_tail) < piece) return 0;
    }
    *at = ring->data + offset;
    return piece;
}

/* Producer. `length` bytes that were written where ft_ring_room said are a record. */
static inline void ft_ring_commit(ft_ring *ring, uint32_t length) {
    ft_store_release(&ring->head, ft_load_relaxed(&ring->head) + ft_ring_place(length));
}

/* Producer. 1 when the record is in, 0 when there is no room now. `length` is at most capacity / 8. */
static inline int ft_ring_push(ft_ring *ring, const uint8_t *record, uint32_t length) {
    uint64_t head = ft_load_relaxed(&ring->head);
    uint64_t place = ft_ring_place(length);
    uint64_t offset = head & (ring->capacity - 1);
    uint64_t rest = ring->capacity - offset;
    uint64_t need = place <= rest ? place : rest + place;
    if (ring->capacity - (head - ring->cached_tail) < need) {
        ring->cached_tail = ft_load_acquire(&ring->tail);
        if (ring->capacity - (head - ring->cached_tail) < need) return 0;
    }
    if (place > rest) {
        uint8_t *pad = ring->data + offset;
        pad[0] = FT_RECORD_MAGIC & 0xFF;
        pad[1] = FT_RECORD_MAGIC >> 8;
        pad[2] = FT_RECORD_KIND_PAD;
        pad[3] = 0;
        pad[4] = (uint8_t)rest;
        pad[5] = (uint8_t)(rest >> 8);
        pad[6] = (uint8_t)(rest >> 16);
        pad[7] = (uint8_t)(rest >> 24);
        offset = 0;
    }
    memcpy(ring->data + offset, record, length);
    ft_store_release(&ring->head, head + need);
    return 1;
}

/* Consumer. The oldest record, or NULL when the ring is empty; valid until ft_ring_pop. Pads are skipped. */
static inline const uint8_t *ft_ring_peek(ft_ring *ring) {
    uint64_t tail = ft_load_relaxed(&ring->tail);
    if (tail == ft_load_acquire(&ring->head)) return NULL;
    const uint8_t *record = ring->data + (tail & (ring->capacity - 1));
    if (ft_record_is_pad(record)) {
        /* A pad is stored together with the record behind it, so there is one. */
        tail += ft_record_length(record);
        ft_store_release(&ring->tail, tail);
        record = ring->data + (tail & (ring->capacity - 1));
    }
    return record;
}

/* Consumer. Gives back the place of the record that ft_ring_peek returned. */
static inline void ft_ring_pop(ft_ring *ring, uint32_t length) {
    ft_store_release(&ring->tail, ft_load_relaxed(&ring->tail) + ft_ring_place(length));
}

#endif
