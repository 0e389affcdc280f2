/* Random numbers, hexadecimal, varints and the growing buffer, at their edges; run under sanitizers. */
#include <stdio.h>

#include "buffer.h"
#include "clock.h"
#include "hex.h"
#include "links.h"
#include "process.h"

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static void random_numbers(void) {
    ft_rng rng;
    uint8_t seed[32] = {0};
    ft_rng_seed(&rng, seed);
    CHECK(ft_rng_next_nonzero(&rng) != 0); /* an all-zero seed would give zeros for ever */
    /* A state whose next number is zero: it is skipped. rotl(s0 + s3, 23) + s0 == 0 for s0 == 0, s3 == 0. */
    rng.state[0] = rng.state[3] = 0;
    rng.state[1] = rng.state[2] = 7;
    ft_rng copy = rng;
    CHECK(ft_rng_next(&copy) == 0);
    CHECK(ft_rng_next_nonzero(&rng) != 0);
    /* The authors' reference: the first outputs for the state 1, 2, 3, 4. */
    for (int i = 0; i < 4; i++) rng.state[i] = (uint64_t)i + 1;
    CHECK(ft_rng_next(&rng) == 41943041ULL);
    CHECK(ft_rng_next(&rng) == 58720359ULL);
    CHECK(ft_rng_next(&rng) == 3588806011781223ULL);
}

static void hexadecimal(void) {
    uint64_t value;
    uint8_t text[16];
    for (int character = 0; character < 256; character++) {
        int is_digit = (character >= '0' && character <= '9') || (character >= 'a' && character <= 'f');
        CHECK((ft_hex_values[character] != 0xFF) == is_digit);
        uint8_t one = (uint8_t)character;
        CHECK((ft_hex_read(&one, 1, &value) == 0) == is_digit);
    }
    CHECK(ft_hex_read((const uint8_t *)"ffffffffffffffff", 16, &value) == 0 && value == UINT64_MAX);
    CHECK(ft_hex_read((const uint8_t *)"0000000000000001", 16, &value) == 0 && value == 1);
    CHECK(ft_hex_read((const uint8_t *)"000000000000000A", 16, &value) == -1);
    ft_hex_write(text, 0x0123456789abcdefULL, 16);
    CHECK(memcmp(text, "0123456789abcdef", 16) == 0);
}

static void links(void) {
    ft_link list, items[4];
    ft_links_init(&list);
    CHECK(list.next == &list && list.previous == &list);
    for (int i = 0; i < 4; i++) ft_links_append(&list, &items[i]);
    ft_links_remove(&items[1]);
    CHECK(list.next == &items[0] && items[0].next == &items[2] && items[2].previous == &items[0]);
    ft_links_remove(&items[0]);
    ft_links_remove(&items[3]);
    CHECK(list.next == &items[2] && list.previous == &items[2] && items[2].next == &list);
    ft_links_remove(&items[2]);
    CHECK(list.next == &list && list.previous == &list);
}

static void buffers(void) {
    ft_buffer buffer;
    ft_buffer_init(&buffer);
    uint8_t varint[10];
    CHECK(ft_write_varint(varint, UINT64_MAX) - varint == 10);
    CHECK(ft_varint_size(0) == 1 && ft_varint_size(127) == 1 && ft_varint_size(128) == 2);
    CHECK(ft_varint_size(UINT64_MAX) == 10);
    for (size_t size = 0; size < 40000; size = size * 3 + 1) {
        buffer.length = 0;
        CHECK(ft_buffer_reserve(&buffer, size + 1) == 0);
        buffer.length = size + 1;
        memset(buffer.data + 1, 0x5A, size);
        CHECK(ft_buffer_close(&buffer, 0) == 0);
        CHECK(buffer.length == size + ft_varint_size(size));
        for (size_t i = ft_varint_size(size); i < buffer.length; i++) CHECK(buffer.data[i] == 0x5A);
    }
    CHECK(ft_buffer_reserve(&buffer, SIZE_MAX / 2 + 2) == -1);
    uint8_t word[8];
    ft_write_big_u64(word, 0x0102030405060708ULL);
    CHECK(word[0] == 1 && ft_read_big_u64(word) == 0x0102030405060708ULL);
    ft_write_little_u64(word, 0x0102030405060708ULL);
    CHECK(word[0] == 8 && ft_read_little_u64(word) == 0x0102030405060708ULL);
    ft_write_little_u32(word, 0xFFFFFFFFu);
    CHECK(ft_read_little_u32(word) == 0xFFFFFFFFu);
    ft_write_little_u16(word, 0x0102);
    CHECK(word[0] == 2 && word[1] == 1);
    ft_buffer_free(&buffer);
    ft_buffer lent = {word, 0, sizeof(word), 1};
    CHECK(ft_buffer_reserve(&lent, sizeof(word)) == 0);
    CHECK(ft_buffer_reserve(&lent, sizeof(word) + 1) == -1);
    CHECK(lent.data == word && lent.capacity == sizeof(word));
}

static void clocks(void) {
    int64_t before = ft_clock_monotonic_ns();
    CHECK(ft_clock_monotonic_ns() >= before);
    CHECK(ft_clock_wall_ns() > 1500000000LL * 1000000000LL);
}

int main(void) {
    random_numbers();
    hexadecimal();
    links();
    buffers();
    clocks();
    puts("ok");
    return 0;
}
