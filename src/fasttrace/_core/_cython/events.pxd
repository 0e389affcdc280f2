from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fasttrace._core._cython.context cimport Node
from fasttrace._core._cython.otlp cimport ft_buffer
from fasttrace._core._cython.recorder cimport Recorder

cdef enum:
    # of a span or a link: whether the parent, or what is linked, is of another process
    SPAN_FLAG_HAS_IS_REMOTE = 0x100
    SPAN_FLAG_IS_REMOTE = 0x200

# The events or the links of a span, as fields of its record.
cdef struct Added:
    ft_buffer fields
    uint32_t count
    uint32_t dropped

# Encode one, its time in front, or a link to a node.
cdef int write_event(ft_buffer *part, Recorder recorder, object name, object attributes, int64_t time_ns) except -1
cdef int write_link(ft_buffer *part, Recorder recorder, Node node, object attributes) except -1

# A field of how many were left out, if any were.
cdef int write_count(ft_buffer *buffer, uint8_t tag, uint64_t count) except -1

# Where to encode an event, and the way back: the part of all or, while somebody has that, the caller's own.
cdef ft_buffer *borrow_part(ft_buffer *own) noexcept
cdef void return_part(ft_buffer *part) noexcept

# Add what was encoded.
cdef int add_field(Added *added, uint8_t tag, ft_buffer *body) except -1
# Add an event that has a name only, written where it stays. For a caller that has the GIL.
cdef int add_name(Added *events, int64_t most, object name, int64_t time_ns) except -1
# Add an event whose body begins with the time, which is another one now; false without memory.
cdef bint copy_event(Added *events, int64_t most, const uint8_t *body, size_t size, int64_t time_ns) noexcept

# The buffer of a span that is done, to the next one that has events; it is empty afterwards.
cdef void give_back(ft_buffer *buffer) noexcept


cdef inline bint is_full(Added *added, int64_t most) noexcept:
    """Whether there is no room for one more (-1: there always is), which then counts as dropped."""
    if most >= 0 and added.count >= most:
        added.dropped += 1
        return True
    return False
