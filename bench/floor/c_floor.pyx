# cython: language_level=3, boundscheck=False, binding=True, freethreading_compatible=True
"""The C floor: the least that a span in a ``with`` block can cost in CPython.

A compiled context manager that reads the clock twice and sets and resets one ContextVar. No ids, no
attributes, no encoding. Built by the bench, never shipped.
"""

from contextvars import ContextVar

cdef extern from "time.h" nogil:
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *now)
    int CLOCK_MONOTONIC

cdef extern from "Python.h":
    object PyContextVar_Set(object variable, object value)
    int PyContextVar_Reset(object variable, object token) except -1

cdef object CURRENT = ContextVar("floor", default=None)


cdef class Floor:
    """``with Floor("name"): ...``"""

    cdef object name
    cdef object token
    cdef long start_ns
    cdef long end_ns

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        cdef timespec now
        clock_gettime(CLOCK_MONOTONIC, &now)
        self.start_ns = now.tv_sec * 1000000000 + now.tv_nsec
        self.token = PyContextVar_Set(CURRENT, self)
        return self

    def __exit__(self, exc_type, exc, traceback):
        cdef timespec now
        PyContextVar_Reset(CURRENT, self.token)
        self.token = None
        clock_gettime(CLOCK_MONOTONIC, &now)
        self.end_ns = now.tv_sec * 1000000000 + now.tv_nsec

    def set_attribute(self, key, value):
        pass

    def add_event(self, name):
        pass
