# cython: freethreading_compatible=True
"""Span, Tracer and Recorder: the hot path from start to one encoded record in the ring.

Shared between threads, and what guards it:

* a Recorder's counters, list of active spans, wall clock offset and scratch: the GIL; without one they exist once for
  each shard, under the mutex of the ring's shard (``shards.h``), held for C code only;
* a Span that is used from several threads: the GIL; without one a critical section on the span. Like the GIL it may be
  let go where a call waits, so no step that leaves a span half changed waits or runs Python code, and a field that
  others may read is replaced while a second reference keeps the old value alive;
* the part in which events are encoded: lent to one caller at a time under the GIL, not used without one;
* what was written of exceptions (``places.h``): the GIL; without one a mutex, held for C code only;
* thresholds, ``closed`` and the like: single words, whose change is seen now or a moment later; what is an object
  among them is read and replaced in a critical section on the recorder, but ``tail_rules``, which are set before the
  first span.

Raced by ``stress/race.py`` ("spans", "shared spans", "exceptions", "forks", "tail").
"""

cimport cython
from cpython.object cimport PyObject, PyObject_Hash
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import sys

from fasttrace._core._cython.context cimport (
    DEFERRED,
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
    split_trace_id,
    trace_id_of,
)
from fasttrace._core._cython.ids cimport (
    ft_generator,
    ft_own_generator,
    ft_process,
    ft_rng_next,
    ft_rng_next_nonzero,
    process_state,
    reseed,
)
from fasttrace._core._cython.otlp cimport (
    ft_buffer,
    ft_buffer_free,
    ft_buffer_init,
    ft_buffer_reserve,
    ft_is_plain,
    ft_text_equal,
    ft_utf8_size,
    ft_varint_size,
    ft_write_big_u64,
    ft_write_little_u32,
    ft_write_little_u64,
    ft_write_short_attribute,
    ft_write_utf8,
    ft_write_varint,
    normal_value,
    reserve,
    write_attribute,
    write_attributes,
    write_text_field,
)
from fasttrace._core._cython.ring cimport (
    FT_HAS_GIL,
    Ring,
    commit_record,
    ft_is_first,
    ft_load_seq_cst,
    ft_lock,
    ft_mutex,
    ft_own_shard,
    ft_ring_room,
    ft_shard,
    ft_store_seq_cst,
    ft_unlock,
)
from fasttrace._core._cython.tail cimport LocalTrace, TailRules, ft_or_acq_rel_u32

from fasttrace._core import exceptions, layout
from fasttrace._core._cython import context as context_module
from fasttrace._core.tracestate import randomness, with_threshold
from fasttrace._core.types import (
    BAGGAGE_KEY,
    UNTRACED_KEY,
    InstrumentationScope,
    Link,
    SpanKind,
    SpanLimits,
    Status,
    StatusCode,
    TraceState,
)

__all__ = ["Recorder", "Span", "Tracer", "current_span"]

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
    void ft_inherit_vectorcall(object kind, object base)
    ctypedef void (*destructor)(PyObject *object) noexcept
    destructor ft_replace_dealloc(object kind, destructor own)
    bint ft_keep(PyObject *object, object kind)
    void ft_let_go(PyObject *object)
    object ft_use_again(PyObject *object)

cdef extern from "shards.h":
    void ft_allow_try(PyObject *object)
    void ft_count_no_more(object shared)
    int ft_try_incref(PyObject *object)
    void ft_wait_a_moment() nogil
    bint ft_is_every(uint64_t *count, uint64_t at, uint64_t every)

cdef extern from "places.h":
    enum:
        FT_PLACES
        FT_MOST_STEPS
    ctypedef struct ft_place:
        PyObject *texts
        PyObject *description
        uint8_t *event
        size_t event_size
    ctypedef struct ft_clue:
        PyObject *said
        PyObject *traceback
        PyObject *cleaner
        int64_t max_count
        int64_t max_length
        bint escaped
        size_t skipped
    PyObject *ft_dict_get(object mapping, object key)
    bint ft_read_clue(PyObject *exception, object notes_key, ft_clue *clue)
    void ft_drop_clue(ft_clue *clue)
    size_t ft_count_steps(PyObject *traceback)
    bint ft_is_written(const ft_place *place, const ft_clue *clue)
    ft_place *ft_find_place(ft_clue *clue)
    void ft_note_last(const ft_clue *clue, ft_place *place)
    void ft_forget_last()
    ft_place *ft_new_place(const ft_clue *clue, object texts, object description, const uint8_t *event, size_t size)
    void ft_put_place(const ft_clue *clue, ft_place *place, ft_place **gone)
    void ft_place_free(ft_place *place)
    void ft_forget_places()

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
    # its options
    RECORD_EXCEPTION = 1
    SET_STATUS = 2
    END_ON_EXIT = 4
    MAKE_CURRENT = 8
    LIGHT = 16   # a local root that is not recorded, and observed
    RAISED = 32  # an exception was recorded
    ENDING = 64  # somebody ends it, and its processor may still change it
    TIMED = 128  # what its start and its end cost is measured
    DEFAULT_OPTIONS = RECORD_EXCEPTION | SET_STATUS | END_ON_EXIT
    LARGEST_POOL = 64
    LARGEST_SPARE = 4096
    # which of the block's methods were looked up
    ENTER = 1
    EXIT = 2
    # what becomes of a record, and the drop counters; the first four are the ring's answers
    PUSHED = 0
    DROPPED_QUEUE_FULL = 1
    DROPPED_TOO_LARGE = 2
    DROPPED_ENCODE_ERROR = 3
    DROPPED_AFTER_SHUTDOWN = 4
    DROPPED_FORKED = 5
    ONLY_RECORDED = 6
    # the layout of a record, see layout.py
    HEADER_BYTES = 64
    MAGIC = 0x7FA5
    KIND_SPAN = 1
    FLAG_SAMPLED = 0x01
    FLAG_ERROR = 0x02
    FLAG_LOCAL_ROOT = 0x04
    FLAG_HTTP_5XX = 0x08
    FLAG_REMOTE_PARENT = 0x10
    TRACE_SAMPLED = 0x01
    TRACE_RANDOM = 0x02
    SPAN_FLAG_HAS_IS_REMOTE = 0x100
    SPAN_FLAG_IS_REMOTE = 0x200
    STATUS_OK = 1
    STATUS_ERROR = 2
    # Keys are searched one by one among so many attributes at most, by their hashes among more.
    SEARCHED_ATTRIBUTES = 16
    # A wall clock step shows at new local roots after at most this long.
    WALL_OFFSET_AGE_NS = 100_000_000
    LARGEST_KEPT_SCRATCH = 1024 * 1024
    LIKELY_BYTES = 4096  # few records are larger, but for their events and links
    BARE = 2  # the level of detail without attributes
    TIMED_EVERY = 251
    TIMED_FIRST = 125

