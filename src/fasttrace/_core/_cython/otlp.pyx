# cython: freethreading_compatible=True
"""The writing side of OTLP: attributes, scopes and whole requests (opentelemetry-proto, common and trace).

Fields are written in the order of their numbers and minimally, which makes our bytes those of the
official serialiser. What is written here is already exact built-in types, so no user code runs.

Shared between threads: nothing; buffers belong to the caller, and a user's mapping is copied by a call of its own
before it is walked. Raced by ``stress/race.py`` ("codec").
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Next
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fasttrace._core.layout import RECORD_HEADER_BYTES, RECORD_KIND_SPAN, RECORD_MAGIC
from fasttrace._core.values import normalise

__all__ = ["assemble", "count_records", "encode_attributes", "encode_scope"]

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    Py_ssize_t PyBytes_GET_SIZE(object data)
    Py_ssize_t PyTuple_GET_SIZE(object values)
    PyObject *PyTuple_GET_ITEM(object values, Py_ssize_t index)
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    double PyFloat_AS_DOUBLE(object value)

cdef enum:
    HEADER_BYTES = 64
    # tags of AnyValue's fields
    STRING_VALUE = 0x0A
    BOOL_VALUE = 0x10
    INT_VALUE = 0x18
    DOUBLE_VALUE = 0x21
    ARRAY_VALUE = 0x2A
    KVLIST_VALUE = 0x32
    BYTES_VALUE = 0x3A

cdef uint8_t KIND_SPAN = RECORD_KIND_SPAN
cdef uint32_t MAGIC = RECORD_MAGIC
assert HEADER_BYTES == RECORD_HEADER_BYTES


cdef object normal_value(object value, int64_t max_length):
    """The value itself if it is an exact built-in within its bounds, else a normalised copy; may run user code."""
    cdef int overflow
    kind = type(value)
    if kind is str:
        if max_length < 0 or PyUnicode_GET_LENGTH(value) <= max_length:
            return value
    elif kind is int:
        PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow:
            return value
    elif kind is bool or kind is float or value is None:
        return value
    elif kind is bytes:
        if max_length < 0 or PyBytes_GET_SIZE(value) <= max_length:
            return value
    return normalise(value, None if max_length < 0 else max_length)


cdef int write_value(ft_buffer *buffer, object value) except -1:
    """The body of an AnyValue; nothing for None."""
    cdef size_t size, mark
    cdef uint8_t *at
    cdef int overflow
    cdef double number
    cdef uint64_t bits
    cdef Py_ssize_t i
    cdef PyObject *key
    cdef PyObject *item
    cdef Py_ssize_t position = 0
    kind = type(value)
    if kind is str:
        size = ft_utf8_size(value)
        reserve(buffer, size + 11)
        at = buffer.data + buffer.length
        at[0] = STRING_VALUE
        at = ft_write_utf8(ft_write_varint(at + 1, size), value)
        buffer.length = at - buffer.data
    elif kind is bool:
        reserve(buffer, 2)
        buffer.data[buffer.length] = BOOL_VALUE
        buffer.data[buffer.length + 1] = value is True
        buffer.length += 2
    elif kind is int:
        reserve(buffer, 11)
        at = buffer.data + buffer.length
        at[0] = INT_VALUE
        at = ft_write_varint(at + 1, <uint64_t> PyLong_AsLongLongAndOverflow(value, &overflow))
        buffer.length = at - buffer.data
    elif kind is float:
        reserve(buffer, 9)
        number = PyFloat_AS_DOUBLE(value)
        memcpy(&bits, &number, 8)
        buffer.data[buffer.length] = DOUBLE_VALUE
        ft_write_little_u64(buffer.data + buffer.length + 1, bits)
        buffer.length += 9
    elif kind is bytes:
        size = PyBytes_GET_SIZE(value)
        reserve(buffer, size + 11)
        at = buffer.data + buffer.length
        at[0] = BYTES_VALUE
        at = ft_write_varint(at + 1, size)
        memcpy(at, PyBytes_AS_STRING(value), size)
        buffer.length = at + size - buffer.data
    elif kind is tuple:
        mark = open_field(buffer, ARRAY_VALUE)
        for i in range(PyTuple_GET_SIZE(value)):
            write_array_item(buffer, <object> PyTuple_GET_ITEM(value, i))
        close_field(buffer, mark)
    elif kind is dict:
        mark = open_field(buffer, KVLIST_VALUE)
        while PyDict_Next(value, &position, &key, &item):
            write_attribute(buffer, 0x0A, <object> key, <object> item)
        close_field(buffer, mark)
    return 0


cdef int write_array_item(ft_buffer *buffer, object value) except -1:
    cdef size_t mark = open_field(buffer, 0x0A)
    write_value(buffer, value)
    return close_field(buffer, mark)


cdef size_t open_field(ft_buffer *buffer, uint8_t tag) except? 0:
    """Writes the tag and leaves one byte for the length; gives the place of that byte."""
    reserve(buffer, 2)
    buffer.data[buffer.length] = tag
    buffer.length += 2
    return buffer.length - 1


cdef int close_field(ft_buffer *buffer, size_t mark) except -1:
    if ft_buffer_close(buffer, mark):
        raise MemoryError()
    return 0


cdef int write_attribute(ft_buffer *buffer, uint32_t tag, object key, object value) except -1:
    """One KeyValue field. Strings and integers are sized first; what nests is closed afterwards."""
    if tag < 0x80 and ft_write_short_attribute(buffer, <uint8_t> tag, <PyObject *> key, <PyObject *> value) == 1:
        return 0
    cdef size_t key_size = ft_utf8_size(key)
    cdef size_t value_size = 0, any_size, size, mark, inner
    cdef uint8_t *at
    cdef int overflow
    cdef uint64_t number = 0
    kind = type(value)
    if kind is str:
        value_size = ft_utf8_size(value)
        any_size = 1 + ft_varint_size(value_size) + value_size
    elif kind is int:
        number = <uint64_t> PyLong_AsLongLongAndOverflow(value, &overflow)
        any_size = 1 + ft_varint_size(number)
    else:
        reserve(buffer, key_size + 24)
        at = ft_write_varint(buffer.data + buffer.length, tag)
        mark = at - buffer.data
        at[1] = 0x0A
        at = ft_write_utf8(ft_write_varint(at + 2, key_size), key)
        at[0] = 0x12
        inner = at + 1 - buffer.data
        buffer.length = inner + 1
        write_value(buffer, value)
        close_field(buffer, inner)
        return close_field(buffer, mark)
    size = 2 + key_size + any_size + ft_varint_size(key_size) + ft_varint_size(any_size)
    reserve(buffer, size + 16)
    at = ft_write_varint(buffer.data + buffer.length, tag)
    at = ft_write_varint(at, size)
    at[0] = 0x0A
    at = ft_write_utf8(ft_write_varint(at + 1, key_size), key)
    at[0] = 0x12
    at = ft_write_varint(at + 1, any_size)
    if kind is str:
        at[0] = STRING_VALUE
        at = ft_write_utf8(ft_write_varint(at + 1, value_size), value)
    else:
        at[0] = INT_VALUE
        at = ft_write_varint(at + 1, number)
    buffer.length = at - buffer.data
    return 0


cdef int write_text_field(ft_buffer *buffer, uint8_t tag, object text) except -1:
    """One string field; nothing for empty text."""
    cdef size_t size = ft_utf8_size(text)
    cdef uint8_t *at
    if size == 0:
        return 0
    reserve(buffer, size + 11)
    at = buffer.data + buffer.length
    at[0] = tag
    at = ft_write_utf8(ft_write_varint(at + 1, size), text)
    buffer.length = at - buffer.data
    return 0


cdef int64_t write_attributes(
    ft_buffer *buffer, uint32_t tag, object attributes, int64_t max_count, int64_t max_length
) except -1:
    """Repeated KeyValue fields of a user's mapping; gives how many were dropped."""
    cdef int64_t dropped = 0, count = 0
    for key, value in list(attributes.items()):
        if not isinstance(key, str) or not key:
            dropped += 1
            continue
        if max_count >= 0 and count >= max_count:
            dropped += 1
            continue
        if type(key) is not str:
            key = str.__str__(key)
        try:
            value = normal_value(value, max_length)
        except Exception:
            dropped += 1
            continue
        write_attribute(buffer, tag, key, value)
        count += 1
    return dropped


