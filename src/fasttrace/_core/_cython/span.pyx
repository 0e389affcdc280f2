# cython: freethreading_compatible=True
"""Span and Tracer: the hot path from start to one encoded record in the ring.

Shared between threads, and what guards it:

* a Span that is used from several threads: the GIL; without one a critical section on the span. Like the GIL it may be
  let go where a call waits, so no step that leaves a span half changed waits or runs Python code, and a field that
  others may read is replaced while a second reference keeps the old value alive;
* what a Recorder counts, links and encodes into by shard: the GIL; without one the mutex of the ring's shard
  (``shards.h``), held for C code only;
* spans that wait for their next use: the GIL; without one none do.

Raced by ``stress/race.py`` ("spans", "shared spans", "exceptions", "forks", "tail").
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fasttrace._core._cython.context cimport (
    DEFERRED,
    TRACE_RANDOM,
    TRACE_SAMPLED,
    WITHOUT_IDS,
    Context,
    Node,
    as_node,
    current,
    flags_of,
    ft_contextvar_get,
    ft_contextvar_leave,
    ft_contextvar_set,
    hex_of,
    leave_foreign,
    span_context_of,
    trace_id_of,
)
from fasttrace._core._cython.encode cimport (
    BARE,
    FLAG_ERROR,
    FLAG_HTTP_5XX,
    FLAG_LOCAL_ROOT,
    FLAG_REMOTE_PARENT,
    FLAG_SAMPLED,
    HEADER_BYTES,
    KIND_SPAN,
    MAGIC,
    STATUS_ERROR,
    STATUS_OK,
    encode,
)
from fasttrace._core._cython.events cimport (
    add_field,
    add_name,
    borrow_part,
    copy_event,
    give_back,
    is_full,
    return_part,
    write_event,
    write_link,
)
from fasttrace._core._cython.given cimport number_of, text_of
from fasttrace._core._cython.ids cimport (
    ft_generator,
    ft_own_generator,
    ft_process,
    ft_rng_next,
    ft_rng_next_nonzero,
    process_state,
    reseed,
)
from fasttrace._core._cython.otlp cimport ft_buffer, ft_buffer_free, ft_buffer_init, ft_is_plain, normal_value
from fasttrace._core._cython.raised cimport (
    copied,
    description_of,
    exception_attributes,
    ft_clue,
    ft_drop_clue,
    learn,
    members_of,
    read_clue,
)
from fasttrace._core._cython.recorder cimport (
    DROPPED_AFTER_SHUTDOWN,
    DROPPED_ENCODE_ERROR,
    DROPPED_FORKED,
    DROPPED_TOO_LARGE,
    ONLY_RECORDED,
    PUSHED,
    Account,
    Compare,
    Recorder,
    after_fork,
    announce,
    ask,
    by_threshold,
    expire,
    foreign_span_id,
    foreign_trace_id,
    ft_links_append,
    ft_links_remove,
    is_timed,
    know_spans,
    observed,
    rule_of,
    spent,
)
from fasttrace._core._cython.ring cimport (
    FT_HAS_GIL,
    commit_record,
    ft_load_seq_cst,
    ft_lock,
    ft_mutex,
    ft_own_shard,
    ft_ring_room,
    ft_shard,
    ft_unlock,
)
from fasttrace._core._cython.tail cimport LocalTrace, ft_or_acq_rel_u32

from fasttrace._core import layout
from fasttrace._core._cython import context as context_module
from fasttrace._core._cython import recorder as recorder_module
from fasttrace._core.types import (
    BAGGAGE_KEY,
    UNTRACED_KEY,
    InstrumentationScope,
    Link,
    SpanKind,
    Status,
    StatusCode,
    TraceState,
)

__all__ = ["Recorder", "Span", "Tracer", "current_span"]

# A class that is cimported is no name of this module by that.
globals()["Recorder"] = recorder_module.Recorder

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    Py_ssize_t PyVectorcall_NARGS(size_t count)
    Py_ssize_t PyTuple_GET_SIZE(PyObject *tuple)
    PyObject *PyTuple_GET_ITEM(PyObject *tuple, Py_ssize_t i)
    void PyErr_Clear()

cdef extern from "pytext.h":
    object ft_new(object kind)

cdef extern from "calls.h":
    ctypedef object (*ft_fastcall)(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
    ft_fastcall ft_quicken(object kind, const char *name, ft_fastcall quick) except NULL
    bint ft_is_method(object object, object name, ft_fastcall quick)
    void ft_accept_vectorcall(object kind, Py_ssize_t offset)
    ctypedef void (*destructor)(PyObject *object) noexcept
    destructor ft_replace_dealloc(object kind, destructor own)
    bint ft_keep(PyObject *object, object kind)
    void ft_let_go(PyObject *object)
    object ft_use_again(PyObject *object)

cdef extern from "shards.h":
    void ft_allow_try(PyObject *object)
    void ft_count_no_more(object shared)

cdef extern from "pairs.h":
    int ft_pairs_set(ft_pairs *pairs, int64_t most, PyObject *key, PyObject *value) except -1
    void ft_pairs_clear(ft_pairs *pairs)

cdef extern from "clock.h" nogil:
    int64_t ft_clock_monotonic_ns()
    int64_t ft_clock_wall_ns()
    int64_t ft_clock_thread_ns()

cdef enum:
    # states of a span
    NEW = 0
    RECORDING = 1
    ENDED = 2
    NOT_RECORDING = 3
    DEFAULT_OPTIONS = RECORD_EXCEPTION | SET_STATUS | END_ON_EXIT
    LARGEST_POOL = 64
    # which of the block's methods were looked up
    ENTER = 1
    EXIT = 2
    # A wall clock step shows at new local roots after at most this long.
    WALL_OFFSET_AGE_NS = 100_000_000
    LARGEST_KEPT_SCRATCH = 1024 * 1024
    LIKELY_BYTES = 4096  # few records are larger, but for their events and links

cdef uint64_t ASK = (<uint64_t> 1 << 56) + 1

assert layout.RECORD_HEADER_BYTES == HEADER_BYTES and layout.RECORD_MAGIC == MAGIC
assert layout.RECORD_KIND_SPAN == KIND_SPAN
assert layout.DETAIL_BARE == BARE and layout.DETAIL_KEPT_KEYS == ("http.response.status_code", "http.route")
assert layout.DETAIL_KEY == "fasttrace.detail" and layout.DETAILS[1:] == ("local_roots", "bare")
assert layout.THRESHOLD_ASK == ASK

cdef ft_process *PROCESS = process_state()
cdef object VARIABLE = context_module.CURRENT
cdef str UNTRACED = UNTRACED_KEY
cdef object INTERNAL = SpanKind.INTERNAL
cdef object ZERO = 0
cdef tuple KINDS = tuple(SpanKind)
cdef tuple CODES = tuple(StatusCode)
cdef str EXCEPTION = "exception"
cdef str ADD_EVENT = "add_event"


cdef class Tracer:
    """Module ``span``. Makes spans for one instrumentation scope. Without a recorder it only forwards the context.

    ``Tracer(scope, recorder=None)``.
    """

    def __init__(self, scope, recorder=None):
        self.scope = scope
        self.bind(recorder)

    def bind(self, recorder):
        """Send the spans started from now on to this recorder."""
        if recorder is not None:
            self.scope_index = recorder.add_scope(self.scope)
            if (<Recorder?> recorder).pinned:
                ft_count_no_more(self)
        self.recorder = recorder

    def start_span(
        self,
        name,
        context=None,
        kind=SpanKind.INTERNAL,
        attributes=None,
        links=None,
        start_time=None,
        record_exception=True,
        set_status_on_exception=True,
    ):
        """Start a span that is not made current. Parent: ``context``, or what is current.

        ``start_time`` is nanoseconds since the Unix epoch. As a context manager it ends itself.
        """
        cdef Span span = new_span(self, name, context, kind, attributes, links, start_time)
        cdef int64_t since = stopwatch(span)
        span.options |= END_ON_EXIT
        if record_exception:
            span.options |= RECORD_EXCEPTION
        if set_status_on_exception:
            span.options |= SET_STATUS
        begin(span)
        spend(span, since, True)
        return span

    # The default kind is SpanKind.INTERNAL, written as a number that `inspect` can read without binding.
    @cython.binding(False)
    @cython.embedsignature(True)
    def start_as_current_span(
        self,
        name,
        context=None,
        kind=0,
        attributes=None,
        links=None,
        start_time=None,
        record_exception=True,
        set_status_on_exception=True,
        end_on_exit=True,
    ):
        """A span that starts and becomes current on entering the ``with`` block, and ends on leaving it.

        Also a decorator for functions, coroutine functions, generator and async generator functions.
        """
        cdef Span span = new_span(self, name, context, kind, attributes, links, start_time)
        span.options |= MAKE_CURRENT
        if record_exception:
            span.options |= RECORD_EXCEPTION
        if set_status_on_exception:
            span.options |= SET_STATUS
        if end_on_exit:
            span.options |= END_ON_EXIT
        return span

    def __repr__(self):
        return f"Tracer({self.scope!r})"


# --- own cost: of one span in TIMED_EVERY the start and the end are timed


cdef inline int64_t stopwatch(Span span) noexcept:
    """The thread's clock if this span is one of those that are timed, else 0."""
    return ft_clock_thread_ns() if span.options & TIMED else 0


