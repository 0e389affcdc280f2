# cython: freethreading_compatible=True
"""Recorder: what the spans of a provider share, from its settings to what was counted of them.

Shared between threads, and what guards it:

* counters, the list of active spans, the wall clock's offset and the scratch: the GIL; without one they exist once for
  each shard, under the mutex of the ring's shard (``shards.h``), held for C code only. Which shard a thread keeps to
  is for module ``span`` to say: each extension would draw another one;
* thresholds, ``closed`` and the like: single words, whose change is seen now or a moment later; what is an object
  among them is read and replaced in a critical section on the recorder, but ``tail_rules``, which are set before the
  first span;
* what is known of the class of spans: written once, while module ``span`` is imported.

Raced by ``stress/race.py`` ("spans", "forks", "tail").
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from fasttrace._core._cython.context cimport TRACE_RANDOM, Node, split_trace_id, trace_id_of
from fasttrace._core._cython.given cimport number_of
from fasttrace._core._cython.ids cimport ft_process, process_state
from fasttrace._core._cython.otlp cimport ft_buffer, ft_buffer_free
from fasttrace._core._cython.ring cimport (
    FT_HAS_GIL,
    Ring,
    ft_is_first,
    ft_load_seq_cst,
    ft_lock,
    ft_mutex,
    ft_store_seq_cst,
    ft_unlock,
)
from fasttrace._core._cython.tail cimport TailRules

from fasttrace._core import layout
from fasttrace._core.tracestate import randomness, with_threshold
from fasttrace._core.types import SpanLimits

__all__ = ["Recorder"]

cdef extern from "calls.h":
    void ft_inherit_vectorcall(object kind, object base)

cdef extern from "shards.h":
    void ft_count_no_more(object shared)
    int ft_try_incref(PyObject *object)
    void ft_wait_a_moment() nogil

cdef extern from "clock.h" nogil:
    int64_t ft_clock_thread_ns()

# The low 56 bits of a trace id, W3C Trace Context level 2, are the randomness that samplers compare.
cdef uint64_t RANDOMNESS = (<uint64_t> 1 << 56) - 1
cdef uint64_t NEVER = <uint64_t> 1 << 56

assert layout.TIMED_EVERY == TIMED_EVERY and layout.TIMED_FIRST == TIMED_FIRST
assert layout.DURATION_BUCKETS == FT_DURATION_BUCKETS

cdef ft_process *PROCESS = process_state()
# The class of spans, and where a span's link is, from the beginning of the object.
cdef object span_base = None
cdef Py_ssize_t link_offset = 0


cdef int know_spans(object kind, Py_ssize_t offset_of_link) except -1:
    global span_base, link_offset
    span_base = kind
    link_offset = offset_of_link
    return 0


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
        if value is not None and not (isinstance(value, type) and issubclass(value, span_base)):
            raise TypeError(f"span_type={value!r}: a subclass of {span_base.__name__}, or None")
        if value is not None:
            ft_inherit_vectorcall(value, span_base)
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
        found[count] = <PyObject *> (<char *> link - link_offset)
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


cdef int spent(Recorder recorder, uint32_t shard, int64_t since, bint begun) except -1:
    cdef int64_t now = ft_clock_thread_ns()
    cdef int64_t taken = now - since
    if recorder is None:
        return 0
    if begun:
        # What looking at the clock takes, each time, is no part of what a start and an end take.
        # The last look may have met a pause that the others did not.
        taken = max(taken - 2 * (ft_clock_thread_ns() - now), 0)
    ft_lock(&recorder.ring.shards[shard].mutex)
    recorder.accounts[shard].timed += begun
    recorder.accounts[shard].timed_ns += taken
    ft_unlock(&recorder.ring.shards[shard].mutex)
    return 0


cdef object rule_of(Recorder recorder, int rule, Compare *compare):
    with cython.critical_section(recorder):
        compare[0] = recorder.compare[rule]
        member = recorder.members[rule]
    return member


cdef bint by_threshold(Node span, const Compare *compare, object member) except -1:
    cdef bint sampled
    if compare.flip:
        return ((span.trace_low ^ compare.flip) & compare.mask) >= compare.threshold
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


cdef tuple ask(
    Recorder recorder,
    uint32_t shard,
    int rule,
    Node parent,
    Node span,
    object name,
    object kind,
    object attributes,
    object links,
):
    cdef ft_mutex *mutex
    trace_id = trace_id_of(span.trace_high, span.trace_low)
    try:
        decision, added, header = recorder.decide(rule, parent, trace_id, name, kind, attributes, links)
        if header is not None:
            span.header = str(header) or None
        return number_of(decision, 2), added
    except Exception:
        mutex = &recorder.ring.shards[shard].mutex
        ft_lock(mutex)
        recorder.accounts[shard].sampler_errors += 1
        ft_unlock(mutex)
        return layout.DECISION_RECORD_AND_SAMPLE if rule in (0, 1, 3) else layout.DECISION_DROP, None


cdef bint foreign_trace_id(Recorder recorder, Node span) except -1:
    try:
        split_trace_id(recorder.id_generator.generate_trace_id(), &span.trace_high, &span.trace_low)
        is_random = getattr(recorder.id_generator, "is_trace_id_random", None)
        if is_random is not None and is_random():
            span.flags = TRACE_RANDOM
    except Exception:
        pass
    return (span.trace_high | span.trace_low) != 0


cdef bint foreign_span_id(Recorder recorder, Node span) except -1:
    cdef uint64_t high = 0
    try:
        split_trace_id(recorder.id_generator.generate_span_id(), &high, &span.span_number)
    except Exception:
        pass
    return high == 0 and span.span_number != 0


cdef int expire(Recorder recorder) except -1:
    """The time of a boost is over: whoever set it sets the thresholds again."""
    if ft_is_first(&recorder.expires_at, 0):
        try:
            recorder.on_expire()
        except Exception:
            pass  # a sampler's troubles are logged where they arise; the application must not see them here
    return 0


cdef int announce(Recorder recorder) except -1:
    try:
        recorder.on_first_record()
    except Exception:
        pass  # the pipeline reports its own troubles; the application must not see them here
    return 0
