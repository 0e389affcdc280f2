from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fasttrace._core._cython.context cimport Node
from fasttrace._core._cython.events cimport Added
from fasttrace._core._cython.recorder cimport Recorder, ft_link

cdef extern from "pairs.h":
    ctypedef struct ft_pairs:
        PyObject **at  # key, value, key, ...
        uint32_t count
        uint32_t capacity
        uint32_t dropped

cdef enum:
    # options of a span
    RECORD_EXCEPTION = 1
    SET_STATUS = 2
    END_ON_EXIT = 4
    MAKE_CURRENT = 8
    LIGHT = 16   # a local root that is not recorded, and observed
    RAISED = 32  # an exception was recorded
    ENDING = 64  # somebody ends it, and its processor may still change it
    TIMED = 128  # what its start and its end cost is measured

cdef class Tracer:
    cdef readonly object scope
    cdef readonly Recorder recorder
    cdef uint32_t scope_index

cdef extern from "calls.h":
    ctypedef PyObject *(*ft_vectorcall)(PyObject *callable, PyObject *const *arguments, size_t count, PyObject *names)

cdef class Span(Node):
    cdef ft_vectorcall vectorcall
    cdef Tracer tracer
    cdef Recorder recorder
    cdef object text            # the name
    cdef object parent          # the `context` argument, until the start
    cdef object start_attributes
    cdef object start_rest      # (links, start_time) when either is given
    cdef object token
    cdef object description
    cdef ft_link link
    cdef uint32_t generation
    cdef uint32_t shard         # where it is linked and counted
    cdef uint8_t state
    cdef uint8_t options
    cdef uint8_t asked          # which of the block's methods were looked up
    cdef uint8_t kind_number
    cdef uint8_t status_number
    cdef uint8_t record_flags
    cdef uint8_t detail         # of what begins below it, as its local root found it
    cdef uint64_t parent_number
    cdef int64_t start_ns
    cdef int64_t end_ns
    cdef Added events
    cdef Added links
    cdef ft_pairs pairs         # the attributes