cdef inline int spend(Span span, int64_t since, bint begun) except -1:
    """Count what a step has taken since the stopwatch was read; ``begun`` is whether it was the start."""
    return spent(span.tracer.recorder, span.shard, since, begun) if since else 0


# Spans that wait for their next use: a fresh one costs three times as much. With a GIL only.
cdef PyObject *POOL[LARGEST_POOL]
cdef uint32_t pooled = 0


cdef inline Span blank(Tracer tracer):
    """A span of the type that its recorder wants."""
    global pooled
    cdef Span span
    if tracer.recorder is not None and tracer.recorder.span_class is not None:
        span = ft_new(tracer.recorder.span_class)
    elif pooled:
        pooled -= 1
        span = <Span> ft_use_again(POOL[pooled])
    else:
        span = Span.__new__(Span)
    if tracer.recorder is not None and is_timed(tracer.recorder):
        span.options = TIMED
    return span


cdef destructor plain_dealloc = NULL


cdef void deallocate(PyObject *span) noexcept:
    """The end of a span, or the beginning of the next one."""
    global pooled
    if FT_HAS_GIL and pooled < LARGEST_POOL and ft_keep(span, Span):
        make_blank(<Span> span)
        if pooled < LARGEST_POOL:
            POOL[pooled] = span
            pooled += 1
            return
        ft_let_go(span)
    plain_dealloc(span)


cdef void make_blank(Span span) noexcept:
    """As it was when it was made."""
    if span.state == RECORDING:
        abandon(span)
    if span.pairs.capacity:
        ft_pairs_clear(&span.pairs)
    if span.events.fields.data != NULL:
        give_back(&span.events.fields)
    if span.links.fields.data != NULL:
        give_back(&span.links.fields)
    span.trace_high = span.trace_low = span.span_number = 0
    span.wall_offset_ns = 0
    span.flags = span.decision = 0
    span.remote = False
    # One by one: GCC makes of a memset here what takes thirty cycles to begin.
    span.pairs.dropped = span.events.count = span.events.dropped = span.links.count = span.links.dropped = 0
    span.generation = span.shard = 0
    span.state = span.options = span.asked = span.kind_number = span.status_number = 0
    span.record_flags = span.detail = 0
    span.parent_number = 0
    span.start_ns = span.end_ns = 0
    if span.recorder is not None:
        span.recorder = None
    if span.header is not None:
        span.header = None
    if span.carried is not None:
        span.carried = None
    if span.local_trace is not None:
        span.local_trace = None
    if span.view is not None:
        span.view = None
    if span.parent is not None:
        span.parent = None
    if span.start_attributes is not None:
        span.start_attributes = None
    if span.start_rest is not None:
        span.start_rest = None
    if span.token is not None:
        span.token = None
    if span.description is not None:
        span.description = None
    span.text = None
    span.tracer = None


cdef void abandon(Span span) noexcept:
    """A span goes that has not ended."""
    cdef ft_mutex *mutex
    if span.generation == PROCESS.generation:
        mutex = &span.recorder.ring.shards[span.shard].mutex
        ft_lock(mutex)
        ft_links_remove(&span.link)
        span.recorder.accounts[span.shard].active -= 1
        span.recorder.accounts[span.shard].abandoned += 1
        ft_unlock(mutex)


cdef inline Span new_span(
    Tracer tracer, object name, object context, object kind, object attributes, object links, object start_time
):
    cdef Span span = blank(tracer)
    span.tracer = tracer
    span.text = name if type(name) is str else text_of(name)
    if kind is not INTERNAL and kind is not ZERO:
        span.kind_number = number_of(kind, 4)
    if context is not None:
        span.parent = context
    if attributes is not None:
        span.start_attributes = attributes
    if links is not None or start_time is not None:
        span.start_rest = (links, start_time)
    return span