def encode_attributes(attributes, field=1, max_count=None):
    """Repeated ``KeyValue`` fields under the given field number (OTLP common.proto).

    Keys that are not text or empty, and values that can't be normalised, are left out.
    """
    cdef ft_buffer buffer
    ft_buffer_init(&buffer)
    try:
        write_attributes(&buffer, field << 3 | 2, attributes, -1 if max_count is None else max_count, -1)
        return PyBytes_FromStringAndSize(<char *> buffer.data, buffer.length)
    finally:
        ft_buffer_free(&buffer)


def encode_scope(scope):
    """The body of an OTLP ``InstrumentationScope``, without the schema URL."""
    cdef ft_buffer buffer
    ft_buffer_init(&buffer)
    try:
        write_text_field(&buffer, 0x0A, scope.name)
        write_text_field(&buffer, 0x12, scope.version)
        write_attributes(&buffer, 0x1A, scope.attributes, -1, -1)
        return PyBytes_FromStringAndSize(<char *> buffer.data, buffer.length)
    finally:
        ft_buffer_free(&buffer)


cdef Py_ssize_t check_record(const uint8_t *data, Py_ssize_t position, Py_ssize_t size) except -1:
    """The length of the record at a position."""
    cdef uint32_t length
    if size - position < HEADER_BYTES:
        raise ValueError(f"a record is cut short at offset {position}")
    if <uint32_t> (data[position] | data[position + 1] << 8) != MAGIC or data[position + 2] != KIND_SPAN:
        raise ValueError(f"no span record at offset {position}")
    length = ft_read_little_u32(data + position + 4)
    if length < HEADER_BYTES or <Py_ssize_t> length > size - position:
        raise ValueError(f"a record is cut short at offset {position}")
    return length


