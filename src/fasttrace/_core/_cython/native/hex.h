/* Lower-case hexadecimal, ASCII only. No Python.h. */
#ifndef FASTTRACE_HEX_H
#define FASTTRACE_HEX_H

#include <stdint.h>

/* The value of a lower-case hex digit, or 0xFF. */
static inline uint8_t ft_hex_digit(uint8_t character) {
    uint8_t decimal = (uint8_t)(character - '0');
    if (decimal < 10) return decimal;
    uint8_t letter = (uint8_t)(character - 'a');
    return letter < 6 ? (uint8_t)(letter + 10) : 0xFF;
}

/* Reads `digits` (at most 16) hex digits into *value; 0, or -1 when one is not a lower-case hex digit. */
static inline int ft_hex_read(const uint8_t *text, int digits, uint64_t *value) {
    uint64_t result = 0;
    uint8_t bad = 0;
    for (int i = 0; i < digits; i++) {
        uint8_t digit = ft_hex_digit(text[i]);
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