cdef str CONTEXT = "context"
cdef str KIND = "kind"
cdef str ATTRIBUTES = "attributes"
cdef ft_fastcall slow_start_as_current_span = NULL


cdef object start_as_current_span(PyObject *tracer, PyObject *const *arguments, Py_ssize_t count, PyObject *names):
    """``Tracer.start_as_current_span`` with a name, and by keyword a context, a kind and attributes."""
    cdef PyObject *key
    cdef PyObject *name
    cdef Py_ssize_t i
    cdef Span span
    if count != 1:
        return slow_start_as_current_span(tracer, arguments, count, names)
    if names != NULL:
        for i in range(PyTuple_GET_SIZE(names)):
            key = PyTuple_GET_ITEM(names, i)
            if key != <PyObject *> ATTRIBUTES and key != <PyObject *> KIND and key != <PyObject *> CONTEXT:
                return slow_start_as_current_span(tracer, arguments, count, names)
    span = blank(<Tracer> tracer)
    span.tracer = <Tracer> tracer
    name = arguments[0]
    span.text = <object> name if type(<object> name) is str else text_of(<object> name)
    span.options |= MAKE_CURRENT | DEFAULT_OPTIONS
    if names != NULL:
        for i in range(PyTuple_GET_SIZE(names)):
            key = PyTuple_GET_ITEM(names, i)
            if key == <PyObject *> ATTRIBUTES:
                span.start_attributes = <object> arguments[i + 1]
            elif key == <PyObject *> CONTEXT:
                span.parent = <object> arguments[i + 1]
            elif arguments[i + 1] != <PyObject *> INTERNAL:
                span.kind_number = number_of(<object> arguments[i + 1], 4)
    return span


cdef int begin(Span span) except -1:
    """Parent, sampling, ids, clock. Leaves the span recording or not recording."""
    cdef Recorder recorder = span.tracer.recorder
    cdef Node parent
    cdef ft_generator *generator
    cdef Account *account
    cdef ft_mutex *mutex
    cdef bint has_parent, local = False, sampled, explicit = False, only_record = False, never = False
    cdef int rule = 0
    cdef Compare *compare
    cdef PyObject *added = NULL
    cdef int64_t now
    # A span that begins is its caller's: nobody else begins it, too.
    span.state = NOT_RECORDING
    if span.parent is None:
        parent = <Node> ft_contextvar_get(VARIABLE)
    else:
        parent = as_node(span.parent)
        span.parent = None
        explicit = parent is not None
        if parent is None:
            parent = current()
    if recorder is None:
        if parent is not None:
            take_over(span, parent)
        if not explicit:
            span.options &= ~MAKE_CURRENT
        return 0
    if recorder.generation != PROCESS.generation:
        after_fork(recorder)
    generator = ft_own_generator(PROCESS)
    if generator.seeded_generation != PROCESS.generation:
        reseed(generator)
    has_parent = False
    if parent is not None:
        has_parent = (parent.trace_high | parent.trace_low) != 0 and parent.span_number != 0
        if parent.carried is not None:
            span.carried = parent.carried
            never = UNTRACED in span.carried
    if has_parent:
        local = not parent.remote and parent.wall_offset_ns != 0 and not begun_elsewhere(parent)
        if local and detail_behind(parent) and not never:
            return leave_out_inner(span, recorder, parent)
        span.trace_high = parent.trace_high
        span.trace_low = parent.trace_low
        if parent.header is not None:
            span.header = parent.header
        span.flags = parent.flags & TRACE_RANDOM
        span.parent_number = parent.span_number
        if parent.decision != DEFERRED:
            rule = (1 if parent.remote else 3) + (0 if parent.flags & TRACE_SAMPLED else 1)
    else:
        if parent is not None and parent.decision == WITHOUT_IDS:
            rule = 1 if parent.flags & TRACE_SAMPLED else 2
        if recorder.id_generator is None or not foreign_trace_id(recorder, span):
            span.trace_high = ft_rng_next(&generator.rng)
            span.trace_low = ft_rng_next_nonzero(&generator.rng)
            span.flags = TRACE_RANDOM
    span.shard = ft_own_shard(recorder.ring.shard_count)
    compare = &recorder.compare[rule]
    sampled = ((span.trace_low ^ compare.flip) & compare.mask) >= compare.threshold
    if never:
        sampled = False
    elif recorder.expires_at or compare.marked or span.header is not None or compare.threshold == ASK:
        sampled = decide_slowly(recorder, span, rule, parent, sampled, &added, &only_record)
        generator = ft_own_generator(PROCESS)  # other threads may have run
    account = &recorder.accounts[span.shard]
    mutex = &recorder.ring.shards[span.shard].mutex
    if sampled:
        span.flags |= TRACE_SAMPLED
        span.record_flags = FLAG_SAMPLED
    elif never or (not recorder.record_unsampled and not (only_record and recorder.processing is not None)):
        ft_lock(mutex)
        account.started += 1
        account.sampled_out += 1
        ft_unlock(mutex)
        if has_parent and not parent.remote and is_unrecorded(parent):
            # Below an unsampled span of ours nothing new can be seen: the same ids, and nothing to make current.
            span.span_number = parent.span_number
            span.parent_number = 0
            if not explicit:
                span.options &= ~MAKE_CURRENT
        else:
            span.span_number = ft_rng_next_nonzero(&generator.rng)
            if recorder.observing and not local and not never:
                span.options |= LIGHT
                span.generation = PROCESS.generation
                span.recorder = recorder
                span.start_ns = ft_clock_monotonic_ns()
        return 0
    if recorder.id_generator is None or not foreign_span_id(recorder, span):
        span.span_number = ft_rng_next_nonzero(&generator.rng)
    span.generation = PROCESS.generation
    span.recorder = recorder
    if not local:
        span.record_flags |= FLAG_LOCAL_ROOT
        span.detail = recorder.level
        if has_parent and parent.remote:
            span.record_flags |= FLAG_REMOTE_PARENT
    if recorder.tail is not None:
        if local:
            span.local_trace = parent.local_trace
        if span.local_trace is None:
            span.local_trace = LocalTrace.__new__(LocalTrace)
    ft_allow_try(<PyObject *> span)
    now = ft_clock_monotonic_ns()
    ft_lock(mutex)
    if local:
        span.wall_offset_ns = parent.wall_offset_ns
    else:
        if now - account.wall_offset_taken_ns > WALL_OFFSET_AGE_NS:
            account.wall_offset_ns = ft_clock_wall_ns() - now
            account.wall_offset_taken_ns = now
        span.wall_offset_ns = account.wall_offset_ns
    span.start_ns = now + span.wall_offset_ns
    account.started += 1
    account.active += 1
    ft_links_append(&account.active_spans, &span.link)
    span.state = RECORDING
    ft_unlock(mutex)
    if recorder.baggage_attributes is not None and span.carried is not None:
        copy_baggage(span)
    if span.start_attributes is not None:
        attributes = span.start_attributes
        span.start_attributes = None
        set_many(span, attributes)
    if added != NULL:
        attributes = <object> added
        Py_DECREF(attributes)
        set_many(span, attributes)
    if span.start_rest is not None:
        start_rest(span)
    if recorder.processing is not None:
        try:
            recorder.processor.on_start(span, parent)
        except Exception:
            pass  # the processor's own troubles are reported where it was added
    return 0


