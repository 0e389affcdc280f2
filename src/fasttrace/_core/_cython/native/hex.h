/* Lower-case hexadecimal, ASCII only. No Python.h. */
#ifndef FASTTRACE_HEX_H
#define FASTTRACE_HEX_H

#include <stdint.h>

/* The values of the lower-case hex digits, 0xFF for all other bytes. */
static const uint8_t ft_hex_values[256] = {
#define FT_NONE_8 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF
#define FT_NONE_16 FT_NONE_8, FT_NONE_8
    FT_NONE_16, FT_NONE_16, FT_NONE_16,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    FT_NONE_16, FT_NONE_16,
    0xFF, 10, 11, 12, 13, 14, 15, 0xFF, FT_NONE_8,
    FT_NONE_16, FT_NONE_16, FT_NONE_16, FT_NONE_16, FT_NONE_16, FT_NONE_16, FT_NONE_16, FT_NONE_16, FT_NONE_16
#undef FT_NONE_16
#undef FT_NONE_8
};

/* Reads `digits` (at most 16) hex digits into *value; 0, or -1 when one is not a lower-case hex digit. */
static inline int ft_hex_read(const uint8_t *text, int digits, uint64_t *value) {
    uint64_t result = 0;
    uint8_t bad = 0;
    for (int i = 0; i < digits; i++) {
        uint8_t digit = ft_hex_values[text[i]];
        bad |= digit;
        result = result << 4 | (digit & 0x0F);
    }
    *value = result;
    return bad & 0xF0 ? -1 : 0;
}

static inline void ft_hex_write(uint8_t *text, uint64_t value, int digits) {
    static const char alphabet[] = "0123456789abcdef";
    for (int i = digits - 1; i >= 0; i--) {
        text[i] = (uint8_t)alphabet[value & 0x0F];
        value >>= 4;
    }
}

#endif
