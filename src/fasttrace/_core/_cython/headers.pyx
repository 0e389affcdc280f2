# cython: freethreading_compatible=True
"""W3C ``traceparent``, single ``b3`` and the OpenCensus binary header, read and written without temporaries.

Shared between threads: nothing but a caller's carrier, which a critical section on it guards while it is walked.
Raced by ``stress/race.py`` ("headers").
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

from fasttrace._core._cython.context cimport (
    DEFERRED,
    WITHOUT_IDS,
    Context,
    Node,
    SpanContext,
    as_node,
    context_of,
    current,
    flags_of,
)
from fasttrace._core._cython.ring cimport FT_HAS_GIL

from fasttrace._core.types import BAGGAGE_KEY, DEBUG_VALUES, TraceState

__all__ = [
    "decode_binary",
    "encode_binary",
    "extract_w3c",
    "format_b3",
    "format_traceparent",
    "inject_w3c",
    "parse_b3",
    "parse_traceparent",
]

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void *PyUnicode_DATA(object text)
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maximum)
    Py_ssize_t PyBytes_GET_SIZE(object data)
    int PyDict_Next(object mapping, Py_ssize_t *position, PyObject **key, PyObject **value)

cdef extern from "hex.h" nogil:
    int ft_hex_read(const uint8_t *text, int digits, uint64_t *value)
    void ft_hex_write(uint8_t *text, uint64_t value, int digits)

cdef extern from "buffer.h" nogil:
    uint8_t *ft_write_big_u64(uint8_t *at, uint64_t value)
    uint64_t ft_read_big_u64(const uint8_t *at)

cdef enum:
    # version-trace_id-span_id-flags
    TRACEPARENT_LENGTH = 55
    BINARY_LENGTH = 29
    # trace_id-span_id-state
    B3_LENGTH = 51
    # sampled and random; the other bits are reserved and not passed on
    KNOWN_FLAGS = 0x03


cdef bint text_of(object value, const uint8_t **at, Py_ssize_t *length) noexcept:
    """The ASCII text of a header without blanks and tabs around it; false for any other object."""
    if isinstance(value, str):
        if not PyUnicode_IS_ASCII(value):
            return False
        at[0] = <const uint8_t *> PyUnicode_DATA(value)
        length[0] = PyUnicode_GET_LENGTH(value)
    elif isinstance(value, bytes):
        at[0] = <const uint8_t *> PyBytes_AS_STRING(value)
        length[0] = PyBytes_GET_SIZE(value)
    else:
        return False
    while length[0] and (at[0][0] == c" " or at[0][0] == c"\t"):
        at[0] += 1
        length[0] -= 1
    while length[0] and (at[0][length[0] - 1] == c" " or at[0][length[0] - 1] == c"\t"):
        length[0] -= 1
    return True


def parse_traceparent(value, trace_state=None, base=None):
    """Read a ``traceparent`` (W3C Trace Context level 2, section 3.2); None when it is malformed.

    Strict ASCII lower-case hex; spaces and tabs around the value are allowed. Version ff is
    refused, version 00 has nothing after its flags, higher versions may. Only the sampled and
    random flags are kept. Any object that is neither str nor bytes gives None. The context is
    remote and carries the tracestate given, unread, and the values of ``base``, a Context or Span.
    """
    cdef const uint8_t *at = NULL
    cdef Py_ssize_t length = 0
    if not text_of(value, &at, &length):
        return None
    if length < TRACEPARENT_LENGTH or at[2] != c"-" or at[35] != c"-" or at[52] != c"-":
        return None
    cdef uint64_t version, trace_high, trace_low, span_number, flags
    if (
        ft_hex_read(at, 2, &version)
        or ft_hex_read(at + 3, 16, &trace_high)
        or ft_hex_read(at + 19, 16, &trace_low)
        or ft_hex_read(at + 36, 16, &span_number)
        or ft_hex_read(at + 53, 2, &flags)
    ):
        return None
    if version == 0xFF or (trace_high | trace_low) == 0 or span_number == 0:
        return None
    if length > TRACEPARENT_LENGTH and (version == 0 or at[TRACEPARENT_LENGTH] != c"-"):
        return None
    if type(trace_state) is not str or not trace_state:
        trace_state = None
    cdef Context result = context_of(
        trace_high, trace_low, span_number, <uint8_t> (flags & KNOWN_FLAGS), trace_state
    )
    if isinstance(base, Node):
        result.carried = (<Node> base).carried
    return result


def format_traceparent(span_context):
    """The ``traceparent`` of a context, version 00; "" when the context is invalid."""
    cdef Node node = as_node(span_context)
    if node is None or (node.trace_high | node.trace_low) == 0 or node.span_number == 0:
        return ""
    cdef str text = PyUnicode_New(TRACEPARENT_LENGTH, 127)
    cdef uint8_t *at = <uint8_t *> PyUnicode_DATA(text)
    at[0] = at[1] = c"0"
    at[2] = at[35] = at[52] = c"-"
    ft_hex_write(at + 3, node.trace_high, 16)
    ft_hex_write(at + 19, node.trace_low, 16)
    ft_hex_write(at + 36, node.span_number, 16)
    ft_hex_write(at + 53, flags_of(node) & KNOWN_FLAGS, 2)
    return text


cdef struct w3c_fields:
    # Borrowed from the carrier, which the caller holds.
    PyObject *traceparent
    PyObject *tracestate
    bint several


cdef inline bint is_name(const uint8_t *name, const char *lower, Py_ssize_t length) noexcept:
    """Whether a name of that length is this one, without ASCII case; there is no digit or hyphen in ours."""
    cdef Py_ssize_t i
    for i in range(length):
        if (name[i] | 0x20) != <uint8_t> lower[i]:
            return False
    return True


cdef bint consider(object name, object value, w3c_fields *fields) noexcept:
    """Keep the value of one of our names; false when the general way must be taken."""
    cdef const uint8_t *at
    cdef Py_ssize_t length
    if type(name) is str:
        if not PyUnicode_IS_ASCII(name):
            return True
        at = <const uint8_t *> PyUnicode_DATA(name)
        length = PyUnicode_GET_LENGTH(name)
    elif type(name) is bytes:
        at = <const uint8_t *> PyBytes_AS_STRING(name)
        length = PyBytes_GET_SIZE(name)
    else:
        return False
    if length < 7 or length > 12:
        return True
    if length == 11 and is_name(at, b"traceparent", 11):
        if type(value) is not str and type(value) is not bytes:
            return False
        fields.several = fields.traceparent != NULL
        fields.traceparent = <PyObject *> value
    elif length == 10 and is_name(at, b"tracestate", 10):
        if fields.tracestate != NULL or (type(value) is not str and type(value) is not bytes):
            return False
        fields.tracestate = <PyObject *> value
    elif length == 7 and is_name(at, b"baggage", 7):
        return False
    elif length == 12 and memcmp(at, b"wsgi.version", 12) == 0:
        return False
    return True


cdef bint collect(object carrier, w3c_fields *fields) except -1:
    """Find our fields in a plain dict or a list of pairs; false when the general way must be taken."""
    cdef PyObject *key = NULL
    cdef PyObject *value = NULL
    cdef Py_ssize_t position = 0
    if type(carrier) is dict:
        while PyDict_Next(carrier, &position, &key, &value):
            if not consider(<object> key, <object> value, fields):
                return False
        return True
    if type(carrier) is not list:
        return False
    for pair in <list> carrier:
        if type(pair) is not tuple or len(<tuple> pair) != 2:
            return False
        if not consider((<tuple> pair)[0], (<tuple> pair)[1], fields):
            return False
    return True


def extract_w3c(carrier, context=None):
    """The context in the W3C headers of a plain dict or a list of pairs; None when the general way must be taken.

    That is: for any other carrier, a name or a value that is neither text nor bytes, a WSGI environ, a field that
    comes twice and may, and for baggage. ``context`` None is what is current; without a usable header its Context.
    """
    cdef w3c_fields fields
    cdef Node base
    fields.traceparent = fields.tracestate = NULL
    fields.several = False
    if not FT_HAS_GIL and type(carrier) is list:
        # Of our own, and alive until the end: another thread may make the list shorter while it is walked.
        carrier = list(carrier)
    with cython.critical_section(carrier):
        if not collect(carrier, &fields):
            return None
        # Owned from here on: what follows allocates, and a collection may run code that changes the carrier.
        traceparent = None if fields.traceparent == NULL or fields.several else <object> fields.traceparent
        state = None if fields.tracestate == NULL else <object> fields.tracestate
    base = current() if context is None else as_node(context)
    if traceparent is not None:
        if state is not None:
            state = TraceState.from_header((state if type(state) is str else state.decode("latin-1"),)).to_header()
        found = parse_traceparent(traceparent, state, base)
        if found is not None:
            return found
    return base if type(base) is Context else Context(base)


def inject_w3c(carrier, context=None):
    """Write the W3C headers of a context, or of what is current, into a plain dict; False if it has baggage, too.

    False, and nothing written, for any other carrier. An invalid context writes nothing.
    """
    cdef Node node
    if type(carrier) is not dict:
        return False
    node = current() if context is None else as_node(context)
    if node is None:
        return True
    text = format_traceparent(node)
    if text:
        (<dict> carrier)["traceparent"] = text
        if node.header is not None:
            (<dict> carrier)["tracestate"] = node.header
    return node.carried is None or BAGGAGE_KEY not in node.carried


def parse_b3(value, base=None):
    """Read a single ``b3`` header (b3-propagation, "Single Header"); None when it is malformed.

    Strict ASCII lower-case hex, trace ids of 16 or 32 digits. Without a state the decision is left to us
    (``sampled`` is None); a state alone gives a context without ids that says what was decided. The parent's id
    is checked and not kept, debug becomes the value ``debug``. The context carries the values of ``base``.
    """
    cdef const uint8_t *at = NULL
    cdef Py_ssize_t length = 0, digits, rest
    cdef uint64_t trace_high = 0, trace_low, span_number, parent
    cdef uint8_t state = 0
    cdef Context result
    if not text_of(value, &at, &length):
        return None
    if length == 1:
        state = at[0]
        if not known_state(state):
            return None
        result = context_of(0, 0, 0, 0, None)
        result.decision = WITHOUT_IDS
        return with_state(result, state, base)
    digits = 16 if length > 16 and at[16] == c"-" else 32
    rest = length - digits - 17
    if rest < 0 or at[digits] != c"-":
        return None
    if digits == 32 and ft_hex_read(at, 16, &trace_high):
        return None
    if ft_hex_read(at + digits - 16, 16, &trace_low) or ft_hex_read(at + digits + 1, 16, &span_number):
        return None
    if (trace_high | trace_low) == 0 or span_number == 0:
        return None
    at += digits + 17
    if rest == 2 or rest == 19:
        state = at[1]
        if at[0] != c"-" or not known_state(state):
            return None
        at += 2
        rest -= 2
    if rest == 17:
        if at[0] != c"-" or ft_hex_read(at + 1, 16, &parent):
            return None
    elif rest:
        return None
    result = context_of(trace_high, trace_low, span_number, 0, None)
    if state == 0:
        result.decision = DEFERRED
    return with_state(result, state, base)


cdef inline bint known_state(uint8_t state) noexcept:
    return state == c"0" or state == c"1" or state == c"d"


cdef Context with_state(Context result, uint8_t state, object base):
    if isinstance(base, Node):
        result.carried = (<Node> base).carried
    if state == c"1" or state == c"d":
        result.flags = 1
    if state == c"d":
        result.carried = {**(result.carried or {}), **DEBUG_VALUES}
    return result


def format_b3(span_context):
    """The single ``b3`` header of a context, without the parent's id; "" when there is nothing to say."""
    cdef Node node = as_node(span_context)
    cdef Py_ssize_t length = B3_LENGTH
    cdef uint8_t state
    if node is None:
        return ""
    state = c"1" if flags_of(node) & 1 else c"0"
    if node.carried is not None and "debug" in node.carried:
        state = c"d"
    if (node.trace_high | node.trace_low) == 0 or node.span_number == 0:
        return chr(state) if node.decision == WITHOUT_IDS else ""
    if node.decision == DEFERRED and state != c"d":
        length -= 2
    cdef str text = PyUnicode_New(length, 127)
    cdef uint8_t *at = <uint8_t *> PyUnicode_DATA(text)
    ft_hex_write(at, node.trace_high, 16)
    ft_hex_write(at + 16, node.trace_low, 16)
    at[32] = c"-"
    ft_hex_write(at + 33, node.span_number, 16)
    if length == B3_LENGTH:
        at[49] = c"-"
        at[50] = state
    return text