cdef inline PyObject *span_behind(Node node):
    """The span of ours that a node is or stands for, borrowed; NULL for none."""
    if isinstance(node, Span):
        return <PyObject *> node
    if type(node) is Context and (<Context> node).span_object is not None:
        return <PyObject *> (<Context> node).span_object
    return NULL


cdef inline bint begun_elsewhere(Node node):
    """Whether it is a span of the process that this one was forked from."""
    cdef PyObject *span = span_behind(node)
    return span != NULL and (<Span> span).generation != PROCESS.generation


cdef inline bint is_unrecorded(Node node):
    cdef PyObject *span = span_behind(node)
    return span != NULL and (<Span> span).state == NOT_RECORDING


cdef inline uint8_t detail_behind(Node node):
    """The detail that the local root of a span has found; 0 for everything."""
    cdef PyObject *span = span_behind(node)
    return (<Span> span).detail if span != NULL else 0


cdef int leave_out_inner(Span span, Recorder recorder, Node parent) except -1:
    """Below a local root without inner spans: what begins here is its parent to all others, and records nothing.

    It is made current all the same, so that nothing that is meant for it reaches the root.
    """
    cdef Account *account
    span.shard = ft_own_shard(recorder.ring.shard_count)
    take_over(span, parent)
    span.wall_offset_ns = parent.wall_offset_ns
    span.generation = PROCESS.generation
    span.detail = detail_behind(parent)
    account = &recorder.accounts[span.shard]
    ft_lock(&recorder.ring.shards[span.shard].mutex)
    account.started += 1
    account.sampled_out += 1
    account.detail_spans += 1
    ft_unlock(&recorder.ring.shards[span.shard].mutex)
    return 0


cdef bint decide_slowly(
    Recorder recorder, Span span, int rule, Node parent, bint sampled, PyObject **added, bint *only_record
) except -1:
    """The decision where more than the trace id counts; ``added`` becomes the attributes of a sampler, owned."""
    cdef Compare compare
    if recorder.expires_at and ft_clock_monotonic_ns() >= recorder.expires_at:
        expire(recorder)
    member = rule_of(recorder, rule, &compare)
    if compare.flip or compare.threshold != ASK:
        return by_threshold(span, &compare, member)
    links = None if span.start_rest is None else span.start_rest[0]
    kind = KINDS[span.kind_number]
    decision, attributes = ask(recorder, span.shard, rule, parent, span, span.text, kind, span.start_attributes, links)
    sampled = decision == layout.DECISION_RECORD_AND_SAMPLE
    only_record[0] = decision == layout.DECISION_RECORD_ONLY
    if attributes is not None and (sampled or only_record[0] or recorder.record_unsampled):
        Py_INCREF(attributes)
        added[0] = <PyObject *> attributes
    return sampled


cdef bint begin_once(Span span) except -1:
    """Begin a span unless somebody has; whether it was this call."""
    cdef bint mine
    with cython.critical_section(span):
        mine = span.state == NEW
        if mine:
            span.state = NOT_RECORDING
    if mine:
        begin(span)
    return mine


cdef int copy_baggage(Span span) except -1:
    cdef dict members = span.carried.get(BAGGAGE_KEY)
    if members is not None:
        for name in span.recorder.baggage_attributes:
            if name in members:
                set_one(span, name, members[name])
    return 0


cdef int take_over(Span span, Node parent) except -1:
    span.trace_high = parent.trace_high
    span.trace_low = parent.trace_low
    span.span_number = parent.span_number
    span.flags = parent.flags
    span.remote = parent.remote
    span.header = parent.header
    span.carried = parent.carried
    span.decision = parent.decision
    span.local_trace = parent.local_trace
    return 0


cdef int start_rest(Span span) except -1:
    rest = span.start_rest
    span.start_rest = None
    links, start_time = rest
    if type(start_time) is int and 0 <= start_time < 2**63:
        span.start_ns = start_time
    if links is None:
        return 0
    try:
        for item in links:
            if type(item) is tuple and len(item) == 2:
                add_one_link(span, item[0], item[1])
            elif isinstance(item, Link) or (not isinstance(item, Node) and hasattr(item, "context")):
                add_one_link(span, item.context, getattr(item, "attributes", None))
            else:
                add_one_link(span, item, None)
    except Exception:
        span.links.dropped += 1
    return 0


# --- attributes


cdef int set_one(Span span, object key, object value) except -1:
    """Set one attribute of a span that was recording a moment ago."""
    cdef Recorder recorder = recorder_of(span)
    if recorder is None:
        return 0
    if type(key) is not str:
        if not isinstance(key, str):
            span.pairs.dropped += 1
            return 0
        key = str.__str__(key)
    if PyUnicode_GET_LENGTH(key) == 0:
        span.pairs.dropped += 1
        return 0
    if recorder.max_attribute_length >= 0 or not ft_is_plain(<PyObject *> value):
        try:
            value = normal_value(value, recorder.max_attribute_length)
        except Exception:
            span.pairs.dropped += 1
            return 0
    with cython.critical_section(span):
        if span.state == RECORDING:
            ft_pairs_set(&span.pairs, recorder.max_attributes, <PyObject *> key, <PyObject *> value)
    return 0


cdef inline Recorder recorder_of(Span span):
    """The recorder of a span that records, else None."""
    cdef Recorder recorder
    with cython.critical_section(span):
        recorder = span.recorder
    return recorder


cdef int set_many(Span span, object attributes) except -1:
    try:
        if FT_HAS_GIL and type(attributes) is dict:
            for key, value in (<dict> attributes).items():
                set_one(span, key, value)
        else:
            for key, value in list(attributes.items()):
                set_one(span, key, value)
    except Exception:
        span.pairs.dropped += 1
    return 0


# --- events and links: encoded when they are added


