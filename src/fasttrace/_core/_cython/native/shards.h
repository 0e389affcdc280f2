/* What the GIL guards, and what guards it where there is none.

   With a GIL there is one shard, its lock is nothing and counts are plain numbers. Without one, threads spread over
   shards, each with a lock that is held for a few loads and stores and one encoding: never while Python code runs.
   A thread that waits for the lock lets go of the interpreter, so that a collection which stops the world never
   waits for it; whoever holds the lock reaches its end without the interpreter. */
#ifndef FASTTRACE_SHARDS_H
#define FASTTRACE_SHARDS_H

#include <Python.h>
#include <stdint.h>

#include "atomics.h"
#include "ring.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
static inline void ft_wait_a_moment(void) { Sleep(1); }
#else
#include <unistd.h>
static inline void ft_wait_a_moment(void) { usleep(10); }
#endif

#if defined(Py_GIL_DISABLED)

enum { FT_SHARDS = 32, FT_HAS_GIL = 0 };
typedef PyMutex ft_mutex;

static inline void ft_lock(ft_mutex *mutex) { PyMutex_Lock(mutex); }
static inline void ft_unlock(ft_mutex *mutex) { PyMutex_Unlock(mutex); }

/* A load that is no addition of nothing: threads that only look share the line. */
#if defined(_MSC_VER)
#include <intrin.h>
#define FT_THREAD_LOCAL __declspec(thread)
/* Enough, since all stores that it is ordered with are interlocked. */
static inline int64_t ft_load_seq_cst(int64_t *word) { return (int64_t)ft_load_acquire((const uint64_t *)word); }
static inline int64_t ft_add_seq_cst(int64_t *word, int64_t delta) {
    return _InterlockedExchangeAdd64((volatile __int64 *)word, delta) + delta;
}
static inline int64_t ft_exchange_seq_cst(int64_t *word, int64_t value) {
    return _InterlockedExchange64((volatile __int64 *)word, value);
}
static inline int ft_replace_seq_cst(int64_t *word, int64_t *expected, int64_t value) {
    int64_t found = _InterlockedCompareExchange64((volatile __int64 *)word, value, *expected);
    if (found == *expected) return 1;
    *expected = found;
    return 0;
}
#else
#define FT_THREAD_LOCAL _Thread_local
static inline int64_t ft_load_seq_cst(int64_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static inline int64_t ft_add_seq_cst(int64_t *word, int64_t delta) {
    return __atomic_add_fetch(word, delta, __ATOMIC_SEQ_CST);
}
static inline int64_t ft_exchange_seq_cst(int64_t *word, int64_t value) {
    return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}
static inline int ft_replace_seq_cst(int64_t *word, int64_t *expected, int64_t value) {
    return __atomic_compare_exchange_n(word, expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#endif
static inline void ft_store_seq_cst(int64_t *word, int64_t value) { (void)ft_exchange_seq_cst(word, value); }

/* Raises `taken` by up to `wanted`, but not above `bound`; by how much. */
static inline int64_t ft_take_up_to(int64_t *taken, int64_t bound, int64_t wanted) {
    int64_t now = ft_load_seq_cst(taken);
    for (;;) {
        int64_t share = bound - now < wanted ? bound - now : wanted;
        if (share <= 0) return 0;
        if (ft_replace_seq_cst(taken, &now, now + share)) return share;
    }
}

/* The shard that the calling thread keeps to, below `count`. */
static int64_t ft_threads_seen;
static FT_THREAD_LOCAL uint32_t ft_thread_number;
static inline uint32_t ft_own_shard(uint32_t count) {
    if (ft_thread_number == 0) ft_thread_number = (uint32_t)ft_add_seq_cst(&ft_threads_seen, 1);
    return ft_thread_number % count;
}

/* A list of borrowed references may meet an object that another thread is about to deallocate. From
   ft_allow_try on, ft_try_incref tells whether it is still alive, and owns it if so. */
#if PY_VERSION_HEX >= 0x030E0000
static inline void ft_allow_try(PyObject *object) { PyUnstable_EnableTryIncRef(object); }
static inline int ft_try_incref(PyObject *object) { return PyUnstable_TryIncRef(object); }
#else
/* CPython 3.13 has no call for it; its reference counts are two words of the public PyObject (Include/object.h,
   PEP 703, "Biased reference counting"): one for the owning thread, and one shared, with two flag bits. */
#if defined(_MSC_VER)
#define ft_swap_if(word, expected, value) \
    (_InterlockedCompareExchange64((volatile __int64 *)(word), (value), *(expected)) == *(expected))
#else
#define ft_swap_if(word, expected, value) \
    __atomic_compare_exchange_n((word), (expected), (value), 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)
#endif
enum { FT_REF_SHIFT = 2, FT_REF_FLAGS = 3, FT_REF_MAYBE_WEAKREF = 1, FT_REF_MERGED = 3 };

static inline void ft_allow_try(PyObject *object) {
    for (;;) {
        Py_ssize_t shared = *(volatile Py_ssize_t *)&object->ob_ref_shared;
        /* Any flag makes the last owner look at the shared word before it deallocates. */
        if (shared & FT_REF_FLAGS) return;
        if (ft_swap_if(&object->ob_ref_shared, &shared, shared | FT_REF_MAYBE_WEAKREF)) return;
    }
}

static inline int ft_try_incref(PyObject *object) {
    if (*(volatile uintptr_t *)&object->ob_tid == _Py_ThreadId()) {
        /* Our own, therefore not merged yet, therefore alive. */
        Py_INCREF(object);
        return 1;
    }
    for (;;) {
        Py_ssize_t shared = *(volatile Py_ssize_t *)&object->ob_ref_shared;
        /* Nobody has it any more, or it is not ours to say. */
        if (shared == 0 || shared == FT_REF_MERGED) return 0;
        if (ft_swap_if(&object->ob_ref_shared, &shared, shared + ((Py_ssize_t)1 << FT_REF_SHIFT))) return 1;
    }
}
#endif

/* For an object that lives as long as the process and that all threads refer to: from now on nobody counts its
   references, which would move a cache line from core to core. Only the thread that has made it can say so. */
static inline void ft_count_no_more(PyObject *object) {
    if (*(volatile uintptr_t *)&object->ob_tid == _Py_ThreadId()) Py_SET_REFCNT(object, PY_SSIZE_T_MAX);
}

/* Whether the caller is the first to bring `word` to `value`. */
static inline int ft_is_first(int64_t *word, int64_t value) {
#if defined(_MSC_VER)
    return _InterlockedExchange64((volatile __int64 *)word, value) != value;
#else
    return __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL) != value;
#endif
}

#else

enum { FT_SHARDS = 1, FT_HAS_GIL = 1 };
typedef char ft_mutex;

static inline void ft_lock(ft_mutex *mutex) { (void)mutex; }
static inline void ft_unlock(ft_mutex *mutex) { (void)mutex; }
static inline int64_t ft_add_seq_cst(int64_t *word, int64_t delta) { return *word += delta; }
static inline void ft_store_seq_cst(int64_t *word, int64_t value) { *word = value; }
static inline int64_t ft_load_seq_cst(int64_t *word) { return *word; }
static inline int64_t ft_exchange_seq_cst(int64_t *word, int64_t value) {
    int64_t before = *word;
    *word = value;
    return before;
}
static inline int64_t ft_take_up_to(int64_t *taken, int64_t bound, int64_t wanted) {
    (void)taken, (void)bound;
    return wanted;
}
static inline uint32_t ft_own_shard(uint32_t count) {
    (void)count;
    return 0;
}
static inline void ft_allow_try(PyObject *object) { (void)object; }
static inline int ft_try_incref(PyObject *object) {
    Py_INCREF(object);
    return 1;
}
static inline void ft_count_no_more(PyObject *object) { (void)object; }
static inline int ft_is_first(int64_t *word, int64_t value) {
    *word = value;
    return 1;
}

#endif

/* True for the `at`th call, and from there on for every `every`th. Two threads that count at once may count as one,
   which a relaxed load and a relaxed store allow, and a lock would not be worth. */
static inline int ft_is_every(uint64_t *count, uint64_t at, uint64_t every) {
    uint64_t next = ft_load_relaxed(count) + 1;
    ft_store_relaxed(count, next == at ? at - every : next);
    return next == at;
}

/* One shard of the queue. `mutex` guards its sequence and the producer's side of its ring, and lends itself to the
   recorder for what it keeps by shard. By the kind of bound, spans or bytes: `pushed` only grows; `spare` is what the
   shard may still push before it has to ask for more, which others may take away from it. */
enum { FT_SPANS = 0, FT_BYTES = 1 };
typedef struct {
    ft_mutex mutex;
    uint32_t sequence;
    int64_t pushed[2];
    int64_t spare[2];
    ft_ring ring;
} ft_shard;

#endif
