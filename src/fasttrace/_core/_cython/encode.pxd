# The record of a span, written at its end: the header that layout.py describes, and the body, an OTLP span. It runs for
# every span, so it is compiled into module ``span``, which alone calls it.
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fasttrace._core._cython.events cimport SPAN_FLAG_HAS_IS_REMOTE, SPAN_FLAG_IS_REMOTE, write_count
from fasttrace._core._cython.otlp cimport (
    ft_buffer,
    ft_text_equal,
    ft_utf8_size,
    ft_varint_size,
    ft_write_big_u64,
    ft_write_little_u32,
    ft_write_little_u64,
    ft_write_short_attribute,
    ft_write_utf8,
    ft_write_varint,
    reserve,
    write_attribute,
    write_text_field,
)
from fasttrace._core._cython.recorder cimport Recorder
from fasttrace._core._cython.span cimport RAISED, Span
from fasttrace._core._cython.tail cimport TailRules, ft_or_acq_rel_u32

cdef enum:
    HEADER_BYTES = 64
    MAGIC = 0x7FA5
    KIND_SPAN = 1
    FLAG_SAMPLED = 0x01
    FLAG_ERROR = 0x02
    FLAG_LOCAL_ROOT = 0x04
    FLAG_HTTP_5XX = 0x08
    FLAG_REMOTE_PARENT = 0x10
    STATUS_OK = 1
    STATUS_ERROR = 2
    BARE = 2  # the level of detail without attributes


cdef inline uint32_t judge(Span span, TailRules tail, uint8_t flags, int64_t end_ns) noexcept:
    """The bits of the rules that this span meets, but for those about attributes."""
    cdef uint32_t bits = tail.duration_bits(end_ns - span.start_ns) if tail.latency_count else 0
    if flags & FLAG_ERROR:
        bits |= tail.error_mask
    if flags & FLAG_HTTP_5XX:
        bits |= tail.http_5xx_mask
    if span.options & RAISED:
        bits |= tail.exception_mask
    return bits


cdef inline uint32_t hash_of(const uint8_t *text, size_t size) noexcept:
    """FNV-1a: a route's number."""
    cdef uint32_t value = 0x811C9DC5
    cdef size_t i
    for i in range(size):
        value = (value ^ text[i]) * <uint32_t> 0x01000193
    return value


cdef inline int write_status(ft_buffer *buffer, Span span) except -1:
    cdef size_t size = 0 if span.description is None else ft_utf8_size(span.description)
    cdef size_t body = 2
    cdef uint8_t *at
    if size:
        body += 1 + ft_varint_size(size) + size
    reserve(buffer, body + 11)
    at = buffer.data + buffer.length
    at[0] = 0x7A
    at = ft_write_varint(at + 1, body)
    if size:
        at[0] = 0x12
        at = ft_write_utf8(ft_write_varint(at + 1, size), span.description)
    at[0] = 0x18
    at[1] = span.status_number
    buffer.length = at + 2 - buffer.data
    return 0