cdef int append_event(Span span, object name, object attributes, int64_t time_ns) except -1:
    cdef Recorder recorder = recorder_of(span)
    cdef ft_buffer own
    cdef ft_buffer *part
    if recorder is None or is_full(&span.events, recorder.max_events):
        return 0
    part = borrow_part(&own)
    try:
        write_event(part, recorder, name, attributes, time_ns)
        with cython.critical_section(span):
            if span.state == RECORDING:
                add_field(&span.events, 0x5A, part)
    finally:
        return_part(part)
    return 0


cdef object append_exception(Span span, object exception, bint escaped, object timestamp):
    """Add the event of an exception. Its description, or None for one that is not plain."""
    cdef Recorder recorder = recorder_of(span)
    cdef ft_clue clue
    if recorder is None:
        return None
    if read_clue(recorder, exception, escaped, &clue):
        try:
            description = append_plain(span, recorder, exception, &clue, timestamp)
        finally:
            ft_drop_clue(&clue)
        if description is not None:
            return description
    append_event(span, EXCEPTION, exception_attributes(exception, escaped), time_of(span, timestamp))
    return None


cdef object append_plain(Span span, Recorder recorder, object exception, ft_clue *clue, object timestamp):
    """``append_exception`` of a plain one; its description, or None when it is too large to be remembered."""
    cdef ft_buffer part
    cdef tuple found
    cdef bint full = False
    cdef int64_t time_ns = time_of(span, timestamp)
    with cython.critical_section(span):
        description = copied(clue, &span.events if span.state == RECORDING else NULL, recorder, time_ns)
    if description is not None:
        return description
    ft_buffer_init(&part)
    try:
        found = learn(recorder, exception, clue, &part)
        if found is None:
            return None
        time_ns = time_of(span, timestamp)
        with cython.critical_section(span):
            if span.state == RECORDING:
                full = not copy_event(&span.events, recorder.max_events, part.data, part.length, time_ns)
        if full:
            raise MemoryError()
        return found[1]
    finally:
        ft_buffer_free(&part)


cdef inline int64_t time_of(Span span, object timestamp) except? -1:
    if type(timestamp) is int and 0 <= timestamp < 2**63:
        return timestamp
    return ft_clock_monotonic_ns() + span.wall_offset_ns


cdef int add_one_link(Span span, object context, object attributes) except -1:
    cdef Recorder recorder = recorder_of(span)
    cdef ft_buffer part
    cdef Node node = as_node(context)
    if node is None or recorder is None:
        return 0
    if ((node.trace_high | node.trace_low) == 0 or node.span_number == 0) and not attributes and node.header is None:
        return 0
    if is_full(&span.links, recorder.max_links):
        return 0
    ft_buffer_init(&part)
    try:
        write_link(&part, recorder, node, attributes)
        with cython.critical_section(span):
            if span.state == RECORDING:
                add_field(&span.links, 0x6A, &part)
    finally:
        ft_buffer_free(&part)
    return 0


# --- the end


cdef int add_bits(Span span, uint32_t mask) except -1:
    """What is known before the end: calls that are made from now on carry the verdict."""
    if span.local_trace is not None and mask:
        ft_or_acq_rel_u32(&span.local_trace.bits, mask)
    return 0


cdef int mark_inner(Span span, bint raised) except -1:
    """An error of a span that is left out for detail, or an exception, keeps its trace as it would have."""
    cdef Recorder recorder = span.tracer.recorder
    if span.state == NOT_RECORDING and span.detail and recorder is not None and recorder.tail is not None:
        add_bits(span, recorder.tail.exception_mask if raised else recorder.tail.error_mask)
    return 0


# An error inside is turned into a count by the caller, which therefore looks at the answer itself.
ctypedef int (*quiet_encode)(Span span, Recorder recorder, ft_buffer *buffer, int64_t end_ns) noexcept


cdef int finish(Span span, object end_time) except -1:
    cdef Recorder recorder
    cdef int64_t end_ns
    cdef int answer
    cdef bint mine
    with cython.critical_section(span):
        # Of several threads that end one span, the one that finds it recording does.
        mine = span.state == RECORDING and not span.options & ENDING
        if mine:
            recorder = span.recorder
            if recorder.processing is None:
                span.state = ENDED
            else:
                span.options |= ENDING
    if not mine:
        if span.options & LIGHT:
            finish_light(span)
        elif span.state == NOT_RECORDING and span.view is not None:
            span._view = None
        return 0
    end_ns = ft_clock_monotonic_ns() + span.wall_offset_ns
    if end_time is not None and type(end_time) is int and 0 <= end_time < 2**63:
        end_ns = end_time
    if end_ns < span.start_ns:
        end_ns = span.start_ns
    span.end_ns = end_ns
    if span.options & ENDING:
        processor = recorder.processor
        process(processor, "on_ending", span)
        with cython.critical_section(span):
            span.state = ENDED
        answer = hand_over(span, recorder, end_ns, process(processor, "on_end", span) is False)
        with cython.critical_section(span):
            span.recorder = None
            span.view = None
    else:
        answer = hand_over(span, recorder, end_ns, False)
        with cython.critical_section(span):
            release(span)
    if answer == PUSHED and not ft_load_seq_cst(&recorder.running) and recorder.on_first_record is not None:
        announce(recorder)
    return 0


cdef object process(object processor, str step, Span span):
    """What one step of a processor answers; it reports its own troubles."""
    if processor is not None:
        try:
            return getattr(processor, step)(span)
        except Exception:
            pass
    return None


cdef int finish_light(Span span) except -1:
    """The end of a local root that is not recorded."""
    cdef Recorder recorder
    cdef bint mine
    with cython.critical_section(span):
        mine = (span.options & LIGHT) != 0
        span.options &= ~LIGHT
    if not mine:
        return 0
    recorder = span.recorder
    if span.generation == PROCESS.generation:
        ft_lock(&recorder.ring.shards[span.shard].mutex)
        observed(
            recorder.accounts[span.shard].window,
            ft_clock_monotonic_ns() - span.start_ns,
            span.status_number == STATUS_ERROR,
        )
        ft_unlock(&recorder.ring.shards[span.shard].mutex)
        # The thread that looks at the window runs while there is something to see.
        if not ft_load_seq_cst(&recorder.running) and recorder.on_first_record is not None:
            announce(recorder)
    with cython.critical_section(span):
        release(span)
    return 0