# The low 56 bits of a trace id, W3C Trace Context level 2, are the randomness that samplers compare.
cdef uint64_t RANDOMNESS = (<uint64_t> 1 << 56) - 1
cdef uint64_t NEVER = <uint64_t> 1 << 56
cdef uint64_t ASK = (<uint64_t> 1 << 56) + 1

assert layout.RECORD_HEADER_BYTES == HEADER_BYTES and layout.RECORD_MAGIC == MAGIC
assert layout.RECORD_KIND_SPAN == KIND_SPAN
assert layout.DETAIL_BARE == BARE and layout.DETAIL_KEPT_KEYS == ("http.response.status_code", "http.route")
assert layout.TIMED_EVERY == TIMED_EVERY and layout.TIMED_FIRST == TIMED_FIRST
assert layout.THRESHOLD_ASK == ASK and layout.DURATION_BUCKETS == FT_DURATION_BUCKETS

cdef ft_process *PROCESS = process_state()
cdef object VARIABLE = context_module.CURRENT
cdef str UNTRACED = UNTRACED_KEY
cdef object INTERNAL = SpanKind.INTERNAL
cdef object ZERO = 0
cdef tuple KINDS = tuple(SpanKind)
cdef tuple CODES = tuple(StatusCode)
cdef str HTTP_STATUS_CODE = "http.response.status_code"
cdef str HTTP_ROUTE = "http.route"
cdef str DETAIL_KEY = layout.DETAIL_KEY
cdef tuple DETAILS = layout.DETAILS

# Where an event is encoded when it is added; lent to one caller at a time because normalising values may run code.
cdef ft_buffer PART
cdef bint part_is_lent = not FT_HAS_GIL


cdef int64_t count_of(object limit) except? -2:
    return -1 if limit is None else min(<object> limit, 2**62)


