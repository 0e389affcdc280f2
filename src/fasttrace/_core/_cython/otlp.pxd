from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "buffer.h" nogil:
    ctypedef struct ft_buffer:
        uint8_t *data
        size_t length
        size_t capacity
        bint lent
    void ft_buffer_init(ft_buffer *buffer)
    int ft_buffer_reserve(ft_buffer *buffer, size_t extra)
    void ft_buffer_free(ft_buffer *buffer)
    int ft_buffer_close(ft_buffer *buffer, size_t mark)
    size_t ft_varint_size(uint64_t value)
    uint8_t *ft_write_varint(uint8_t *at, uint64_t value)
    uint8_t *ft_write_little_u16(uint8_t *at, unsigned short value)
    uint8_t *ft_write_little_u32(uint8_t *at, uint32_t value)
    uint8_t *ft_write_little_u64(uint8_t *at, uint64_t value)
    uint8_t *ft_write_big_u64(uint8_t *at, uint64_t value)
    uint32_t ft_read_little_u32(const uint8_t *at)

cdef extern from "pytext.h":
    size_t ft_utf8_size(object text)
    uint8_t *ft_write_utf8(uint8_t *at, object text)
    bint ft_text_equal(object a, object b)

cdef extern from "attribute.h":
    bint ft_is_plain(PyObject *value)
    int ft_write_short_attribute(ft_buffer *buffer, uint8_t tag, PyObject *key, PyObject *value)

# Room for `extra` more bytes, or MemoryError.
cdef inline int reserve(ft_buffer *buffer, size_t extra) except -1:
    if ft_buffer_reserve(buffer, extra):
        raise MemoryError()
    return 0

cdef object normal_value(object value, int64_t max_length)
cdef int write_attribute(ft_buffer *buffer, uint32_t tag, object key, object value) except -1
cdef int write_text_field(ft_buffer *buffer, uint8_t tag, object text) except -1
cdef int64_t write_attributes(
    ft_buffer *buffer, uint32_t tag, object attributes, int64_t max_count, int64_t max_length
) except -1
