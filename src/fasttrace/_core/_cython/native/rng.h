/* xoshiro256++ (Blackman and Vigna, 2019, public domain algorithm): 256 bits of state, 1 ns a number. No Python.h. */
#ifndef FASTTRACE_RNG_H
#define FASTTRACE_RNG_H

#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t state[4];
} ft_rng;

static inline uint64_t ft_rotate_left(uint64_t value, int bits) { return (value << bits) | (value >> (64 - bits)); }

static inline uint64_t ft_rng_next(ft_rng *rng) {
    uint64_t *s = rng->state;
    uint64_t result = ft_rotate_left(s[0] + s[3], 23) + s[0];
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = ft_rotate_left(s[3], 45);
    return result;
}

static inline uint64_t ft_rng_next_nonzero(ft_rng *rng) {
    uint64_t value = ft_rng_next(rng);
    while (value == 0) value = ft_rng_next(rng);
    return value;
}

/* `seed` is 32 bytes of entropy; the one state that would only give zeros is avoided. */
static inline void ft_rng_seed(ft_rng *rng, const uint8_t *seed) {
    memcpy(rng->state, seed, sizeof(rng->state));
    if ((rng->state[0] | rng->state[1] | rng->state[2] | rng->state[3]) == 0) rng->state[0] = 1;
}

#endif