@cython.final
cdef class Recorder:
    """Module ``span``. What a provider's tracers share: queue, limits, sampler, counters, the active spans.

    ``Recorder(ring, *, limits=None, thresholds=(0, 0, 0, 0, 0), id_generator=None, on_first_record=None,
    baggage_attributes=())``.

    ``thresholds`` are compared with the trace id (layout.py), for: a root, a remote sampled parent, a remote
    unsampled one, a local sampled one, a local unsampled one. ``ot_members`` (texts such as ``th:c``, or None) mark
    the tracestate of what each of the five sampled; "" takes such a mark away. For THRESHOLD_ASK
    ``decide(rule, parent, trace_id, name, kind, attributes, links)`` answers with
    ``(decision, attributes, tracestate)``; when it raises, the parent's decision stands.
    ``on_expire()`` is called by the first span that begins at or after ``expires_ns`` (monotonic clock; 0 for never).
    With ``observe``, local roots that are not recorded are timed, too, and all of them are in ``window()``.
    ``tail_rules`` (``rules.py``) put their bits into the records; ``record_unsampled`` records what the sampler leaves
    out, without the sampled flag; both are set before the first span. ``detail`` (0 to 2, ``layout.DETAILS``) is how
    much is recorded of what local roots begin from now on; below a root of less than everything spans have its ids
    and record nothing, though tail rules learn of their errors and exceptions. ``span_type``: a subclass of
    ``Span`` that its tracers make instead. ``processor``: None, or an object with ``on_start(span, parent)``,
    ``on_ending(span)``, when it can still be changed, and ``on_end(span)``, when its contents are still there,
    which answers False to have it dropped (``encode_error``); what they raise is ignored, and what the sampler
    wants only recorded is theirs alone. ``on_first_record()`` is called when a record was pushed and no consumer
    has announced itself by ``consumer_running = True`` in this process. ``baggage_attributes`` are names of
    baggage that every span gets as attributes.
    """

    def __init__(
        self,
        Ring ring not None,
        *,
        limits=None,
        thresholds=(0, 0, 0, 0, 0),
        id_generator=None,
        on_first_record=None,
        baggage_attributes=(),
    ):
        cdef uint32_t i
        for i in range(ring.shard_count):
            ft_links_init(&self.accounts[i].active_spans)
        limits = SpanLimits() if limits is None else limits
        self.ring = ring
        self.limits = limits
        self.scopes = []
        self.thresholds = thresholds
        self.ot_members = (None,) * 5
        self.id_generator = id_generator
        self.on_first_record = on_first_record
        self.baggage_attributes = tuple(baggage_attributes) or None
        self.generation = PROCESS.generation
        self.reset_in = PROCESS.generation
        self.max_attributes = count_of(limits.max_span_attributes)
        self.max_attribute_length = count_of(limits.max_span_attribute_length)
        self.max_events = count_of(limits.max_events)
        self.max_links = count_of(limits.max_links)
        self.max_event_attributes = count_of(limits.max_event_attributes)
        self.max_link_attributes = count_of(limits.max_link_attributes)
        self.max_member_length = count_of(limits.max_attribute_length)

    @property
    def thresholds(self):
        with cython.critical_section(self):
            return self.given_thresholds

    @thresholds.setter
    def thresholds(self, values):
        cdef Compare compare
        values = layout.check_thresholds(values)
        with cython.critical_section(self):
            self.given_thresholds = values
            for i in range(5):
                if values[i] < 0:
                    compare.threshold = <uint64_t> (2**64 + values[i])
                    compare.mask = compare.flip = ~<uint64_t> 0
                else:
                    compare.threshold = values[i]
                    compare.mask = RANDOMNESS
                    compare.flip = 0
                compare.marked = self.compare[i].marked
                self.compare[i] = compare

    @property
    def ot_members(self):
        with cython.critical_section(self):
            return self.members

    @ot_members.setter
    def ot_members(self, values):
        values = layout.check_ot_members(values)
        with cython.critical_section(self):
            self.members = values
            for i in range(5):
                self.compare[i].marked = values[i] is not None

    @property
    def detail(self):
        return self.level

    @detail.setter
    def detail(self, value):
        self.level = layout.check_detail(value)

    @property
    def decide(self):
        with cython.critical_section(self):
            return self.decide_hook

    @decide.setter
    def decide(self, value):
        with cython.critical_section(self):
            self.decide_hook = value

    @property
    def on_expire(self):
        with cython.critical_section(self):
            return self.expire_hook

    @on_expire.setter
    def on_expire(self, value):
        with cython.critical_section(self):
            self.expire_hook = value

    @property
    def expires_ns(self):
        return ft_load_seq_cst(&self.expires_at)

    @expires_ns.setter
    def expires_ns(self, value):
        ft_store_seq_cst(&self.expires_at, value)

    @property
    def tail_rules(self):
        return () if self.tail is None else self.tail.rules

    @tail_rules.setter
    def tail_rules(self, rules):
        self.tail = TailRules(rules)

    @property
    def span_type(self):
        with cython.critical_section(self):
            return self.span_class

    @span_type.setter
    def span_type(self, value):
        if value is not None and not (isinstance(value, type) and issubclass(value, Span)):
            raise TypeError(f"span_type={value!r}: a subclass of {Span.__name__}, or None")
        if value is not None:
            ft_inherit_vectorcall(value, Span)
        with cython.critical_section(self):
            self.span_class = value

    @property
    def processor(self):
        with cython.critical_section(self):
            return self.processing

    @processor.setter
    def processor(self, value):
        with cython.critical_section(self):
            _before = self.processing
            self.processing = value

    @property
    def observe(self):
        return self.observing

    @observe.setter
    def observe(self, value):
        cdef uint32_t i
        for i in range(self.ring.shard_count):
            if self.accounts[i].window == NULL:
                self.accounts[i].window = <Window *> calloc(1, sizeof(Window))
                if self.accounts[i].window == NULL:
                    raise MemoryError()
        self.observing = bool(value)

    def window(self):
        """The local roots that have ended since ``observe`` was set: ``requests``, ``errors``, and ``durations``.

        ``durations`` are counts by ``layout.duration_bucket``. The numbers only grow, but in a forked child.
        """
        cdef Window total
        cdef Window *window
        cdef uint32_t i, bucket
        memset(&total, 0, sizeof(Window))
        if self.generation != PROCESS.generation:
            after_fork(self)
        for i in range(self.ring.shard_count):
            window = self.accounts[i].window
            if window == NULL:
                continue
            ft_lock(&self.ring.shards[i].mutex)
            total.requests += window.requests
            total.errors += window.errors
            for bucket in range(FT_DURATION_BUCKETS):
                total.durations[bucket] += window.durations[bucket]
            ft_unlock(&self.ring.shards[i].mutex)
        durations = tuple([total.durations[bucket] for bucket in range(FT_DURATION_BUCKETS)])
        return {"requests": total.requests, "errors": total.errors, "durations": durations}

    def __dealloc__(self):
        cdef int i
        for i in range(FT_SHARDS):
            ft_buffer_free(&self.accounts[i].scratch)
            free(self.accounts[i].window)

    @property
    def consumer_running(self):
        return self.generation == PROCESS.generation and ft_load_seq_cst(&self.running) != 0

    @consumer_running.setter
    def consumer_running(self, value):
        if self.generation != PROCESS.generation:
            after_fork(self)
        # Whoever sets it to false looks at the depth afterwards, whoever pushes looks at it after having raised the
        # depth: in one order that all see, so one of them sees the other.
        ft_store_seq_cst(&self.running, 1 if value else 0)

    def pin(self):
        """This recorder and the tracers bound to it from now on live as long as the process.

        Without a GIL nobody counts references to them any more, over which threads would meet at every span. With one
        nothing is gained, and they can still be collected.
        """
        self.pinned = True
        ft_count_no_more(self)
        ft_count_no_more(self.ring)

    def add_scope(self, scope):
        """The index of a scope, adding it if it is new."""
        with cython.critical_section(self):
            for index, known in enumerate(self.scopes):
                if known == scope:
                    return index
            self.scopes.append(scope)
            return len(self.scopes) - 1

    def counters(self):
        """``started, active, abandoned, sampled_out, sampler_errors`` and ``dropped_*`` for the core's reasons.

        Besides: ``timed``, the spans whose own cost was measured, one in ``layout.TIMED_EVERY``, and ``timed_ns``, the
        CPU time of their threads that their start and their end took. ``detail_spans`` of those that were sampled out,
        and ``detail_attributes``, were left out by ``detail``.
        """
        cdef Account total
        cdef Account *account
        cdef uint32_t i, reason
        memset(&total, 0, sizeof(Account))
        if self.generation != PROCESS.generation:
            after_fork(self)
        for i in range(self.ring.shard_count):
            account = &self.accounts[i]
            ft_lock(&self.ring.shards[i].mutex)
            total.started += account.started
            total.active += account.active
            total.abandoned += account.abandoned
            total.sampled_out += account.sampled_out
            total.detail_spans += account.detail_spans
            total.detail_attributes += account.detail_attributes
            total.sampler_errors += account.sampler_errors
            total.timed += account.timed
            total.timed_ns += account.timed_ns
            for reason in range(6):
                total.dropped[reason] += account.dropped[reason]
            ft_unlock(&self.ring.shards[i].mutex)
        return {
            "started": total.started,
            "active": total.active,
            "abandoned": total.abandoned,
            "sampled_out": total.sampled_out,
            "sampler_errors": total.sampler_errors,
            "detail_spans": total.detail_spans,
            "detail_attributes": total.detail_attributes,
            "timed": total.timed,
            "timed_ns": total.timed_ns,
            "dropped_queue_full": total.dropped[DROPPED_QUEUE_FULL],
            "dropped_too_large": total.dropped[DROPPED_TOO_LARGE],
            "dropped_encode_error": total.dropped[DROPPED_ENCODE_ERROR],
            "dropped_after_shutdown": total.dropped[DROPPED_AFTER_SHUTDOWN],
            "dropped_forked": total.dropped[DROPPED_FORKED],
        }

    def active_spans(self):
        """The recording spans that have started and not ended, oldest first."""
        cdef list spans = []
        cdef uint32_t i
        if self.generation != PROCESS.generation:
            after_fork(self)
        for i in range(self.ring.shard_count):
            spans.extend(active_in_shard(self, i))
        if not FT_HAS_GIL:
            spans.sort(key=lambda span: span.start_time_ns)
        return spans


