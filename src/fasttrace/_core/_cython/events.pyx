# cython: freethreading_compatible=True
"""Events and links, encoded when they are added: from then on they are fields of their span's record.

Shared between threads, and what guards it: the part in which events are encoded, lent to one caller at a time, and the
buffers that wait for their next use: the GIL; neither is used without one. What is added belongs to a span, on which
the caller holds a critical section.

Raced by ``stress/race.py`` ("shared spans", "exceptions").
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fasttrace._core._cython.context cimport Node
from fasttrace._core._cython.otlp cimport (
    ft_buffer,
    ft_buffer_free,
    ft_buffer_init,
    ft_buffer_reserve,
    ft_utf8_size,
    ft_varint_size,
    ft_write_big_u64,
    ft_write_little_u32,
    ft_write_little_u64,
    ft_write_utf8,
    ft_write_varint,
    reserve,
    write_attributes,
    write_text_field,
)
from fasttrace._core._cython.recorder cimport Recorder
from fasttrace._core._cython.ring cimport FT_HAS_GIL

__all__ = []

cdef enum:
    LARGEST_POOL = 64
    LARGEST_SPARE = 4096
    LARGEST_KEPT_PART = 1024 * 1024

# Where an event is encoded when it is added; lent to one caller at a time because normalising values may run code.
cdef ft_buffer PART
cdef bint part_is_lent = not FT_HAS_GIL
# Small buffers wait here for the next span that has events. With a GIL only.
cdef ft_buffer SPARE[LARGEST_POOL]
cdef uint32_t spare = 0


cdef ft_buffer *borrow_part(ft_buffer *own) noexcept:
    global part_is_lent
    ft_buffer_init(own)
    if part_is_lent:
        return own
    part_is_lent = True
    PART.length = 0
    return &PART


cdef void return_part(ft_buffer *part) noexcept:
    global part_is_lent
    if part == &PART:
        part_is_lent = False
        if part.capacity > LARGEST_KEPT_PART:
            ft_buffer_free(part)
    else:
        ft_buffer_free(part)


cdef inline void take_spare(ft_buffer *buffer) noexcept:
    global spare
    if spare:
        spare -= 1
        buffer.data = SPARE[spare].data
        buffer.capacity = SPARE[spare].capacity


cdef void give_back(ft_buffer *buffer) noexcept:
    global spare
    if FT_HAS_GIL and buffer.capacity <= LARGEST_SPARE and spare < LARGEST_POOL:
        SPARE[spare].data = buffer.data
        SPARE[spare].capacity = buffer.capacity
        spare += 1
        buffer.data = NULL
        buffer.length = buffer.capacity = 0
    else:
        ft_buffer_free(buffer)


cdef int add_field(Added *added, uint8_t tag, ft_buffer *body) except -1:
    cdef uint8_t *at
    if added.fields.data == NULL:
        take_spare(&added.fields)
    reserve(&added.fields, body.length + 11)
    at = added.fields.data + added.fields.length
    at[0] = tag
    at = ft_write_varint(at + 1, body.length)
    memcpy(at, body.data, body.length)
    added.fields.length = at + body.length - added.fields.data
    added.count += 1
    return 0


cdef int add_name(Added *events, int64_t most, object name, int64_t time_ns) except -1:
    cdef ft_buffer *buffer = &events.fields
    cdef uint8_t *at
    cdef size_t size, body = 9
    if is_full(events, most):
        return 0
    size = ft_utf8_size(name)
    if size:
        body += 1 + ft_varint_size(size) + size
    if buffer.data == NULL:
        take_spare(buffer)
    reserve(buffer, body + 11)
    at = buffer.data + buffer.length
    at[0] = 0x5A
    at = ft_write_varint(at + 1, body)
    at[0] = 0x09
    at = ft_write_little_u64(at + 1, <uint64_t> time_ns)
    if size:
        at[0] = 0x12
        at = ft_write_utf8(ft_write_varint(at + 1, size), name)
    buffer.length = at - buffer.data
    events.count += 1
    return 0


cdef bint copy_event(Added *events, int64_t most, const uint8_t *body, size_t size, int64_t time_ns) noexcept:
    cdef uint8_t *at
    if is_full(events, most):
        return True
    if events.fields.data == NULL:
        take_spare(&events.fields)
    if ft_buffer_reserve(&events.fields, size + 11):
        return False
    at = events.fields.data + events.fields.length
    at[0] = 0x5A
    at = ft_write_varint(at + 1, size)
    memcpy(at, body, size)
    ft_write_little_u64(at + 1, <uint64_t> time_ns)
    events.fields.length = at + size - events.fields.data
    events.count += 1
    return True


cdef int write_event(ft_buffer *part, Recorder recorder, object name, object attributes, int64_t time_ns) except -1:
    cdef int64_t dropped = 0
    reserve(part, 9)
    part.data[0] = 0x09
    ft_write_little_u64(part.data + 1, <uint64_t> time_ns)
    part.length = 9
    write_text_field(part, 0x12, name)
    if attributes is not None:
        dropped = write_members(part, 0x1A, attributes, recorder.max_event_attributes, recorder.max_member_length)
    write_count(part, 0x20, dropped)
    return 0


cdef int64_t write_members(
    ft_buffer *part, uint32_t tag, object attributes, int64_t max_count, int64_t max_length
) except -1:
    """The attributes of an event or link; one counts as dropped for a mapping that can't be read."""
    cdef size_t mark = part.length
    try:
        return write_attributes(part, tag, attributes, max_count, max_length)
    except Exception:
        part.length = mark
        return 1


cdef int write_count(ft_buffer *buffer, uint8_t tag, uint64_t count) except -1:
    if count:
        reserve(buffer, 12)
        buffer.data[buffer.length] = tag
        buffer.length = ft_write_varint(buffer.data + buffer.length + 1, count) - buffer.data
    return 0


cdef int write_link(ft_buffer *part, Recorder recorder, Node node, object attributes) except -1:
    cdef int64_t dropped = 0
    cdef uint8_t *at
    reserve(part, 28)
    at = part.data
    at[0] = 0x0A
    at[1] = 16
    at = ft_write_big_u64(ft_write_big_u64(at + 2, node.trace_high), node.trace_low)
    at[0] = 0x12
    at[1] = 8
    ft_write_big_u64(at + 2, node.span_number)
    part.length = 28
    if node.header is not None:
        write_text_field(part, 0x1A, node.header)
    if attributes is not None:
        dropped = write_members(part, 0x22, attributes, recorder.max_link_attributes, recorder.max_member_length)
    write_count(part, 0x28, dropped)
    reserve(part, 5)
    part.data[part.length] = 0x35
    ft_write_little_u32(
        part.data + part.length + 1,
        node.flags | SPAN_FLAG_HAS_IS_REMOTE | (SPAN_FLAG_IS_REMOTE if node.remote else 0),
    )
    part.length += 5
    return 0