cdef int write_record(Span span, Recorder recorder, ft_shard *shard, ft_buffer *scratch, int64_t end_ns) noexcept:
    """Encoded where it stays, while the ring has room in one piece; else elsewhere, and copied. What became of it."""
    cdef ft_buffer place
    cdef int answer
    if shard.ring.data != NULL:
        place.lent = True
        place.capacity = ft_ring_room(&shard.ring, &place.data)
        if place.capacity > LIKELY_BYTES + span.events.fields.length + span.links.fields.length:
            if (<quiet_encode> encode)(span, recorder, &place, end_ns) == 0:
                return commit_record(recorder.ring, shard, place.data, <uint32_t> place.length)
            PyErr_Clear()
    if (<quiet_encode> encode)(span, recorder, scratch, end_ns) != 0:
        answer = DROPPED_ENCODE_ERROR
    elif scratch.length > <size_t> 0xFFFFFFFF:
        answer = DROPPED_TOO_LARGE
    else:
        answer = recorder.ring.push_record(shard, scratch.data, <uint32_t> scratch.length)
    if scratch.capacity > LARGEST_KEPT_SCRATCH:
        ft_buffer_free(scratch)
    return answer


cdef int hand_over(Span span, Recorder recorder, int64_t end_ns, bint refused) except -1:
    """The record of a span that has ended to the ring, unless it is refused; PUSHED, or the reason for the drop."""
    cdef ft_shard *shard
    cdef Account *account
    cdef int answer
    if span.generation != PROCESS.generation:
        # Begun before the fork: its record is the parent's to write.
        if recorder.generation != PROCESS.generation:
            after_fork(recorder)
        span.shard = ft_own_shard(recorder.ring.shard_count)
        account = &recorder.accounts[span.shard]
        ft_lock(&recorder.ring.shards[span.shard].mutex)
        account.started += 1
        account.dropped[DROPPED_FORKED] += 1
        ft_unlock(&recorder.ring.shards[span.shard].mutex)
        return DROPPED_FORKED
    shard = &recorder.ring.shards[span.shard]
    account = &recorder.accounts[span.shard]
    ft_lock(&shard.mutex)
    ft_links_remove(&span.link)
    account.active -= 1
    if recorder.closed:
        answer = DROPPED_AFTER_SHUTDOWN
    elif not span.record_flags & FLAG_SAMPLED and not recorder.record_unsampled:
        answer = ONLY_RECORDED
    elif refused:
        answer = DROPPED_ENCODE_ERROR
    else:
        answer = write_record(span, recorder, shard, &account.scratch, end_ns)
    if answer == ONLY_RECORDED:
        account.sampled_out += 1
    elif answer != PUSHED:
        account.dropped[answer] += 1
    if recorder.observing and span.record_flags & FLAG_LOCAL_ROOT:
        observed(account.window, end_ns - span.start_ns, (span.record_flags & (FLAG_ERROR | FLAG_HTTP_5XX)) != 0)
    ft_unlock(&shard.mutex)
    if answer == DROPPED_ENCODE_ERROR:
        PyErr_Clear()
    return answer


cdef void release(Span span) noexcept:
    """What an ended span lets go of: copied contexts may keep it for long."""
    if span.pairs.count or span.pairs.capacity:
        ft_pairs_clear(&span.pairs)
    if span.events.fields.data != NULL:
        give_back(&span.events.fields)
    if span.links.fields.data != NULL:
        give_back(&span.links.fields)
    _before = span.recorder
    span.recorder = None
    if span.view is not None:
        _before = span.view
        span.view = None


@cython.final
cdef class BlockMethod:
    """``Span.__enter__`` and ``Span.__exit__``. Looked up on a span they answer with the span itself.

    A ``with`` statement looks both up, and calls them once: bound methods would be two objects made for one call each.
    Called without arguments, a span whose ``__enter__`` was looked up enters; called with three, one whose
    ``__exit__`` was.
    """

    cdef readonly str __name__
    cdef readonly str __doc__
    cdef readonly str __text_signature__
    cdef uint8_t step

    def __init__(self, name, step, signature, doc):
        self.__name__ = name
        self.__text_signature__ = signature
        self.__doc__ = doc
        self.step = step

    def __get__(self, span, owner):
        if span is None:
            return self
        if type(span) is not Span and not isinstance(span, Span):
            raise TypeError(f"{self.__name__} is for spans, not for {type(span).__name__!r} objects")
        (<Span> <PyObject *> span).asked |= self.step
        return span

    def __call__(self, span, *exception):
        return self.__get__(span, None)(*exception)

    def __repr__(self):
        return f"<method '{self.__name__}' of spans>"