cdef list active_in_shard(Recorder recorder, uint32_t shard):
    cdef ft_mutex *mutex = &recorder.ring.shards[shard].mutex
    cdef Account *account = &recorder.accounts[shard]
    cdef ft_link *link
    cdef PyObject **found
    cdef int64_t room, count = 0, i
    ft_lock(mutex)
    room = account.active
    ft_unlock(mutex)
    # Memory is got outside of the mutex, where others may start spans: those are too young to matter.
    found = <PyObject **> malloc((room + 1) * sizeof(PyObject *))
    if found == NULL:
        raise MemoryError()
    ft_lock(mutex)
    link = account.active_spans.next
    while link != &account.active_spans and count < room:
        found[count] = span_of(link)
        if ft_try_incref(found[count]):
            count += 1
        link = link.next
    ft_unlock(mutex)
    try:
        return [<object> found[i] for i in range(count)]
    finally:
        for i in range(count):
            Py_DECREF(<object> found[i])
        free(found)


cdef int after_fork(Recorder recorder) except -1:
    """A forked child starts from nothing; the spans in flight and in the queue are the parent's."""
    cdef uint32_t i, generation = PROCESS.generation
    cdef Account *account
    cdef ft_buffer scratch
    cdef Window *window
    if not ft_is_first(&recorder.reset_in, generation):
        # Another thread is at it; only without a GIL can it be seen before it is done.
        while not FT_HAS_GIL and recorder.generation != generation:
            with nogil:
                ft_wait_a_moment()
        return 0
    if FT_HAS_GIL:
        recorder.generation = generation
    recorder.running = 0
    for i in range(recorder.ring.shard_count):
        account = &recorder.accounts[i]
        # Without a GIL another thread of the parent may have been at the scratch: it is left behind.
        scratch = account.scratch
        window = account.window
        memset(account, 0, sizeof(Account))
        if FT_HAS_GIL:
            account.scratch = scratch
        account.window = window
        if window != NULL:
            memset(window, 0, sizeof(Window))
        ft_links_init(&account.active_spans)
    recorder.ring.reset_after_fork()
    recorder.generation = generation
    return 0


# Where a span's link is, from the beginning of the object; set below.
cdef Py_ssize_t link_offset = 0


cdef inline PyObject *span_of(ft_link *link) noexcept:
    return <PyObject *> (<char *> link - link_offset)


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
    return spent(span.tracer.recorder, since, begun) if since else 0


cdef int spent(Recorder recorder, int64_t since, bint begun) except -1:
    cdef int64_t now = ft_clock_thread_ns()
    cdef int64_t taken = now - since
    cdef uint32_t shard
    if begun:
        # What looking at the clock takes, each time, is no part of what a start and an end take.
        # The last look may have met a pause that the others did not.
        taken = max(taken - 2 * (ft_clock_thread_ns() - now), 0)
    if recorder is not None:
        shard = ft_own_shard(recorder.ring.shard_count)
        ft_lock(&recorder.ring.shards[shard].mutex)
        recorder.accounts[shard].timed += begun
        recorder.accounts[shard].timed_ns += taken
        ft_unlock(&recorder.ring.shards[shard].mutex)
    return 0


cdef inline bint is_timed(Recorder recorder) noexcept:
    """Whether the span that is being made is one of those that are timed."""
    cdef Account *account = &recorder.accounts[ft_own_shard(recorder.ring.shard_count)]
    return ft_is_every(&account.spans_made, TIMED_FIRST, TIMED_EVERY)


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
    if span.attributes_capacity:
        clear_attributes(span)
    if span.events.data != NULL:
        give_back(&span.events)
    if span.links.data != NULL:
        ft_buffer_free(&span.links)
    span.trace_high = span.trace_low = span.span_number = 0
    span.wall_offset_ns = 0
    span.flags = span.decision = 0
    span.remote = False
    # One by one: GCC makes of a memset here what takes thirty cycles to begin.
    span.attributes_dropped = span.events_count = span.events_dropped = span.links_count = span.links_dropped = 0
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


cdef object text_of(object value):
    """The text of a name that is not an exact str; "" when it has none."""
    try:
        return str.__str__(value) if isinstance(value, str) else str.__str__(str(value))
    except Exception:
        return ""


cdef uint8_t number_of(object value, int largest) except? 255:
    """The number of an enumeration member of ours or of OpenTelemetry's; 0 for what is none."""
    # Where enum keeps it: ``value`` would run Python code.
    number = getattr(value, "_value_", value)
    if isinstance(number, int) and 0 <= number <= largest:
        return number
    return 0


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
        if recorder.id_generator is None:
            span.trace_high = ft_rng_next(&generator.rng)
            span.trace_low = ft_rng_next_nonzero(&generator.rng)
            span.flags = TRACE_RANDOM
        else:
            foreign_trace_id(recorder, span)
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
    if recorder.id_generator is None:
        span.span_number = ft_rng_next_nonzero(&generator.rng)
    else:
        foreign_span_id(recorder, span)
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
    with cython.critical_section(recorder):
        compare = recorder.compare[rule]
        member = recorder.members[rule]
    if compare.flip:
        return ((span.trace_low ^ compare.flip) & compare.mask) >= compare.threshold
    if compare.threshold == ASK:
        decision, attributes = ask(recorder, span, rule, parent)
        sampled = decision == layout.DECISION_RECORD_AND_SAMPLE
        only_record[0] = decision == layout.DECISION_RECORD_ONLY
        if attributes is not None and (sampled or only_record[0] or recorder.record_unsampled):
            Py_INCREF(attributes)
            added[0] = <PyObject *> attributes
        return sampled
    sampled = (span.trace_low & RANDOMNESS) >= compare.threshold
    if span.header is not None and 0 < compare.threshold < NEVER and "rv:" in <str> span.header:
        value = randomness(span.header)
        if value is not None:
            sampled = <uint64_t> value >= compare.threshold
    if member is not None:
        # The tracestate says with which threshold a trace was sampled; one that was not has none.
        if span.header is not None:
            span.header = with_threshold(span.header, (member or None) if sampled else None)
        elif sampled and member:
            span.header = "ot=" + <str> member
    return sampled


cdef int expire(Recorder recorder) except -1:
    """The time of a boost is over: whoever set it sets the thresholds again."""
    if ft_is_first(&recorder.expires_at, 0):
        try:
            recorder.on_expire()
        except Exception:
            pass  # a sampler's troubles are logged where they arise; the application must not see them here
    return 0


cdef tuple ask(Recorder recorder, Span span, int rule, Node parent):
    """What a sampler that is not a compare decides, and the attributes that it adds."""
    cdef ft_mutex *mutex
    trace_id = trace_id_of(span.trace_high, span.trace_low)
    links = None if span.start_rest is None else span.start_rest[0]
    try:
        decision, attributes, header = recorder.decide(
            rule, parent, trace_id, span.text, KINDS[span.kind_number], span.start_attributes, links
        )
        if header is not None:
            span.header = str(header) or None
        return number_of(decision, 2), attributes
    except Exception:
        mutex = &recorder.ring.shards[span.shard].mutex
        ft_lock(mutex)
        recorder.accounts[span.shard].sampler_errors += 1
        ft_unlock(mutex)
        return layout.DECISION_RECORD_AND_SAMPLE if rule in (0, 1, 3) else layout.DECISION_DROP, None


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


