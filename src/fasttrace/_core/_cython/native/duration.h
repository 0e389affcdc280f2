/* Histograms of durations: four buckets to a power of two (layout.py, duration_bucket). No Python.h. */
#ifndef FASTTRACE_DURATION_H
#define FASTTRACE_DURATION_H

#include <stdint.h>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

enum { FT_DURATION_FIRST_POWER = 10, FT_DURATION_LAST_POWER = 39, FT_DURATION_BUCKETS = 121 };

static inline uint32_t ft_duration_bucket(uint64_t ns) {
    uint32_t power;
    if (ns >> FT_DURATION_FIRST_POWER == 0) return 0;
    if (ns >> (FT_DURATION_LAST_POWER + 1)) return FT_DURATION_BUCKETS - 1;
#if defined(_MSC_VER)
    unsigned long index;
    _BitScanReverse64(&index, ns);
    power = (uint32_t)index;
#else
    power = 63u - (uint32_t)__builtin_clzll(ns);
#endif
    return 1 + 4 * (power - FT_DURATION_FIRST_POWER) + (uint32_t)(ns >> (power - 2) & 3);
}

#endif