@cython.no_gc_clear
cdef class Span(Node):
    """Module ``span``. One operation, from start to end (OpenTelemetry Trace API, "Span").

    Made by a ``Tracer``. Calls after ``end()``, and on a span that is not recording, do nothing.
    Nothing here raises into the application for a bad value: it is dropped and counted. May be used
    from several threads. Reads (`name`, `kind`, `attributes`, `status`, ...) serve instrumentations.
    """

    def __cinit__(self):
        self.vectorcall = <ft_vectorcall> call_span

    def __dealloc__(self):
        # Nothing above holds Python objects that a collection could have cleared: no_gc_clear.
        if self.state == RECORDING:
            abandon(self)
        if self.pairs.capacity:
            ft_pairs_clear(&self.pairs)
        ft_buffer_free(&self.events.fields)
        ft_buffer_free(&self.links.fields)

    def get_span_context(self):
        """The part of this span that travels."""
        return span_context_of(self)

    @cython.binding(False)
    @cython.embedsignature(True)
    def is_recording(self):
        """True from start to end, if the sampler chose to record."""
        return self.state == RECORDING

    @cython.binding(False)
    @cython.embedsignature(True)
    def set_attribute(self, key, value):
        """Set one attribute; a key that is there is replaced in place. The value is taken as it is now."""
        if self.state == RECORDING:
            set_one(self, key, value)

    def set_attributes(self, attributes):
        """Set several attributes."""
        if self.state == RECORDING:
            set_many(self, attributes)

    @cython.binding(False)
    @cython.embedsignature(True)
    def add_event(self, name, attributes=None, timestamp=None):
        """Add an event; ``timestamp`` is nanoseconds since the Unix epoch, now if None."""
        cdef int64_t time_ns
        if self.state == RECORDING:
            time_ns = time_of(self, timestamp)
            append_event(self, name if type(name) is str else text_of(name), attributes, time_ns)

    def add_link(self, context, attributes=None):
        """Link another span. An invalid context is ignored unless it has attributes or a tracestate."""
        if self.state == RECORDING:
            add_one_link(self, context, attributes)

    def record_exception(self, exception, attributes=None, timestamp=None, escaped=False):
        """Add an ``exception`` event with type, message, stack trace and whether it escaped the span."""
        if self.state != RECORDING:
            if self.detail:
                mark_inner(self, True)
            return
        cdef Recorder recorder = mark_raised(self)
        cdef dict members
        if not attributes and (type(self) is Span or ft_is_method(self, ADD_EVENT, <ft_fastcall> add_event)):
            append_exception(self, exception, escaped, timestamp)
            return
        members = members_of(recorder, exception, escaped)
        if attributes:
            try:
                members.update(attributes)
            except Exception:
                pass
        self.add_event(EXCEPTION, members, timestamp)

    def set_status(self, status, description=None):
        """Set the outcome. OK is final, UNSET is ignored, only ERROR keeps its description."""
        cdef Recorder recorder
        if self.state != RECORDING and not self.options & LIGHT:
            if self.detail and number_of(getattr(status, "status_code", status), 2) == STATUS_ERROR:
                mark_inner(self, False)
            return
        code = getattr(status, "status_code", None)
        if code is not None:
            description = getattr(status, "description", None)
        else:
            code = status
        cdef uint8_t number = number_of(code, 2)
        if number == 0 or self.status_number == STATUS_OK:
            return
        if number == STATUS_ERROR and description is not None:
            description = text_of(description)
        else:
            description = None
        with cython.critical_section(self):
            if self.state == RECORDING:
                _before = self.description
                self.status_number = number
                self.description = description
            elif self.options & LIGHT:
                self.status_number = number
        recorder = recorder_of(self)
        if number == STATUS_ERROR and recorder is not None and recorder.tail is not None:
            add_bits(self, recorder.tail.error_mask)

    def update_name(self, name):
        """Rename the span."""
        if type(name) is not str:
            name = text_of(name)
        with cython.critical_section(self):
            if self.state == RECORDING:
                _before = self.text
                self.text = name

    @cython.binding(False)
    @cython.embedsignature(True)
    def end(self, end_time=None):
        """End the span: encode it once and queue the record; ``end_time`` is nanoseconds since the Unix epoch."""
        cdef int64_t since = stopwatch(self)
        finish(self, end_time)
        spend(self, since, False)

    __enter__ = BlockMethod(
        "__enter__", ENTER, "($self)", "Start, unless the span has started, and become current; gives the span."
    )
    __exit__ = BlockMethod(
        "__exit__",
        EXIT,
        "($self, exc_type, exc, traceback)",
        "Record the exception that leaves the block, if one does, and end.",
    )

    def __call__(self, *arguments):
        """Decorate a function, coroutine function, generator function or async generator function."""
        if len(arguments) == 0 and self.asked & ENTER:
            enter(self)
            return self
        if len(arguments) == 3 and self.asked & EXIT:
            leave_block(self, <PyObject *> arguments[1])
            return None
        if len(arguments) != 1:
            raise TypeError(f"a span is called with the function that it decorates, not {len(arguments)} arguments")
        from fasttrace._core.decorate import decorate

        return decorate(self, arguments[0])

    # What decorate.py builds on.

    def _fresh(self):
        """A span that has not started, with the arguments of this one."""
        cdef Span span = blank(self.tracer)
        with cython.critical_section(self):
            span.tracer = self.tracer
            span.text = self.text
            span.kind_number = self.kind_number
            span.parent = self.parent
            span.start_attributes = self.start_attributes
            span.start_rest = self.start_rest
            span.options |= self.options & ~TIMED
        return span

    def _begin(self):
        """Start without becoming current."""
        cdef int64_t since = stopwatch(self)
        begin_once(self)
        spend(self, since, True)

    def _attach(self):
        """Become current, if this span is one that does; the token for ``_detach``, or None."""
        if self.options & MAKE_CURRENT:
            return ft_contextvar_set(VARIABLE, self)
        return None

    def _detach(self, token):
        """Undo ``_attach``."""
        if token is not None:
            leave(self, token)

    def _record(self, exception):
        """Record an exception that leaves the span, as the span's options say."""
        if self.state == RECORDING or self.options & LIGHT or self.detail:
            record(self, exception, False)

    @property
    def _observed(self):
        """Whether this is a local root that is timed though it is not recorded: its status counts."""
        return (self.options & LIGHT) != 0

    def _keep(self, bits):
        """Keep the trace for these reasons; whether it is kept whole. Without tail rules it is sampled from here on."""
        if self.local_trace is not None:
            add_bits(self, bits)
            return True
        if self.flags & TRACE_SAMPLED:
            return True
        if self.trace_high | self.trace_low:
            self.flags |= TRACE_SAMPLED
        return False

    # Reads.

    @property
    def name(self):
        with cython.critical_section(self):
            return self.text

    @property
    def kind(self):
        return KINDS[self.kind_number]

    @property
    def scope(self):
        return InstrumentationScope("") if self.tracer is None else self.tracer.scope

    @property
    def attributes(self):
        cdef uint32_t i
        cdef dict result = {}
        with cython.critical_section(self):
            for i in range(self.pairs.count):
                result[<object> self.pairs.at[2 * i]] = <object> self.pairs.at[2 * i + 1]
        return result

    @property
    def status(self):
        with cython.critical_section(self):
            code, description = self.status_number, self.description
        return Status(CODES[code], description)

    @property
    def _encoded_parts(self):
        """The events and links as fields of an encoded span, and how many attributes, events and links were dropped."""
        with cython.critical_section(self):
            data = b""
            if self.events.fields.length:
                data += (<char *> self.events.fields.data)[: self.events.fields.length]
            if self.links.fields.length:
                data += (<char *> self.links.fields.data)[: self.links.fields.length]
            return data, self.pairs.dropped, self.events.dropped, self.links.dropped

    @property
    def start_time_ns(self):
        return self.start_ns

    @property
    def end_time_ns(self):
        return self.end_ns if self.state == ENDED else None

    @property
    def parent_span_id(self):
        return self.parent_number

    @property
    def trace_id(self):
        return trace_id_of(self.trace_high, self.trace_low)

    @property
    def span_id(self):
        return self.span_number

    @property
    def trace_id_hex(self):
        return hex_of(self.trace_high, self.trace_low, 32)

    @property
    def span_id_hex(self):
        return hex_of(0, self.span_number, 16)

    @property
    def trace_flags(self):
        return flags_of(self)

    @property
    def trace_state(self):
        return TraceState(self.header or "")

    @property
    def sampled(self):
        return (flags_of(self) & TRACE_SAMPLED) != 0

    def __repr__(self):
        return f"Span({self.text!r}, trace_id={self.trace_id_hex}, span_id={self.span_id_hex})"


cdef inline int leave(Span span, object token) except -1:
    if ft_contextvar_leave(VARIABLE, span, token) < 0:
        leave_foreign(token)
    return 0