cdef int foreign_trace_id(Recorder recorder, Span span) except -1:
    """A trace id from the user's generator, or from ours where that fails."""
    try:
        split_trace_id(recorder.id_generator.generate_trace_id(), &span.trace_high, &span.trace_low)
        is_random = getattr(recorder.id_generator, "is_trace_id_random", None)
        if is_random is not None and is_random():
            span.flags = TRACE_RANDOM
    except Exception:
        pass
    if (span.trace_high | span.trace_low) == 0:
        span.trace_high = ft_rng_next(&ft_own_generator(PROCESS).rng)
        span.trace_low = ft_rng_next_nonzero(&ft_own_generator(PROCESS).rng)
        span.flags = TRACE_RANDOM
    return 0


cdef int foreign_span_id(Recorder recorder, Span span) except -1:
    cdef uint64_t high = 0
    try:
        split_trace_id(recorder.id_generator.generate_span_id(), &high, &span.span_number)
    except Exception:
        pass
    if high or span.span_number == 0:
        span.span_number = ft_rng_next_nonzero(&ft_own_generator(PROCESS).rng)
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
        span.links_dropped += 1
    return 0


# --- attributes


cdef int set_one(Span span, object key, object value) except -1:
    """Set one attribute of a span that was recording a moment ago."""
    cdef Recorder recorder = recorder_of(span)
    if recorder is None:
        return 0
    if type(key) is not str:
        if not isinstance(key, str):
            span.attributes_dropped += 1
            return 0
        key = str.__str__(key)
    if PyUnicode_GET_LENGTH(key) == 0:
        span.attributes_dropped += 1
        return 0
    if recorder.max_attribute_length >= 0 or not ft_is_plain(<PyObject *> value):
        try:
            value = normal_value(value, recorder.max_attribute_length)
        except Exception:
            span.attributes_dropped += 1
            return 0
    with cython.critical_section(span):
        if span.state == RECORDING:
            store(span, recorder.max_attributes, <PyObject *> key, <PyObject *> value)
    return 0


cdef inline int store(Span span, int64_t max_attributes, PyObject *key, PyObject *value) except -1:
    """A key seen before is replaced in place. The list is short and keys mostly the same objects: a search is quick."""
    cdef uint32_t i, count = span.attributes_count
    cdef uint32_t *slot = NULL
    cdef PyObject *old
    cdef PyObject **at = span.attributes_at
    if span.attributes_capacity > SEARCHED_ATTRIBUTES:
        slot = slot_of(span, <object> key)
        i = slot[0] - 1 if slot[0] else count
    else:
        i = 0
        while i < count and at[2 * i] != key and not ft_text_equal(<object> key, <object> at[2 * i]):
            i += 1
    if i < count:
        old = at[2 * i + 1]
        Py_INCREF(<object> value)
        at[2 * i + 1] = value
        Py_DECREF(<object> old)
        return 0
    if max_attributes >= 0 and count >= max_attributes:
        span.attributes_dropped += 1
        return 0
    if count == span.attributes_capacity:
        grow_attributes(span)
        at = span.attributes_at
        if span.attributes_capacity > SEARCHED_ATTRIBUTES:
            slot = slot_of(span, <object> key)
    Py_INCREF(<object> key)
    Py_INCREF(<object> value)
    at[2 * count] = key
    at[2 * count + 1] = value
    span.attributes_count = count + 1
    if slot != NULL:
        slot[0] = span.attributes_count
    return 0


cdef uint32_t *slot_of(Span span, object key) except NULL:
    """Where the number of a key's attribute, from 1 on, is or belongs; 0 stands there while there is none.

    Behind the pairs there are twice as many slots as pairs have room, so some are always free.
    """
    cdef PyObject **at = span.attributes_at
    cdef uint32_t *slots = <uint32_t *> (at + 2 * span.attributes_capacity)
    cdef uint32_t mask = 2 * span.attributes_capacity - 1
    cdef uint32_t place = <uint32_t> PyObject_Hash(key) & mask
    while slots[place] and not ft_text_equal(key, <object> at[2 * (slots[place] - 1)]):
        place = (place + 1) & mask
    return &slots[place]


cdef inline Recorder recorder_of(Span span):
    """The recorder of a span that records, else None."""
    cdef Recorder recorder
    with cython.critical_section(span):
        recorder = span.recorder
    return recorder


cdef int grow_attributes(Span span) except -1:
    cdef uint32_t capacity = INLINE_ATTRIBUTES if span.attributes_capacity == 0 else 2 * span.attributes_capacity
    cdef uint32_t i
    cdef size_t slots
    cdef PyObject **larger
    if span.attributes_capacity == 0:
        span.attributes_at = span.inline_attributes
        span.attributes_capacity = capacity
        return 0
    slots = 2 * capacity if capacity > SEARCHED_ATTRIBUTES else 0
    larger = <PyObject **> malloc(2 * capacity * sizeof(PyObject *) + slots * sizeof(uint32_t))
    if larger == NULL:
        raise MemoryError()
    memcpy(larger, span.attributes_at, 2 * span.attributes_count * sizeof(PyObject *))
    if span.attributes_at != span.inline_attributes:
        free(span.attributes_at)
    span.attributes_at = larger
    span.attributes_capacity = capacity
    if slots:
        memset(larger + 2 * capacity, 0, slots * sizeof(uint32_t))
        for i in range(span.attributes_count):
            slot_of(span, <object> larger[2 * i])[0] = i + 1
    return 0


cdef void clear_attributes(Span span) noexcept:
    # The values are exact built-ins, so giving them up runs no code of the user's.
    cdef uint32_t i, count = span.attributes_count
    span.attributes_count = 0
    for i in range(2 * count):
        Py_DECREF(<object> span.attributes_at[i])
    if span.attributes_at != span.inline_attributes:
        free(span.attributes_at)
    span.attributes_at = NULL
    span.attributes_capacity = 0


cdef int set_many(Span span, object attributes) except -1:
    try:
        if FT_HAS_GIL and type(attributes) is dict:
            for key, value in (<dict> attributes).items():
                set_one(span, key, value)
        else:
            for key, value in list(attributes.items()):
                set_one(span, key, value)
    except Exception:
        span.attributes_dropped += 1
    return 0


# --- events and links: encoded when they are added