def count_records(bytes records not None):
    """How many span records there are; ValueError for bytes that are not whole records."""
    cdef const uint8_t *data = <const uint8_t *> PyBytes_AS_STRING(records)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(records), position = 0, count = 0
    while position < size:
        position += check_record(data, position, size)
        count += 1
    return count


def assemble(
    bytes records not None, bytes resource not None, scopes, bytes suffix not None=b"", schema_url=""
):
    """One ``ExportTraceServiceRequest`` from whole records, grouped by scope in order of first appearance.

    ``resource`` is the body of a ``Resource``; ``scopes[i]`` the encoded scope body and schema URL of
    scope index i; ``suffix`` is appended to every span's body; ``schema_url`` is the resource's. Raises
    ValueError for bytes that are not whole span records or name a scope that is not there.
    """
    cdef const uint8_t *data = <const uint8_t *> PyBytes_AS_STRING(records)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(records), position = 0, length
    cdef Py_ssize_t resource_size = PyBytes_GET_SIZE(resource), suffix_size = PyBytes_GET_SIZE(suffix)
    cdef uint32_t scope
    cdef size_t body, total, scope_total
    cdef uint8_t *at
    cdef dict sizes = {}  # scope index -> bytes of its span fields
    while position < size:
        length = check_record(data, position, size)
        scope = ft_read_little_u32(data + position + 8)
        if scope >= <size_t> len(scopes):
            raise ValueError(f"the record at offset {position} names scope {scope} of {len(scopes)}")
        body = length - HEADER_BYTES + suffix_size
        sizes[scope] = <size_t> sizes.get(scope, 0) + 1 + ft_varint_size(body) + body
        position += length
    if not sizes:
        return b""
    cdef list parts = []
    cdef bytes last = schema(schema_url)
    total = 1 + ft_varint_size(resource_size) + resource_size + <size_t> PyBytes_GET_SIZE(last)
    for scope, spans_size in sizes.items():
        scope_body, scope_url = scopes[scope]
        head = length_field(0x0A, scope_body)
        tail = schema(scope_url)
        scope_total = <size_t> len(head) + <size_t> spans_size + <size_t> len(tail)
        parts.append((scope, head, tail, scope_total))
        total += 1 + ft_varint_size(scope_total) + scope_total
    request = PyBytes_FromStringAndSize(NULL, 1 + ft_varint_size(total) + total)
    at = <uint8_t *> PyBytes_AS_STRING(request)
    at[0] = 0x0A
    at = ft_write_varint(at + 1, total)
    at[0] = 0x0A
    at = ft_write_varint(at + 1, resource_size)
    memcpy(at, PyBytes_AS_STRING(resource), resource_size)
    at += resource_size
    for scope, head, tail, part_total in parts:
        at[0] = 0x12
        at = ft_write_varint(at + 1, <size_t> part_total)
        memcpy(at, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
        at += PyBytes_GET_SIZE(head)
        at = write_spans(at, data, size, scope, suffix)
        memcpy(at, PyBytes_AS_STRING(tail), PyBytes_GET_SIZE(tail))
        at += PyBytes_GET_SIZE(tail)
    memcpy(at, PyBytes_AS_STRING(last), PyBytes_GET_SIZE(last))
    return request


cdef bytes schema(object url):
    """The ``schema_url`` of ``ResourceSpans`` and ``ScopeSpans``, if there is one."""
    return length_field(0x1A, url.encode("utf-8", "replace")) if url else b""


cdef bytes length_field(uint8_t tag, bytes body):
    cdef uint8_t head[11]
    head[0] = tag
    cdef uint8_t *end = ft_write_varint(head + 1, PyBytes_GET_SIZE(body))
    return PyBytes_FromStringAndSize(<char *> head, end - head) + body


cdef uint8_t *write_spans(uint8_t *at, const uint8_t *data, Py_ssize_t size, uint32_t scope, bytes suffix) noexcept:
    """The span fields of one scope; the records have been checked."""
    cdef Py_ssize_t position = 0, suffix_size = PyBytes_GET_SIZE(suffix)
    cdef uint32_t length
    while position < size:
        length = ft_read_little_u32(data + position + 4)
        if ft_read_little_u32(data + position + 8) == scope:
            at[0] = 0x12
            at = ft_write_varint(at + 1, length - HEADER_BYTES + suffix_size)
            memcpy(at, data + position + HEADER_BYTES, length - HEADER_BYTES)
            at += length - HEADER_BYTES
            if suffix_size:
                memcpy(at, PyBytes_AS_STRING(suffix), suffix_size)
                at += suffix_size
        position += length
    return at