cdef inline int enter(Span span) except -1:
    """A ``with`` block begins."""
    cdef int64_t since = stopwatch(span)
    if begin_once(span) and span.options & MAKE_CURRENT:
        span.token = ft_contextvar_set(VARIABLE, span)
    return spend(span, since, True)


cdef inline int leave_block(Span span, PyObject *exception) except -1:
    """A ``with`` block ends, with this exception or None."""
    cdef int64_t since = stopwatch(span)
    if FT_HAS_GIL:
        if span.token is not None:
            leave(span, span.token)
            span.token = None
    else:
        leave_once(span)
    if exception != <PyObject *> None:
        if span.state == RECORDING:
            record(span, <object> exception, not span.options & MAKE_CURRENT)
        elif span.options & LIGHT or span.detail:
            record(span, <object> exception, True)
    if span.options & END_ON_EXIT:
        if span.state == RECORDING or span.options & LIGHT or span.view is not None:
            finish(span, None)
    return spend(span, since, False)


cdef int leave_once(Span span) except -1:
    with cython.critical_section(span):
        token = span.token
        span.token = None
    if token is not None:
        leave(span, token)
    return 0


cdef object call_span(PyObject *span, PyObject *const *arguments, size_t count, PyObject *names):
    """A span's vectorcall: what ``__call__`` does."""
    cdef Py_ssize_t i, given = PyVectorcall_NARGS(count)
    if names != NULL:
        raise TypeError("a span is called with the function that it decorates, without keywords")
    if given == 3 and (<Span> span).asked & EXIT:
        leave_block(<Span> span, arguments[1])
        return None
    if given == 0 and (<Span> span).asked & ENTER:
        enter(<Span> span)
        return <object> span
    return (<Span> span).__call__(*[<object> arguments[i] for i in range(given)])


cdef ft_fastcall slow_set_attribute = NULL
cdef ft_fastcall slow_add_event = NULL
cdef ft_fastcall slow_end = NULL


cdef object set_attribute(PyObject *span, PyObject *const *arguments, Py_ssize_t count, PyObject *names):
    """``Span.set_attribute`` by position."""
    cdef PyObject *key
    cdef PyObject *recorder
    if count != 2 or names != NULL:
        return slow_set_attribute(span, arguments, count, names)
    if (<Span> span).state == RECORDING:
        key = arguments[0]
        recorder = <PyObject *> (<Span> span).recorder
        if (
            FT_HAS_GIL
            and type(<object> key) is str
            and PyUnicode_GET_LENGTH(<object> key) != 0
            and (<Recorder> recorder).max_attribute_length < 0
            and ft_is_plain(arguments[1])
        ):
            ft_pairs_set(&(<Span> span).pairs, (<Recorder> recorder).max_attributes, key, arguments[1])
        else:
            set_one(<Span> span, <object> key, <object> arguments[1])
    return None


cdef object add_event(PyObject *span, PyObject *const *arguments, Py_ssize_t count, PyObject *names):
    """``Span.add_event`` of a name, now."""
    cdef PyObject *recorder
    cdef int64_t now
    if count != 1 or names != NULL or not FT_HAS_GIL or type(<object> arguments[0]) is not str:
        return slow_add_event(span, arguments, count, names)
    if (<Span> span).state == RECORDING:
        recorder = <PyObject *> (<Span> span).recorder
        now = ft_clock_monotonic_ns() + (<Span> span).wall_offset_ns
        add_name(&(<Span> span).events, (<Recorder> recorder).max_events, <object> arguments[0], now)
    return None


cdef object end(PyObject *span, PyObject *const *arguments, Py_ssize_t count, PyObject *names):
    """``Span.end`` now."""
    if count or names != NULL:
        return slow_end(span, arguments, count, names)
    cdef int64_t since = stopwatch(<Span> span)
    finish(<Span> span, None)
    spend(<Span> span, since, False)
    return None


cdef Recorder mark_raised(Span span):
    """An exception is recorded; gives the recorder."""
    cdef Recorder recorder
    with cython.critical_section(span):
        span.options |= RAISED
        recorder = span.recorder
    if recorder is not None and recorder.tail is not None:
        add_bits(span, recorder.tail.exception_mask)
    return recorder


cdef int fail(Span span, str description) except -1:
    """``set_status`` of an error, for a span that was recording a moment ago."""
    cdef Recorder recorder
    with cython.critical_section(span):
        if span.state != RECORDING or span.status_number == STATUS_OK:
            return 0
        _before = span.description
        span.status_number = STATUS_ERROR
        span.description = description
        recorder = span.recorder
    if recorder is not None and recorder.tail is not None:
        add_bits(span, recorder.tail.error_mask)
    return 0


cdef int record(Span span, object exception, bint escaped) except -1:
    """An exception leaves the span. Cancellation, exits and closed generators are not errors."""
    if not isinstance(exception, Exception):
        return 0
    cdef bint own = type(span) is Span and span.state == RECORDING
    description = None
    try:
        if span.options & RECORD_EXCEPTION:
            if own:
                mark_raised(span)
                description = append_exception(span, exception, escaped, None)
            else:
                span.record_exception(exception, None, None, escaped)
        if span.options & SET_STATUS:
            if description is None:
                description = description_of(recorder_of(span), exception, escaped)
            if own:
                fail(span, description if type(description) is str else text_of(description))
            else:
                span.set_status(CODES[STATUS_ERROR], description)
    except Exception:
        span.events.dropped += 1
    return 0


cdef Span unattached(Node node):
    """A span that does not record, with the ids of a node."""
    cdef Span span = Span.__new__(Span)
    span.text = ""
    span.state = NOT_RECORDING
    if node is not None:
        take_over(span, node)
    return span


slow_start_as_current_span = ft_quicken(Tracer, "start_as_current_span", <ft_fastcall> start_as_current_span)
slow_set_attribute = ft_quicken(Span, "set_attribute", <ft_fastcall> set_attribute)
slow_add_event = ft_quicken(Span, "add_event", <ft_fastcall> add_event)
slow_end = ft_quicken(Span, "end", <ft_fastcall> end)
cdef Span INVALID = unattached(None)
know_spans(Span, <char *> &INVALID.link - <char *> <PyObject *> INVALID)
plain_dealloc = ft_replace_dealloc(Span, deallocate)
ft_accept_vectorcall(Span, <char *> &INVALID.vectorcall - <char *> <PyObject *> INVALID)


def current_span():
    """The current span; one that does not record, with the current ids if there are any, if none is."""
    cdef Node node = current()
    if node is None:
        return INVALID
    if isinstance(node, Span):
        return node
    if (<Context> node).span_object is not None:
        return (<Context> node).span_object
    return unattached(node)