cdef int append_event(Span span, object name, object attributes, int64_t time_ns) except -1:
    cdef Recorder recorder = recorder_of(span)
    cdef ft_buffer own
    cdef ft_buffer *part
    global part_is_lent
    if recorder is None:
        return 0
    if recorder.max_events >= 0 and span.events_count >= recorder.max_events:
        span.events_dropped += 1
        return 0
    ft_buffer_init(&own)
    cdef bint lent = not part_is_lent
    part = &PART if lent else &own
    if lent:
        part_is_lent = True
    part.length = 0
    try:
        write_event(part, recorder, name, attributes, time_ns)
        with cython.critical_section(span):
            if span.state == RECORDING:
                if span.events.data == NULL:
                    take_spare(&span.events)
                append_field(&span.events, 0x5A, part)
                span.events_count += 1
    finally:
        if lent:
            part_is_lent = False
            trim(part)
        else:
            ft_buffer_free(part)
    return 0


# --- exceptions: the event of one that comes again is copied, see places.h

cdef dict MODULE = vars(exceptions)
cdef dict SYSTEM = vars(sys)
cdef str CLEANER = "_clean"
cdef str NOTES = "__notes__"
cdef str LIMIT = "tracebacklimit"
cdef str EXCEPTION = "exception"
cdef str ADD_EVENT = "add_event"

# Guards the table of places and what was written last; lost by a fork that came while somebody held it.
cdef ft_mutex places_mutex
cdef uint32_t places_generation = PROCESS.generation
cdef int64_t places_reset_in = PROCESS.generation
# Whether exceptions.py has written the last one.
cdef bint written_there = False


cdef bint places_are_ours() noexcept:
    """Whether a fork has left the table whole; if not, it begins anew."""
    global places_generation
    if FT_HAS_GIL or places_generation == PROCESS.generation:
        return True
    if not ft_is_first(&places_reset_in, PROCESS.generation):
        return False
    memset(&places_mutex, 0, sizeof(places_mutex))
    ft_forget_places()
    places_generation = PROCESS.generation
    return True


cdef bint read_clue(Recorder recorder, object exception, bint escaped, ft_clue *clue) except -1:
    """Whether type, message and traceback are all that there is to say of an exception; the clue has to be dropped."""
    cdef bint is_plain
    if not places_are_ours() or LIMIT in SYSTEM:
        return False
    with cython.critical_section(exception):
        is_plain = ft_read_clue(<PyObject *> exception, NOTES, clue)
    if not is_plain:
        return False
    clue.cleaner = ft_dict_get(MODULE, CLEANER)
    clue.max_count = recorder.max_event_attributes
    clue.max_length = recorder.max_member_length
    clue.escaped = escaped
    return True


cdef int write_there_no_more() except -1:
    """What exceptions.py has written last is not the last any more."""
    global written_there
    if written_there:
        written_there = False
        exceptions.forget_last()
    return 0


cdef object append_exception(Span span, object exception, bint escaped, object timestamp):
    """Add the event of an exception. Its description, or None for one that is not plain."""
    cdef Recorder recorder = recorder_of(span)
    cdef ft_clue clue
    if recorder is None:
        return None
    if read_clue(recorder, exception, escaped, &clue):
        try:
            description = append_known(span, recorder, &clue, timestamp)
            if description is None:
                description = append_new(span, recorder, exception, &clue, timestamp)
        finally:
            ft_drop_clue(&clue)
        if description is not None:
            return description
    members = exception_attributes(exception, escaped)
    append_event(span, EXCEPTION, members, time_of(span, timestamp))
    return None


cdef inline int64_t time_of(Span span, object timestamp) except? -1:
    if type(timestamp) is int and 0 <= timestamp < 2**63:
        return timestamp
    return ft_clock_monotonic_ns() + span.wall_offset_ns


cdef object append_known(Span span, Recorder recorder, ft_clue *clue, object timestamp):
    """Copy what was written last from this place; None when that is not what is to be written now."""
    cdef ft_place *place
    cdef int64_t time_ns = time_of(span, timestamp)
    cdef bint full = False
    description = None
    with cython.critical_section(span):
        ft_lock(&places_mutex)
        place = ft_find_place(clue)
        if place != NULL and ft_is_written(place, clue):
            ft_note_last(clue, place)
            description = <object> place.description
            if span.state == RECORDING:
                full = not copy_event(span, recorder, place.event, place.event_size, time_ns)
        ft_unlock(&places_mutex)
    if full:
        raise MemoryError()
    if description is not None:
        write_there_no_more()
    return description


cdef bint copy_event(Span span, Recorder recorder, const uint8_t *body, size_t size, int64_t time_ns) noexcept:
    """One more event, whose body begins with the time; false without memory."""
    cdef uint8_t *at
    if recorder.max_events >= 0 and span.events_count >= recorder.max_events:
        span.events_dropped += 1
        return True
    if span.events.data == NULL:
        take_spare(&span.events)
    if ft_buffer_reserve(&span.events, size + 11):
        return False
    at = span.events.data + span.events.length
    at[0] = 0x5A
    at = ft_write_varint(at + 1, size)
    memcpy(at, body, size)
    ft_write_little_u64(at + 1, <uint64_t> time_ns)
    span.events.length = at + size - span.events.data
    span.events_count += 1
    return True


cdef object append_new(Span span, Recorder recorder, object exception, ft_clue *clue, object timestamp):
    """Write an exception, and remember it; its description, or None when it is not plain or too large for that."""
    cdef ft_buffer part
    cdef tuple found
    cdef bint full = False
    cdef int64_t time_ns
    ft_buffer_init(&part)
    try:
        found = learn(recorder, exception, clue, &part)
        if found is None:
            return None
        time_ns = time_of(span, timestamp)
        with cython.critical_section(span):
            if span.state == RECORDING:
                full = not copy_event(span, recorder, part.data, part.length, time_ns)
        if full:
            raise MemoryError()
        return found[1]
    finally:
        ft_buffer_free(&part)


cdef tuple learn(Recorder recorder, object exception, ft_clue *clue, ft_buffer *part):
    """Write the event of an exception and put its place into the table: its attributes and description, or None."""
    cdef ft_place *place
    cdef ft_place *gone[FT_PLACES + 1]
    cdef uint32_t i = 0
    if ft_count_steps(clue.traceback) > FT_MOST_STEPS + clue.skipped:
        return None
    texts = texts_of(clue, False)
    if texts is None:
        try:
            traceback = None if clue.traceback == NULL else <object> clue.traceback
            texts = exceptions.texts_of_place(type(exception), traceback)
        except Exception:
            return None
        if texts is None:
            return None
    members, description = composed(clue, texts)
    write_event(part, recorder, EXCEPTION, members, 0)
    place = ft_new_place(clue, texts, description, part.data, part.length)
    if place == NULL:
        return None
    write_there_no_more()
    ft_lock(&places_mutex)
    ft_put_place(clue, place, gone)
    ft_unlock(&places_mutex)
    while gone[i] != NULL:
        ft_place_free(gone[i])
        i += 1
    return members, description


