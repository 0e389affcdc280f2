"""Trace and span ids from one generator seeded by the operating system.

The generator is shared by the threads of an interpreter; the GIL guards it. A fork makes the child's
copy stale (``process.h``), and the next draw there seeds it anew.
"""

import os

cdef ft_process PROCESS


cdef ft_process *process_state() noexcept:
    return &PROCESS


cdef int reseed() except -1:
    cdef uint32_t generation = PROCESS.generation
    cdef bytes seed = os.urandom(32)
    ft_rng_seed(&PROCESS.rng, <const uint8_t *> seed)
    PROCESS.seeded_generation = generation
    return 0


def generate_trace_id() -> int:
    """A random 128-bit trace id, never zero; all bits are random (W3C Trace Context level 2, section 3.2.2.3)."""
    if PROCESS.seeded_generation != PROCESS.generation:
        reseed()
    cdef uint64_t high = ft_rng_next(&PROCESS.rng)
    return (<object> high << 64) | ft_rng_next_nonzero(&PROCESS.rng)


def generate_span_id() -> int:
    """A random 64-bit span id, never zero."""
    if PROCESS.seeded_generation != PROCESS.generation:
        reseed()
    return ft_rng_next_nonzero(&PROCESS.rng)


def fork_generation() -> int:
    """A number that is another one in a forked child than in its parent; compare for equality."""
    return PROCESS.generation - 1


if ft_process_register(&PROCESS):
    raise MemoryError("fasttrace could not register its fork handler (pthread_atfork)")
reseed()
