/* What belongs to this process and not to its parent: the id generator and a count of forks. No Python.h.

   The handler registered with pthread_atfork runs in every forked child, also where the forking program skips
   Python's own hooks (uWSGI). It only adds one to `generation`: everything that must not survive a fork compares
   its own copy with it before use. With the GIL, `rng` is guarded by the GIL. */
#ifndef FASTTRACE_PROCESS_H
#define FASTTRACE_PROCESS_H

#include "rng.h"

typedef struct {
    uint32_t generation;
    uint32_t seeded_generation; /* the generator is valid while this equals generation */
    ft_rng rng;
} ft_process;

#if !defined(_WIN32)
#include <pthread.h>

static ft_process *ft_process_of_handler;

static void ft_process_in_child(void) { ft_process_of_handler->generation++; }

/* 0, or an errno value. */
static inline int ft_process_register(ft_process *process) {
    process->generation = 1;
    ft_process_of_handler = process;
    return pthread_atfork(NULL, NULL, ft_process_in_child);
}
#else
static inline int ft_process_register(ft_process *process) {
    process->generation = 1;
    return 0;
}
#endif

#endif