def encode_binary(span_context):
    """The 29 bytes of ``grpc-trace-bin`` (OpenCensus BinaryEncoding), with the sampled flag; b"" if invalid."""
    cdef Node node = as_node(span_context)
    if node is None or (node.trace_high | node.trace_low) == 0 or node.span_number == 0:
        return b""
    data = PyBytes_FromStringAndSize(NULL, BINARY_LENGTH)
    cdef uint8_t *at = <uint8_t *> PyBytes_AS_STRING(data)
    at[0] = 0
    at[1] = 0
    ft_write_big_u64(at + 2, node.trace_high)
    ft_write_big_u64(at + 10, node.trace_low)
    at[18] = 1
    ft_write_big_u64(at + 19, node.span_number)
    at[27] = 2
    at[28] = flags_of(node) & 0x01
    return data


def decode_binary(data):
    """Read ``grpc-trace-bin``; None when the version is not 0, a field is cut, or an id is missing or zero.

    Fields may come in any order; an unknown field id ends the reading without an error; the
    options may be absent. Takes bytes, bytearray and memoryview; anything else gives None.
    """
    cdef Py_buffer view
    if not isinstance(data, (bytes, bytearray, memoryview)):
        return None
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except (BufferError, ValueError):
        return None
    try:
        return _decode_binary(<const uint8_t *> view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef SpanContext _decode_binary(const uint8_t *at, Py_ssize_t length):
    cdef uint64_t trace_high = 0, trace_low = 0, span_number = 0
    cdef uint8_t options = 0, field
    cdef Py_ssize_t position = 1, rest
    if length < 1 or at[0] != 0:
        return None
    while position < length:
        field = at[position]
        position += 1
        rest = length - position
        if field == 0:
            if rest < 16:
                return None
            trace_high = ft_read_big_u64(at + position)
            trace_low = ft_read_big_u64(at + position + 8)
            position += 16
        elif field == 1:
            if rest < 8:
                return None
            span_number = ft_read_big_u64(at + position)
            position += 8
        elif field == 2:
            if rest < 1:
                return None
            options = at[position]
            position += 1
        else:
            break
    if (trace_high | trace_low) == 0 or span_number == 0:
        return None
    cdef SpanContext result = SpanContext.__new__(SpanContext)
    result.trace_high = trace_high
    result.trace_low = trace_low
    result.span_number = span_number
    result.flags = options & 0x01
    result.remote = True
    return result
