from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from fasttrace._core._cython.events cimport Added
from fasttrace._core._cython.otlp cimport ft_buffer
from fasttrace._core._cython.recorder cimport Recorder

cdef extern from "clue.h":
    ctypedef struct ft_clue:
        PyObject *said
        PyObject *traceback
        PyObject *cleaner
        int64_t max_count
        int64_t max_length
        bint escaped
        size_t skipped
    void ft_drop_clue(ft_clue *clue)

# Whether type, message and traceback are all that there is to say of an exception; the clue has to be dropped.
cdef bint read_clue(Recorder recorder, object exception, bint escaped, ft_clue *clue) except -1

# Copies what was written last from this place to the events of a span (NULL: it has ended). The description of the
# exception; None when that is not what is to be written now. The caller holds a critical section on the span.
cdef object copied(ft_clue *clue, Added *events, Recorder recorder, int64_t time_ns)

# Writes the event of an exception and puts its place into the table: its attributes and description; None when it is
# not plain or too large for that.
cdef tuple learn(Recorder recorder, object exception, ft_clue *clue, ft_buffer *part)

# The attributes of an exception's event, for a caller that has some to add.
cdef dict members_of(Recorder recorder, object exception, bint escaped)

# The description of an exception, for a status.
cdef object description_of(Recorder recorder, object exception, bint escaped)

# ``exceptions.exception_attributes``: what it does each time; what is new is described there.
cdef dict exception_attributes(object exception, bint escaped)
