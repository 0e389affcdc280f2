/* What belongs to this process and not to its parent: the id generators and a count of forks. No Python.h.

   The handler registered with pthread_atfork runs in every forked child, also where the forking program skips
   Python's own hooks (uWSGI). It only adds one to `generation`: everything that must not survive a fork compares
   its own copy with it before use. One generator serves the process where the GIL guards it; without a GIL each
   thread has its own (in each extension that draws numbers, since a static of a header is one of each). */
#ifndef FASTTRACE_PROCESS_H
#define FASTTRACE_PROCESS_H

#include "rng.h"

typedef struct {
    ft_rng rng;
    uint32_t seeded_generation; /* the generator is valid while this equals the process's generation */
} ft_generator;

typedef struct {
    uint32_t generation;
    ft_generator generator;
} ft_process;

#if defined(Py_GIL_DISABLED)
#if defined(_MSC_VER)
static __declspec(thread) ft_generator ft_generator_of_thread;
#else
static _Thread_local ft_generator ft_generator_of_thread;
#endif
static inline ft_generator *ft_own_generator(ft_process *process) {
    (void)process;
    return &ft_generator_of_thread;
}
#else
static inline ft_generator *ft_own_generator(ft_process *process) { return &process->generator; }
#endif

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
