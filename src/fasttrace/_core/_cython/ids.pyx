# cython: freethreading_compatible=True
"""Trace and span ids from generators seeded by the operating system.

Shared between threads: the fork counter, which changes only in a forked child while it has one thread, and the
generator, which the GIL guards; without a GIL each thread has its own (``process.h``). A fork makes the child's
copies stale, and the next draw there seeds them anew. Raced by ``stress/race.py`` ("ids").
"""

import os

__all__ = ["fork_generation", "generate_span_id", "generate_trace_id"]

cdef ft_process PROCESS


cdef ft_process *process_state() noexcept:
    return &PROCESS


cdef int reseed(ft_generator *generator) except -1:
    cdef uint32_t generation = PROCESS.generation
    cdef bytes seed = os.urandom(32)
    ft_rng_seed(&generator.rng, <const uint8_t *> seed)
    generator.seeded_generation = generation
    return 0


cdef ft_rng *seeded() except NULL:
    cdef ft_generator *generator = ft_own_generator(&PROCESS)
    if generator.seeded_generation != PROCESS.generation:
        reseed(generator)
    return &generator.rng


def generate_trace_id() -> int:
    """A random 128-bit trace id, never zero; all bits are random (W3C Trace Context level 2, section 3.2.2.3)."""
    cdef ft_rng *rng = seeded()
    cdef uint64_t high = ft_rng_next(rng)
    cdef uint64_t low = ft_rng_next_nonzero(rng)
    return (<object> high << 64) | low


def generate_span_id() -> int:
    """A random 64-bit span id, never zero."""
    return ft_rng_next_nonzero(seeded())


def fork_generation() -> int:
    """A number that is another one in a forked child than in its parent; compare for equality."""
    return PROCESS.generation - 1


if ft_process_register(&PROCESS):
    raise MemoryError("fasttrace could not register its fork handler (pthread_atfork)")
reseed(ft_own_generator(&PROCESS))