cdef object texts_of(ft_clue *clue, bint written):
    """What is known of the place of an exception, or None; ``written``: only if that is what was written there last."""
    cdef ft_place *place
    texts = None
    ft_lock(&places_mutex)
    place = ft_find_place(clue)
    if place != NULL and (not written or ft_is_written(place, clue)):
        texts = <object> place.texts
        if written:
            ft_note_last(clue, place)
    ft_unlock(&places_mutex)
    return texts


cdef object cleaned(object cleaner, str text, str otherwise):
    """``exceptions.cleaned``."""
    return text if cleaner is None else exceptions.cleaned(cleaner, text, otherwise)


cdef tuple composed(ft_clue *clue, object texts):
    """The attributes of an exception's event, and its description."""
    cleaner, said = <object> clue.cleaner, <object> clue.said
    kind, lines, shown, name = texts
    stack = f"{lines}{shown}: {said}\n" if said else f"{lines}{shown}\n"
    members = {
        "exception.type": kind,
        "exception.message": cleaned(cleaner, said, ""),
        "exception.stacktrace": cleaned(cleaner, stack, ""),
        "exception.escaped": "True" if clue.escaped else "False",
    }
    return members, text_of(cleaned(cleaner, f"{name}: {said}", name))


cdef dict members_of(Recorder recorder, object exception, bint escaped):
    """The attributes of an exception's event, for a caller that has some to add."""
    cdef ft_clue clue
    cdef ft_buffer part
    cdef tuple found = None
    if recorder is not None and read_clue(recorder, exception, escaped, &clue):
        ft_buffer_init(&part)
        try:
            texts = texts_of(&clue, True)
            if texts is None:
                found = learn(recorder, exception, &clue, &part)
            else:
                write_there_no_more()
                found = composed(&clue, texts)
        finally:
            ft_buffer_free(&part)
            ft_drop_clue(&clue)
    return exception_attributes(exception, escaped) if found is None else found[0]


cdef object description_of(Span span, object exception, bint escaped):
    """The description of an exception, for a status."""
    cdef Recorder recorder = recorder_of(span)
    cdef ft_place *place
    cdef ft_clue clue
    description = None
    if recorder is not None and read_clue(recorder, exception, escaped, &clue):
        ft_lock(&places_mutex)
        place = ft_find_place(&clue)
        if place != NULL and ft_is_written(place, &clue):
            description = <object> place.description
        ft_unlock(&places_mutex)
        ft_drop_clue(&clue)
    return exceptions.exception_description(exception) if description is None else description


cdef int append_plain_event(Span span, object name) except -1:
    """An event of a name, now: written where it stays. For a caller that has the GIL."""
    cdef ft_buffer *buffer = &span.events
    cdef uint8_t *at
    cdef size_t size, body = 9
    if (<Recorder> <PyObject *> span.recorder).max_events >= 0:
        if span.events_count >= (<Recorder> <PyObject *> span.recorder).max_events:
            span.events_dropped += 1
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
    at = ft_write_little_u64(at + 1, <uint64_t> (ft_clock_monotonic_ns() + span.wall_offset_ns))
    if size:
        at[0] = 0x12
        at = ft_write_utf8(ft_write_varint(at + 1, size), name)
    buffer.length = at - buffer.data
    span.events_count += 1
    return 0


# Small buffers wait here for the next span that has events. With a GIL only.
cdef ft_buffer SPARE[LARGEST_POOL]
cdef uint32_t spare = 0


cdef inline void take_spare(ft_buffer *buffer) noexcept:
    global spare
    if spare:
        spare -= 1
        buffer.data = SPARE[spare].data
        buffer.capacity = SPARE[spare].capacity


cdef inline void give_back(ft_buffer *buffer) noexcept:
    """The opposite of ``take_spare``; the buffer is empty afterwards."""
    global spare
    if FT_HAS_GIL and buffer.capacity <= LARGEST_SPARE and spare < LARGEST_POOL:
        SPARE[spare].data = buffer.data
        SPARE[spare].capacity = buffer.capacity
        spare += 1
        buffer.data = NULL
        buffer.length = buffer.capacity = 0
    else:
        ft_buffer_free(buffer)


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


cdef int append_field(ft_buffer *buffer, uint8_t tag, ft_buffer *body) except -1:
    reserve(buffer, body.length + 11)
    cdef uint8_t *at = buffer.data + buffer.length
    at[0] = tag
    at = ft_write_varint(at + 1, body.length)
    memcpy(at, body.data, body.length)
    buffer.length = at + body.length - buffer.data
    return 0


cdef void trim(ft_buffer *buffer) noexcept:
    buffer.length = 0
    if buffer.capacity > LARGEST_KEPT_SCRATCH:
        ft_buffer_free(buffer)


cdef int add_one_link(Span span, object context, object attributes) except -1:
    cdef Recorder recorder = recorder_of(span)
    cdef ft_buffer part
    cdef Node node = as_node(context)
    if node is None or recorder is None:
        return 0
    if ((node.trace_high | node.trace_low) == 0 or node.span_number == 0) and not attributes and node.header is None:
        return 0
    if recorder.max_links >= 0 and span.links_count >= recorder.max_links:
        span.links_dropped += 1
        return 0
    ft_buffer_init(&part)
    try:
        write_link(&part, recorder, node, attributes)
        with cython.critical_section(span):
            if span.state == RECORDING:
                append_field(&span.links, 0x6A, &part)
                span.links_count += 1
    finally:
        ft_buffer_free(&part)
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


# --- the end


