/* The few atomic operations that the core needs; each name states its ordering. No Python.h. */
#ifndef FASTTRACE_ATOMICS_H
#define FASTTRACE_ATOMICS_H

#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)

static inline uint64_t ft_load_relaxed(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static inline uint64_t ft_load_acquire(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void ft_store_relaxed(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
static inline void ft_store_release(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
static inline uint32_t ft_exchange_acq_rel(uint32_t *word, uint32_t value) {
    return __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL);
}
static inline uint32_t ft_load_acquire_u32(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline uint32_t ft_or_acq_rel_u32(uint32_t *word, uint32_t bits) { /* the new value */
    return __atomic_or_fetch(word, bits, __ATOMIC_ACQ_REL);
}

#elif defined(_MSC_VER)

#include <intrin.h>
/* On x64 a plain 64-bit access is atomic, loads acquire and stores release; the barrier keeps the compiler in
   line. On ARM64 the interlocked forms carry the ordering. */
#if defined(_M_ARM64)
static inline uint64_t ft_load_acquire(const uint64_t *word) { return __ldar64((unsigned __int64 volatile *)word); }
static inline void ft_store_release(uint64_t *word, uint64_t value) {
    __stlr64((unsigned __int64 volatile *)word, value);
}
static inline uint32_t ft_load_acquire_u32(const uint32_t *word) {
    return __ldar32((unsigned __int32 volatile *)word);
}
#else
static inline uint64_t ft_load_acquire(const uint64_t *word) {
    uint64_t value = *(const volatile uint64_t *)word;
    _ReadWriteBarrier();
    return value;
}
static inline void ft_store_release(uint64_t *word, uint64_t value) {
    _ReadWriteBarrier();
    *(volatile uint64_t *)word = value;
}
static inline uint32_t ft_load_acquire_u32(const uint32_t *word) {
    uint32_t value = *(const volatile uint32_t *)word;
    _ReadWriteBarrier();
    return value;
}
#endif
static inline uint64_t ft_load_relaxed(const uint64_t *word) { return *(const volatile uint64_t *)word; }
static inline void ft_store_relaxed(uint64_t *word, uint64_t value) { *(volatile uint64_t *)word = value; }
static inline uint32_t ft_exchange_acq_rel(uint32_t *word, uint32_t value) {
    return (uint32_t)_InterlockedExchange((volatile long *)word, (long)value);
}
static inline uint32_t ft_or_acq_rel_u32(uint32_t *word, uint32_t bits) {
    return (uint32_t)_InterlockedOr((volatile long *)word, (long)bits) | bits;
}

#else
#error "fasttrace needs GCC, Clang or MSVC for its atomic operations; FASTTRACE_BUILD=pure does without a compiler"
#endif

#endif