cdef inline int encode(Span span, Recorder recorder, ft_buffer *buffer, int64_t end_ns) except -1:
    """Header and body into a scratch buffer. Reads exact built-ins only, so no Python code runs in here."""
    cdef uint8_t *at
    cdef uint8_t *header
    cdef uint8_t flags = span.record_flags
    cdef uint32_t _i
    cdef size_t name_size = ft_utf8_size(span.text)
    cdef size_t route_at = 0, route_size = 0
    cdef uint32_t bits = 0, route = 0
    cdef TailRules tail = recorder.tail
    cdef PyObject **pair
    cdef bint bare = span.detail >= BARE
    cdef uint32_t left_out = 0
    buffer.length = 0
    reserve(buffer, HEADER_BYTES + name_size + 80)
    at = buffer.data + HEADER_BYTES
    at[0] = 0x0A
    at[1] = 16
    at = ft_write_big_u64(ft_write_big_u64(at + 2, span.trace_high), span.trace_low)
    at[0] = 0x12
    at[1] = 8
    at = ft_write_big_u64(at + 2, span.span_number)
    if span.header is not None:
        buffer.length = at - buffer.data
        write_text_field(buffer, 0x1A, span.header)
        reserve(buffer, name_size + 64)
        at = buffer.data + buffer.length
    if span.parent_number:
        at[0] = 0x22
        at[1] = 8
        at = ft_write_big_u64(at + 2, span.parent_number)
    if name_size:
        at[0] = 0x2A
        at = ft_write_varint(at + 1, name_size)
        route_at = at - buffer.data
        route_size = name_size
        at = ft_write_utf8(at, span.text)
    at[0] = 0x30
    at[1] = span.kind_number + 1
    at[2] = 0x39
    at = ft_write_little_u64(at + 3, <uint64_t> span.start_ns)
    at[0] = 0x41
    at = ft_write_little_u64(at + 1, <uint64_t> end_ns)
    buffer.length = at - buffer.data
    pair = span.pairs.at
    for _i in range(span.pairs.count):
        if bare and not ft_text_equal(<object> pair[0], "http.response.status_code") and not ft_text_equal(
            <object> pair[0], "http.route"
        ):
            left_out += 1
        elif ft_write_short_attribute(buffer, 0x4A, pair[0], pair[1]) != 1:
            write_attribute(buffer, 0x4A, <object> pair[0], <object> pair[1])
        if type(<object> pair[1]) is int and ft_text_equal(<object> pair[0], "http.response.status_code"):
            if 500 <= <int64_t> <object> pair[1] < 600:
                flags |= FLAG_HTTP_5XX
        if tail is not None:
            if tail.attribute_count:
                bits |= tail.attribute_bits(<object> pair[0], <object> pair[1])
            if type(<object> pair[1]) is str and ft_text_equal(<object> pair[0], "http.route"):
                # Its text is the last that was written.
                route_size = ft_utf8_size(<object> pair[1])
                route_at = buffer.length - route_size
        pair += 2
    if span.detail:
        write_attribute(buffer, 0x4A, "fasttrace.detail", "bare" if bare else "local_roots")
    if span.pairs.dropped or left_out:
        write_count(buffer, 0x50, span.pairs.dropped + left_out)
    if span.events.fields.length:
        reserve(buffer, span.events.fields.length)
        memcpy(buffer.data + buffer.length, span.events.fields.data, span.events.fields.length)
        buffer.length += span.events.fields.length
    if span.events.dropped:
        write_count(buffer, 0x60, span.events.dropped)
    if span.links.fields.length:
        reserve(buffer, span.links.fields.length)
        memcpy(buffer.data + buffer.length, span.links.fields.data, span.links.fields.length)
        buffer.length += span.links.fields.length
    if span.links.dropped:
        write_count(buffer, 0x70, span.links.dropped)
    if span.status_number:
        write_status(buffer, span)
        if span.status_number == STATUS_ERROR:
            flags |= FLAG_ERROR
    reserve(buffer, 6)
    at = buffer.data + buffer.length
    at[0] = 0x85
    at[1] = 0x01
    ft_write_little_u32(
        at + 2,
        span.flags | SPAN_FLAG_HAS_IS_REMOTE | (SPAN_FLAG_IS_REMOTE if flags & FLAG_REMOTE_PARENT else 0),
    )
    buffer.length += 6
    if tail is not None:
        bits |= judge(span, tail, flags, end_ns)
        if span.local_trace is not None:
            bits = ft_or_acq_rel_u32(&span.local_trace.bits, bits)
        if flags & FLAG_LOCAL_ROOT:
            route = hash_of(buffer.data + route_at, route_size)
    # From here on nothing fails: what is encoded again was not counted.
    recorder.accounts[span.shard].detail_attributes += left_out
    span.record_flags = flags
    header = buffer.data
    header[0] = MAGIC & 0xFF
    header[1] = MAGIC >> 8
    header[2] = KIND_SPAN
    header[3] = flags
    ft_write_little_u32(header + 4, <uint32_t> buffer.length)
    ft_write_little_u32(header + 8, span.tracer.scope_index)
    ft_write_little_u32(header + 12, 0)
    ft_write_little_u32(header + 16, bits)
    ft_write_little_u32(header + 20, route)
    ft_write_big_u64(ft_write_big_u64(header + 24, span.trace_high), span.trace_low)
    ft_write_big_u64(header + 40, span.span_number)
    ft_write_little_u64(header + 48, <uint64_t> span.start_ns)
    ft_write_little_u64(header + 56, <uint64_t> (end_ns - span.start_ns))
    return 0