cdef int encode(Span span, Recorder recorder, ft_buffer *buffer, int64_t end_ns) except -1:
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
    pair = span.attributes_at
    for _i in range(span.attributes_count):
        if bare and not ft_text_equal(<object> pair[0], HTTP_STATUS_CODE) and not ft_text_equal(
            <object> pair[0], HTTP_ROUTE
        ):
            left_out += 1
        elif ft_write_short_attribute(buffer, 0x4A, pair[0], pair[1]) != 1:
            write_attribute(buffer, 0x4A, <object> pair[0], <object> pair[1])
        if type(<object> pair[1]) is int and ft_text_equal(<object> pair[0], HTTP_STATUS_CODE):
            if 500 <= <int64_t> <object> pair[1] < 600:
                flags |= FLAG_HTTP_5XX
        if tail is not None:
            if tail.attribute_count:
                bits |= tail.attribute_bits(<object> pair[0], <object> pair[1])
            if type(<object> pair[1]) is str and ft_text_equal(<object> pair[0], HTTP_ROUTE):
                # Its text is the last that was written.
                route_size = ft_utf8_size(<object> pair[1])
                route_at = buffer.length - route_size
        pair += 2
    if span.detail:
        write_attribute(buffer, 0x4A, DETAIL_KEY, DETAILS[span.detail])
    if span.attributes_dropped or left_out:
        write_count(buffer, 0x50, span.attributes_dropped + left_out)
    if span.events.length:
        reserve(buffer, span.events.length)
        memcpy(buffer.data + buffer.length, span.events.data, span.events.length)
        buffer.length += span.events.length
    if span.events_dropped:
        write_count(buffer, 0x60, span.events_dropped)
    if span.links.length:
        reserve(buffer, span.links.length)
        memcpy(buffer.data + buffer.length, span.links.data, span.links.length)
        buffer.length += span.links.length
    if span.links_dropped:
        write_count(buffer, 0x70, span.links_dropped)
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


cdef uint32_t judge(Span span, TailRules tail, uint8_t flags, int64_t end_ns) noexcept:
    """The bits of the rules that this span meets, but for those about attributes."""
    cdef uint32_t bits = tail.duration_bits(end_ns - span.start_ns) if tail.latency_count else 0
    if flags & FLAG_ERROR:
        bits |= tail.error_mask
    if flags & FLAG_HTTP_5XX:
        bits |= tail.http_5xx_mask
    if span.options & RAISED:
        bits |= tail.exception_mask
    return bits


cdef uint32_t hash_of(const uint8_t *text, size_t size) noexcept:
    """FNV-1a: a route's number."""
    cdef uint32_t value = 0x811C9DC5
    cdef size_t i
    for i in range(size):
        value = (value ^ text[i]) * <uint32_t> 0x01000193
    return value


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


cdef int write_status(ft_buffer *buffer, Span span) except -1:
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


cdef void observed(Window *window, int64_t nanoseconds, bint failed) noexcept:
    """One more local root; the caller holds the shard's mutex."""
    window.requests += 1
    window.errors += failed
    window.durations[ft_duration_bucket(<uint64_t> nanoseconds)] += 1


cdef int write_record(Span span, Recorder recorder, ft_shard *shard, ft_buffer *scratch, int64_t end_ns) noexcept:
    """Encoded where it stays, while the ring has room in one piece; else elsewhere, and copied. What became of it."""
    cdef ft_buffer place
    cdef int answer
    if shard.ring.data != NULL:
        place.lent = True
        place.capacity = ft_ring_room(&shard.ring, &place.data)
        if place.capacity > LIKELY_BYTES + span.events.length + span.links.length:
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


cdef int announce(Recorder recorder) except -1:
    try:
        recorder.on_first_record()
    except Exception:
        pass  # the pipeline reports its own troubles; the application must not see them here
    return 0


cdef void release(Span span) noexcept:
    """What an ended span lets go of: copied contexts may keep it for long."""
    if span.attributes_count or span.attributes_capacity:
        clear_attributes(span)
    if span.events.data != NULL:
        give_back(&span.events)
    if span.links.data != NULL:
        ft_buffer_free(&span.links)
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
        if self.attributes_capacity:
            clear_attributes(self)
        ft_buffer_free(&self.events)
        ft_buffer_free(&self.links)

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
            for i in range(self.attributes_count):
                result[<object> self.attributes_at[2 * i]] = <object> self.attributes_at[2 * i + 1]
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
            if self.events.length:
                data += (<char *> self.events.data)[: self.events.length]
            if self.links.length:
                data += (<char *> self.links.data)[: self.links.length]
            return data, self.attributes_dropped, self.events_dropped, self.links_dropped

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
            store(<Span> span, (<Recorder> recorder).max_attributes, key, arguments[1])
        else:
            set_one(<Span> span, <object> key, <object> arguments[1])
    return None


cdef object add_event(PyObject *span, PyObject *const *arguments, Py_ssize_t count, PyObject *names):
    """``Span.add_event`` of a name, now."""
    if count != 1 or names != NULL or not FT_HAS_GIL or type(<object> arguments[0]) is not str:
        return slow_add_event(span, arguments, count, names)
    if (<Span> span).state == RECORDING:
        append_plain_event(<Span> span, <object> arguments[0])
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


cdef dict exception_attributes(object exception, bint escaped):
    """``exceptions.exception_attributes``: what it does each time; what is new is described there."""
    global written_there
    cdef list steps = []
    cdef tuple path, known_path, last
    cdef Py_ssize_t above
    ft_lock(&places_mutex)
    ft_forget_last()
    ft_unlock(&places_mutex)
    written_there = True
    try:
        said = str(exception)
    except Exception:
        said = None
    step = exception.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        steps.append(<size_t> <PyObject *> code)
        steps.append(step.tb_lasti)
        step = step.tb_next
    path = tuple(steps)
    try:
        notes = getattr(exception, "__notes__", None)
        if isinstance(notes, list):
            notes = tuple(notes)
        past = None
        if (
            exception.__cause__ is not None
            or exception.__context__ is not None
            or isinstance(exception, BaseExceptionGroup)
        ):
            past = exceptions.past_of(exception)
        identity = (<size_t> <PyObject *> exception, type(exception), said, notes, past)
        last = exceptions._last
        known_path = last[1]
        above = len(path) - len(known_path)
        if above >= 0 and last[0] == identity and (path if above == 0 else path[above:]) == known_path:
            kind, message, stack = last[3], last[4], last[5]
        else:
            kind, message, stack = exceptions.describe(exception, said, path, identity)
    except Exception:
        kind, message, stack = exceptions.describe(exception, said, path, None)
    return {
        "exception.type": kind,
        "exception.message": message,
        "exception.stacktrace": stack,
        "exception.escaped": "True" if escaped else "False",
    }


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
                description = description_of(span, exception, escaped)
            if own:
                fail(span, description if type(description) is str else text_of(description))
            else:
                span.set_status(CODES[STATUS_ERROR], description)
    except Exception:
        span.events_dropped += 1
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
link_offset = <char *> &INVALID.link - <char *> <PyObject *> INVALID
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
