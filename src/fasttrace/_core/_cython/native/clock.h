/* The clocks, in nanoseconds. No Python.h. */
#ifndef FASTTRACE_CLOCK_H
#define FASTTRACE_CLOCK_H

#include <stdint.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static inline int64_t ft_clock_monotonic_ns(void) {
    static LARGE_INTEGER frequency;
    LARGE_INTEGER now;
    if (frequency.QuadPart == 0) QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    int64_t seconds = now.QuadPart / frequency.QuadPart;
    int64_t rest = now.QuadPart % frequency.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / frequency.QuadPart;
}

static inline int64_t ft_clock_wall_ns(void) {
    FILETIME time;
    GetSystemTimePreciseAsFileTime(&time);
    uint64_t ticks = (uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime;
    return (int64_t)(ticks - 116444736000000000ULL) * 100; /* from 1601 to 1970, in 100 ns */
}

/* The CPU time of a thread goes in steps of 16 ms here: what a span takes is rarely interrupted, so time serves. */
static inline int64_t ft_clock_thread_ns(void) { return ft_clock_monotonic_ns(); }
#else
#include <time.h>

static inline int64_t ft_clock_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t ft_clock_wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The CPU time of the calling thread: a system call, unlike the others. */
static inline int64_t ft_clock_thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

#endif
