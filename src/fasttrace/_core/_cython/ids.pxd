from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "process.h" nogil:
    ctypedef struct ft_rng:
        uint64_t state[4]
    ctypedef struct ft_generator:
        ft_rng rng
        uint32_t seeded_generation
    ctypedef struct ft_process:
        uint32_t generation
    int ft_process_register(ft_process *process)
    ft_generator *ft_own_generator(ft_process *process)
    uint64_t ft_rng_next(ft_rng *rng)
    uint64_t ft_rng_next_nonzero(ft_rng *rng)
    void ft_rng_seed(ft_rng *rng, const uint8_t *seed)

# The one process state; other modules keep the pointer, which never changes.
cdef ft_process *process_state() noexcept
# The generator that the calling thread may use now; it stays valid until the thread lets other code run.
cdef int reseed(ft_generator *generator) except -1
