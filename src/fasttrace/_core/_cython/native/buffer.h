/* A growing byte buffer and the protobuf wire format's primitives, written minimally. No Python.h. */
#ifndef FASTTRACE_BUFFER_H
#define FASTTRACE_BUFFER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint8_t *data;
    size_t length;
    size_t capacity;
    int lent; /* the memory is somebody else's and does not grow */
} ft_buffer;

/* An empty buffer, all zero. */
static inline void ft_buffer_init(ft_buffer *buffer) { memset(buffer, 0, sizeof(*buffer)); }

/* Makes room for `extra` bytes; 0, or -1 where there is no more (the buffer is as it was). */
static inline int ft_buffer_reserve(ft_buffer *buffer, size_t extra) {
    if (buffer->capacity - buffer->length >= extra) return 0;
    if (buffer->lent) return -1;
    size_t capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity - buffer->length < extra) {
        if (capacity > SIZE_MAX / 2) return -1;
        capacity *= 2;
    }
    uint8_t *data = (uint8_t *)realloc(buffer->data, capacity);
    if (data == NULL) return -1;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

static inline void ft_buffer_free(ft_buffer *buffer) {
    free(buffer->data);
    buffer->data = NULL;
    buffer->length = buffer->capacity = 0;
}

static inline size_t ft_varint_size(uint64_t value) {
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

/* The writers below expect the room to be reserved; each returns the position behind what it wrote. */

static inline uint8_t *ft_write_varint(uint8_t *at, uint64_t value) {
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* One store each: GCC 12 does not make one of a loop over bytes once it has unrolled it. */
#if defined(_MSC_VER)
#define FT_SWAP_32(value) _byteswap_ulong(value)
#define FT_SWAP_64(value) _byteswap_uint64(value)
#else
#define FT_SWAP_32(value) __builtin_bswap32(value)
#define FT_SWAP_64(value) __builtin_bswap64(value)
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FT_LITTLE_32(value) FT_SWAP_32(value)
#define FT_LITTLE_64(value) FT_SWAP_64(value)
#define FT_BIG_64(value) (value)
#else
#define FT_LITTLE_32(value) (value)
#define FT_LITTLE_64(value) (value)
#define FT_BIG_64(value) FT_SWAP_64(value)
#endif

static inline uint8_t *ft_write_little_u16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    return at + 2;
}

static inline uint8_t *ft_write_little_u32(uint8_t *at, uint32_t value) {
    value = FT_LITTLE_32(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline uint8_t *ft_write_little_u64(uint8_t *at, uint64_t value) {
    value = FT_LITTLE_64(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline uint8_t *ft_write_big_u64(uint8_t *at, uint64_t value) {
    value = FT_BIG_64(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline uint64_t ft_read_big_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return FT_BIG_64(value);
}

static inline uint64_t ft_read_little_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return FT_LITTLE_64(value);
}

static inline uint32_t ft_read_little_u32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return FT_LITTLE_32(value);
}

/* Closes a length-delimited field whose one-byte length was left free at `mark`; 0, or -1 without memory. */
static inline int ft_buffer_close(ft_buffer *buffer, size_t mark) {
    size_t size = buffer->length - mark - 1;
    size_t extra = ft_varint_size(size) - 1;
    if (extra) {
        if (ft_buffer_reserve(buffer, extra)) return -1;
        memmove(buffer->data + mark + 1 + extra, buffer->data + mark + 1, size);
        buffer->length += extra;
    }
    ft_write_varint(buffer->data + mark, size);
    return 0;
}

#endif
