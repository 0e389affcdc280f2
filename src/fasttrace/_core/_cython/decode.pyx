# cython: freethreading_compatible=True
"""The strict reading side of OTLP, for tests and the local tools.

Every length is checked against what is left before it is used, and nesting is bounded, so that
hostile bytes end in a DecodeError.

Shared between threads: nothing but the bytes that are read, which do not change. Raced by ``stress/race.py`` ("codec").
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fasttrace._core._cython.context cimport hex_of

from fasttrace._core import layout
from fasttrace._core.types import (
    DecodeError,
    Event,
    InstrumentationScope,
    SpanData,
    SpanKind,
    SpanLink,
    Status,
    StatusCode,
)

__all__ = ["decode_request", "decode_span"]

cdef extern from "Python.h":
    Py_ssize_t PyBytes_GET_SIZE(object data)

cdef extern from "buffer.h" nogil:
    uint64_t ft_read_big_u64(const uint8_t *at)
    uint64_t ft_read_little_u64(const uint8_t *at)
    uint32_t ft_read_little_u32(const uint8_t *at)

cdef enum:
    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5
    MAX_DEPTH = 32
    # What a span (it has its ids), an event and a link take at least: empty ones would cost memory a hundred times
    # their size. A small request may hold any.
    SPAN_BYTES = 24
    EVENT_BYTES = 8
    FREE_BYTES = 65536
    # cases of AnyValue, by field number
    NOTHING = 0
    ARRAY = 5
    KVLIST = 6

assert layout.MAX_VALUE_DEPTH == MAX_DEPTH

cdef tuple KINDS = tuple(SpanKind)
cdef tuple CODES = tuple(StatusCode)


# A message being read: what is left lies from `at` to `end`. After `next_field` the field's number, its wire type
# and its value, which is `number` or the bytes from `data` of that `size`. `room` is what is left for spans, events and
# links, and the same for all messages in one.
cdef struct Cursor:
    const uint8_t *start
    const uint8_t *at
    const uint8_t *end
    uint32_t field
    uint8_t wire
    uint64_t number
    const uint8_t *data
    size_t size
    Py_ssize_t *room


cdef Cursor whole(bytes data, Py_ssize_t *room):
    cdef Cursor cursor
    room[0] = PyBytes_GET_SIZE(data) + FREE_BYTES
    cursor.room = room
    cursor.start = cursor.at = <const uint8_t *> PyBytes_AS_STRING(data)
    cursor.end = cursor.at + PyBytes_GET_SIZE(data)
    cursor.field = cursor.wire = 0
    cursor.number = cursor.size = 0
    cursor.data = NULL
    return cursor


cdef Cursor inside(Cursor *outer):
    cdef Cursor cursor = outer[0]
    cursor.at = outer.data
    cursor.end = outer.data + outer.size
    return cursor


cdef object fault(Cursor *cursor, str text):
    return DecodeError(f"{text} at offset {cursor.at - cursor.start}")


cdef int read_varint(Cursor *cursor, uint64_t *value) except -1:
    cdef int shift = 0
    cdef uint8_t byte
    value[0] = 0
    while True:
        if cursor.at == cursor.end:
            raise fault(cursor, "cut short")
        byte = cursor.at[0]
        if shift == 63 and byte > 1:
            raise fault(cursor, "a varint of more than 64 bits")
        cursor.at += 1
        value[0] |= <uint64_t> (byte & 0x7F) << shift
        if byte < 0x80:
            return 0
        shift += 7


cdef bint next_field(Cursor *cursor) except -1:
    """Read one field; False at the end of the message."""
    cdef uint64_t tag
    cdef size_t left
    if cursor.at == cursor.end:
        return False
    read_varint(cursor, &tag)
    cursor.wire = tag & 7
    if tag >> 3 == 0 or tag >> 32:
        raise fault(cursor, "a field number out of range")
    cursor.field = <uint32_t> (tag >> 3)
    if cursor.wire == VARINT:
        read_varint(cursor, &cursor.number)
        return True
    left = cursor.end - cursor.at
    if cursor.wire == BYTES:
        read_varint(cursor, &cursor.number)
        left = cursor.end - cursor.at
        if cursor.number > left:
            raise fault(cursor, "cut short")
        cursor.data = cursor.at
        cursor.size = cursor.number
        cursor.at += cursor.size
    elif cursor.wire == FIXED64:
        if left < 8:
            raise fault(cursor, "cut short")
        cursor.number = ft_read_little_u64(cursor.at)
        cursor.at += 8
    elif cursor.wire == FIXED32:
        if left < 4:
            raise fault(cursor, "cut short")
        cursor.number = ft_read_little_u32(cursor.at)
        cursor.at += 4
    else:
        raise fault(cursor, f"wire type {cursor.wire}")
    return True


cdef int expect(Cursor *cursor, uint8_t wire) except -1:
    if cursor.wire != wire:
        raise fault(cursor, f"field {cursor.field} has wire type {cursor.wire}, not {wire},")
    return 0


cdef int take(Cursor *cursor, Py_ssize_t size) except -1:
    """Room for one more object that takes so many bytes at least."""
    cursor.room[0] -= size
    if cursor.room[0] < 0:
        raise fault(cursor, "more spans, events and links than so few bytes can hold")
    return 0


cdef str text(Cursor *cursor):
    expect(cursor, BYTES)
    try:
        return PyUnicode_DecodeUTF8(<char *> cursor.data, cursor.size, NULL)
    except UnicodeDecodeError:
        raise fault(cursor, f"field {cursor.field} is not UTF-8") from None


cdef str identifier(Cursor *cursor, size_t size):
    """An id in hex; "" when it is empty."""
    expect(cursor, BYTES)
    if cursor.size == 0:
        return ""
    if cursor.size != size:
        raise fault(cursor, f"an id of {cursor.size} bytes, not {size},")
    if size == 16:
        return hex_of(ft_read_big_u64(cursor.data), ft_read_big_u64(cursor.data + 8), 32)
    return hex_of(0, ft_read_big_u64(cursor.data), 16)


cdef uint32_t count(Cursor *cursor) except? 0xFFFFFFFF:
    expect(cursor, VARINT)
    return <uint32_t> cursor.number


cdef object read_value(Cursor cursor, int depth, object value):
    """Merge an AnyValue into one read before: the last case wins, and two lists or mappings are joined."""
    cdef Cursor inner
    cdef double number
    if depth > MAX_DEPTH:
        raise fault(&cursor, f"values nested deeper than {MAX_DEPTH} levels")
    while next_field(&cursor):
        if cursor.field == 1:
            value = text(&cursor)
        elif cursor.field == 2:
            expect(&cursor, VARINT)
            value = cursor.number != 0
        elif cursor.field == 3:
            expect(&cursor, VARINT)
            value = <int64_t> cursor.number
        elif cursor.field == 4:
            expect(&cursor, FIXED64)
            memcpy(&number, &cursor.number, 8)
            value = number
        elif cursor.field == 5:
            expect(&cursor, BYTES)
            if type(value) is not list:
                value = []
            inner = inside(&cursor)
            while next_field(&inner):
                if inner.field == 1:
                    expect(&inner, BYTES)
                    (<list> value).append(read_value(inside(&inner), depth + 1, None))
        elif cursor.field == 6:
            expect(&cursor, BYTES)
            if type(value) is not dict:
                value = {}
            inner = inside(&cursor)
            while next_field(&inner):
                if inner.field == 1:
                    read_attribute(&inner, depth + 1, <dict> value)
        elif cursor.field == 7:
            expect(&cursor, BYTES)
            value = PyBytes_FromStringAndSize(<char *> cursor.data, cursor.size)
    return value


cdef int read_attribute(Cursor *cursor, int depth, dict attributes) except -1:
    """One KeyValue; of equal keys the last wins."""
    cdef Cursor inner
    cdef str key = ""
    cdef object value = None
    expect(cursor, BYTES)
    inner = inside(cursor)
    while next_field(&inner):
        if inner.field == 1:
            key = text(&inner)
        elif inner.field == 2:
            expect(&inner, BYTES)
            value = read_value(inside(&inner), depth, value)
    attributes[key] = value
    return 0


cdef object read_event(Cursor cursor):
    cdef str name = ""
    cdef uint64_t time_ns = 0
    cdef dict attributes = {}
    cdef uint32_t dropped = 0
    while next_field(&cursor):
        if cursor.field == 1:
            expect(&cursor, FIXED64)
            time_ns = cursor.number
        elif cursor.field == 2:
            name = text(&cursor)
        elif cursor.field == 3:
            read_attribute(&cursor, 0, attributes)
        elif cursor.field == 4:
            dropped = count(&cursor)
    return Event(name, time_ns, attributes, dropped)


cdef object read_link(Cursor cursor):
    cdef str trace_id = ""
    cdef str span_id = ""
    cdef str trace_state = ""
    cdef dict attributes = {}
    cdef uint32_t dropped = 0, flags = 0
    while next_field(&cursor):
        if cursor.field == 1:
            trace_id = identifier(&cursor, 16)
        elif cursor.field == 2:
            span_id = identifier(&cursor, 8)
        elif cursor.field == 3:
            trace_state = text(&cursor)
        elif cursor.field == 4:
            read_attribute(&cursor, 0, attributes)
        elif cursor.field == 5:
            dropped = count(&cursor)
        elif cursor.field == 6:
            expect(&cursor, FIXED32)
            flags = <uint32_t> cursor.number
    return SpanLink(trace_id, span_id, attributes, trace_state, flags, dropped)


cdef object read_span(Cursor cursor):
    cdef Cursor inner
    cdef uint64_t status_code = 0
    cdef str message = ""
    span = SpanData()
    cdef dict attributes = span.attributes
    while next_field(&cursor):
        if cursor.field == 1:
            span.trace_id = identifier(&cursor, 16)
        elif cursor.field == 2:
            span.span_id = identifier(&cursor, 8)
        elif cursor.field == 3:
            span.trace_state = text(&cursor)
        elif cursor.field == 4:
            span.parent_span_id = identifier(&cursor, 8)
        elif cursor.field == 5:
            span.name = text(&cursor)
        elif cursor.field == 6:
            expect(&cursor, VARINT)
            span.kind = KINDS[cursor.number - 1] if 1 <= cursor.number <= 5 else SpanKind.INTERNAL
        elif cursor.field == 7:
            expect(&cursor, FIXED64)
            span.start_time_ns = cursor.number
        elif cursor.field == 8:
            expect(&cursor, FIXED64)
            span.end_time_ns = cursor.number
        elif cursor.field == 9:
            read_attribute(&cursor, 0, attributes)
        elif cursor.field == 10:
            span.dropped_attributes_count = count(&cursor)
        elif cursor.field == 11:
            expect(&cursor, BYTES)
            take(&cursor, EVENT_BYTES)
            span.events.append(read_event(inside(&cursor)))
        elif cursor.field == 12:
            span.dropped_events_count = count(&cursor)
        elif cursor.field == 13:
            expect(&cursor, BYTES)
            take(&cursor, EVENT_BYTES)
            span.links.append(read_link(inside(&cursor)))
        elif cursor.field == 14:
            span.dropped_links_count = count(&cursor)
        elif cursor.field == 15:
            expect(&cursor, BYTES)
            inner = inside(&cursor)
            while next_field(&inner):
                if inner.field == 2:
                    message = text(&inner)
                elif inner.field == 3:
                    expect(&inner, VARINT)
                    status_code = inner.number
        elif cursor.field == 16:
            expect(&cursor, FIXED32)
            span.flags = cursor.number
    span.status = Status(CODES[status_code] if status_code <= 2 else StatusCode.UNSET, message or None)
    return span


cdef int read_attributes(Cursor cursor, uint32_t field, dict attributes) except -1:
    """The attributes of a Resource, and of whatever has them as its only field of interest."""
    while next_field(&cursor):
        if cursor.field == field:
            read_attribute(&cursor, 0, attributes)
    return 0


cdef int read_scope(Cursor cursor, object scope) except -1:
    while next_field(&cursor):
        if cursor.field == 1:
            scope.name = text(&cursor)
        elif cursor.field == 2:
            scope.version = text(&cursor)
        elif cursor.field == 3:
            read_attribute(&cursor, 0, scope.attributes)
    return 0


cdef int read_scope_spans(Cursor cursor, dict resource, list spans) except -1:
    scope = InstrumentationScope("")
    while next_field(&cursor):
        if cursor.field == 1:
            expect(&cursor, BYTES)
            read_scope(inside(&cursor), scope)
        elif cursor.field == 2:
            expect(&cursor, BYTES)
            take(&cursor, SPAN_BYTES)
            span = read_span(inside(&cursor))
            span.resource = resource
            span.scope = scope
            spans.append(span)
        elif cursor.field == 3:
            scope.schema_url = text(&cursor)
    return 0


cdef int read_resource_spans(Cursor cursor, list spans) except -1:
    cdef dict resource = {}
    while next_field(&cursor):
        if cursor.field == 1:
            expect(&cursor, BYTES)
            read_attributes(inside(&cursor), 1, resource)
        elif cursor.field == 2:
            expect(&cursor, BYTES)
            read_scope_spans(inside(&cursor), resource, spans)
    return 0


def decode_span(bytes body not None):
    """Read the body of an OTLP ``Span``. Unknown fields are skipped, later singular fields win, messages merge.

    Raises DecodeError (a ValueError) for a cut or overlong field, a wrong wire type, text that is
    not UTF-8, an id of a wrong size, or values nested deeper than 32 levels.
    """
    cdef Py_ssize_t room
    return read_span(whole(body, &room))


def decode_request(bytes data not None):
    """Read an ``ExportTraceServiceRequest`` or ``TracesData``: every span with its resource and scope."""
    cdef Py_ssize_t room
    cdef Cursor cursor = whole(data, &room)
    cdef list spans = []
    while next_field(&cursor):
        if cursor.field == 1:
            expect(&cursor, BYTES)
            read_resource_spans(inside(&cursor), spans)
    return spans
