"""Span, Tracer and Recorder: from start to one encoded record in the ring."""

from __future__ import annotations

import sys
import time
from _thread import RLock
from weakref import ref

from fasttrace._core._python import ids
from fasttrace._core._python.context import (
    CURRENT,
    DEFERRED,
    IN_FLAGS,
    WITHOUT_IDS,
    Context,
    Node,
    SpanContext,
    as_node,
    detach,
)
from fasttrace._core._python.otlp import (
    attribute,
    attributes_of,
    length_field,
    normal_value,
    text_field,
    utf8,
    varint,
)
from fasttrace._core._python.ring import Ring
from fasttrace._core._python.tail import LocalTrace, TailRules
from fasttrace._core.exceptions import exception_attributes, exception_description
from fasttrace._core.layout import (
    DECISION_DROP,
    DECISION_RECORD_AND_SAMPLE,
    DECISION_RECORD_ONLY,
    DETAIL_BARE,
    DETAIL_FULL,
    DETAIL_KEPT_KEYS,
    DETAIL_KEY,
    DETAILS,
    DURATION_BUCKETS,
    RECORD_FLAG_ERROR,
    RECORD_FLAG_HTTP_5XX,
    RECORD_FLAG_LOCAL_ROOT,
    RECORD_FLAG_REMOTE_PARENT,
    RECORD_FLAG_SAMPLED,
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    RECORD_KIND_SPAN,
    RECORD_MAGIC,
    SPAN_FLAG_HAS_IS_REMOTE,
    SPAN_FLAG_IS_REMOTE,
    THRESHOLD_ASK,
    THRESHOLD_NEVER,
    TIMED_EVERY,
    TIMED_FIRST,
    TRACE_FLAG_RANDOM,
    TRACE_FLAG_SAMPLED,
    check_detail,
    check_ot_members,
    check_thresholds,
    duration_bucket,
)
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
from fasttrace._core.values import INT64_MAX, INT64_MIN

__all__ = ["Recorder", "Span", "Tracer", "current_span"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar

    _Function = TypeVar("_Function", bound=Callable[..., Any])

_NEW, _RECORDING, _ENDED, _NOT_RECORDING = 0, 1, 2, 3
_RANDOMNESS = (1 << 56) - 1
# A wall clock step shows at new local roots after at most this long.
_WALL_OFFSET_AGE_NS = 100_000_000
_KINDS = tuple(SpanKind)
_CODES = tuple(StatusCode)
_UNSET, _OK, _ERROR = 0, 1, 2
_DECISIONS = (DECISION_DROP, DECISION_RECORD_AND_SAMPLE)
_HTTP_STATUS_CODE = "http.response.status_code"
_HTTP_ROUTE = "http.route"
_LOW_64_BITS = (1 << 64) - 1
_LARGEST_TIME_NS = 2**63
# One thread of a forked child makes a recorder the child's own; re-entrant, for a finaliser may end a span inside.
_fork_lock = RLock()


def _text(value: Any) -> str:
    """The text of a name; "" when it has none."""
    if type(value) is str:
        return value
    try:
        return str.__str__(value) if isinstance(value, str) else str.__str__(str(value))
    except Exception:
        return ""


def _number(value: Any, largest: int) -> int:
    """The number of an enumeration member of ours or of OpenTelemetry's; 0 for what is none."""
    # Where enum keeps it: ``value`` would run Python code.
    number = getattr(value, "_value_", value)
    return int(number) if isinstance(number, int) and 0 <= number <= largest else 0


def _time_ns(value: Any) -> int | None:
    """A point in time that a caller gave, if it is one."""
    return value if type(value) is int and 0 <= value < _LARGEST_TIME_NS else None


class Recorder:
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
        ring: Ring,
        *,
        limits: SpanLimits | None = None,
        thresholds: tuple[int, ...] = (0, 0, 0, 0, 0),
        id_generator: Any = None,
        on_first_record: Callable[[], None] | None = None,
        baggage_attributes: Iterable[str] = (),
    ) -> None:
        self.ring = ring
        self.limits: SpanLimits = SpanLimits() if limits is None else limits
        self.scopes: list[InstrumentationScope] = []
        # One object, so that a span that begins while both are replaced never has one of each.
        self._decisions = check_thresholds(thresholds), check_ot_members((None,) * 5)
        self.decide: Callable[..., tuple[Any, Any, Any]] | None = None
        self.on_expire: Callable[[], None] | None = None
        self.expires_ns: int = 0
        self.observe = False
        self.record_unsampled = False
        self._detail = DETAIL_FULL
        self._tail: TailRules | None = None
        self._span_type: type[Span] | None = None
        self.processor: Any = None
        self.closed = False
        self._id_generator = id_generator
        self._on_first_record = on_first_record
        self._baggage_attributes = tuple(baggage_attributes)
        self._generation = ids.fork_generation()
        self._reset()

    def _reset(self) -> None:
        """A process starts from nothing; in a forked child the spans in flight are the parent's."""
        self._running = False
        # Keeps the counters true when threads count at once; re-entrant, for a finaliser may end a span inside.
        self._lock = RLock()
        self._active: dict[int, ref[Span]] = {}
        self._started = 0
        self._abandoned = 0
        self._sampled_out = 0
        self._sampler_errors = 0
        self._requests = 0
        self._errors = 0
        self._durations = [0] * DURATION_BUCKETS
        self._dropped = dict.fromkeys(("queue_full", "too_large", "encode_error", "after_shutdown", "forked"), 0)
        self._wall_offset_ns = 0
        self._wall_offset_taken_ns = 0
        self._detail_spans = self._detail_attributes = 0
        self._spans_made = self._timed = self._timed_ns = 0

    def _check_fork(self) -> int:
        generation = ids.fork_generation()
        if generation != self._generation:
            with _fork_lock:
                if generation != self._generation:
                    self._reset()
                    self.ring.reset_after_fork()
                    # Last: until then nobody else touches what may be the parent's.
                    self._generation = generation
        return generation

    @property
    def thresholds(self) -> tuple[int, ...]:
        return self._decisions[0]

    @thresholds.setter
    def thresholds(self, values: tuple[int, ...]) -> None:
        self._decisions = check_thresholds(values), self._decisions[1]

    @property
    def ot_members(self) -> tuple[str | None, ...]:
        return self._decisions[1]

    @ot_members.setter
    def ot_members(self, values: tuple[str | None, ...]) -> None:
        self._decisions = self._decisions[0], check_ot_members(values)

    @property
    def detail(self) -> int:
        return self._detail

    @detail.setter
    def detail(self, value: int) -> None:
        self._detail = check_detail(value)

    @property
    def tail_rules(self) -> tuple[tuple[Any, ...], ...]:
        return () if self._tail is None else self._tail.rules

    @tail_rules.setter
    def tail_rules(self, rules: Iterable[Any]) -> None:
        self._tail = TailRules(rules)

    @property
    def span_type(self) -> type[Span] | None:
        return self._span_type

    @span_type.setter
    def span_type(self, value: type[Span] | None) -> None:
        if value is not None and not (isinstance(value, type) and issubclass(value, Span)):
            raise TypeError(f"span_type={value!r}: a subclass of {Span.__name__}, or None")
        self._span_type = value

    def window(self) -> dict[str, Any]:
        """The local roots that have ended since ``observe`` was set: ``requests``, ``errors``, and ``durations``.

        ``durations`` are counts by ``layout.duration_bucket``. The numbers only grow, but in a forked child.
        """
        self._check_fork()
        with self._lock:
            return {"requests": self._requests, "errors": self._errors, "durations": tuple(self._durations)}

    def _observed(self, nanoseconds: int, failed: bool) -> None:
        with self._lock:
            self._requests += 1
            self._errors += failed
            self._durations[duration_bucket(nanoseconds)] += 1

    @property
    def consumer_running(self) -> bool:
        return self._running and self._generation == ids.fork_generation()

    @consumer_running.setter
    def consumer_running(self, value: bool) -> None:
        self._check_fork()
        self._running = bool(value)

    def pin(self) -> None:
        """This recorder and the tracers bound to it from now on live as long as the process.

        Without a GIL nobody counts references to them any more, over which threads would meet at every span. With one
        nothing is gained, and they can still be collected.
        """

    def add_scope(self, scope: InstrumentationScope) -> int:
        """The index of a scope, adding it if it is new."""
        with self._lock:
            for index, known in enumerate(self.scopes):
                if known == scope:
                    return index
            self.scopes.append(scope)
            return len(self.scopes) - 1

    def counters(self) -> dict[str, int]:
        """``started, active, abandoned, sampled_out, sampler_errors`` and ``dropped_*`` for the core's reasons.

        Besides: ``timed``, the spans whose own cost was measured, one in ``layout.TIMED_EVERY``, and ``timed_ns``, the
        CPU time of their threads that their start and their end took. ``detail_spans`` of those that were sampled out,
        and ``detail_attributes``, were left out by ``detail``.
        """
        self._check_fork()
        return {
            "started": self._started,
            "active": len(self._active),
            "abandoned": self._abandoned,
            "sampled_out": self._sampled_out,
            "sampler_errors": self._sampler_errors,
            "detail_spans": self._detail_spans,
            "detail_attributes": self._detail_attributes,
            "timed": self._timed,
            "timed_ns": self._timed_ns,
            **{f"dropped_{reason}": count for reason, count in self._dropped.items()},
        }

    def active_spans(self) -> list[Span]:
        """The recording spans that have started and not ended, oldest first."""
        self._check_fork()
        spans = [reference() for reference in list(self._active.values())]
        return [span for span in spans if span is not None]

    def _is_timed(self) -> bool:
        """Whether the span that is being made is one of those that are timed."""
        # Two threads that count at once may count as one.
        self._spans_made += 1
        if self._spans_made != TIMED_FIRST:
            return False
        self._spans_made = TIMED_FIRST - TIMED_EVERY
        return True

    def _wall_offset(self, now: int) -> int:
        if now - self._wall_offset_taken_ns > _WALL_OFFSET_AGE_NS:
            self._wall_offset_ns = time.time_ns() - now
            self._wall_offset_taken_ns = now
        return self._wall_offset_ns

    def _drop(self, reason: str) -> None:
        with self._lock:
            self._dropped[reason] += 1

    def _queue(self, record: bytes) -> None:
        reason = self.ring.push(record)
        if reason is not None:
            self._drop(reason)
        else:
            self._announce()

    def _announce(self) -> None:
        """There is something for the background thread."""
        if not self._running and self._on_first_record is not None:
            try:
                self._on_first_record()
            except Exception:
                pass  # the pipeline reports its own troubles; the application must not see them here

    def _decide(self, span: Span, rule: int, parent: Node | None, attributes: Any, links: Any) -> tuple[int, Any]:
        """What is decided about a span, and the attributes that a sampler adds."""
        if self.expires_ns and time.monotonic_ns() >= self.expires_ns:
            self._expire()
        thresholds, members = self._decisions
        threshold = thresholds[rule]
        if threshold < 0:
            return _DECISIONS[span._trace_id & _LOW_64_BITS < -threshold], None
        if threshold == THRESHOLD_ASK:
            return self._ask(span, rule, parent, attributes, links)
        value = span._trace_id & _RANDOMNESS
        if span._header is not None and 0 < threshold < THRESHOLD_NEVER:
            given = randomness(span._header)
            value = value if given is None else given
        sampled = value >= threshold
        member = members[rule]
        if member is not None and (sampled or span._header is not None):
            span._header = with_threshold(span._header, (member or None) if sampled else None)
        return _DECISIONS[sampled], None

    def _expire(self) -> None:
        """The time of a boost is over: whoever set it sets the thresholds again."""
        with self._lock:
            due, self.expires_ns = self.expires_ns, 0
        if due:
            try:
                self.on_expire()  # type: ignore[misc]
            except Exception:
                pass  # a sampler's troubles are logged where they arise; the application must not see them here

    def _ask(self, span: Span, rule: int, parent: Node | None, attributes: Any, links: Any) -> tuple[int, Any]:
        """What a sampler that is not a compare decides, and the attributes that it adds."""
        try:
            decision, added, header = self.decide(  # type: ignore[misc]
                rule, parent, span._trace_id, span._name, _KINDS[span._kind], attributes, links
            )
            if header is not None:
                span._header = str(header) or None
            return _number(decision, 2), added
        except Exception:
            with self._lock:
                self._sampler_errors += 1
            return _DECISIONS[rule in (0, 1, 3)], None


class Tracer:
    """Module ``span``. Makes spans for one instrumentation scope. Without a recorder it only forwards the context.

    ``Tracer(scope, recorder=None)``.
    """

    def __init__(self, scope: InstrumentationScope, recorder: Recorder | None = None) -> None:
        self.scope = scope
        self._scope_index = 0
        self.bind(recorder)

    def bind(self, recorder: Recorder | None) -> None:
        """Send the spans started from now on to this recorder."""
        if recorder is not None:
            self._scope_index = recorder.add_scope(self.scope)
        self.recorder = recorder

    def start_span(
        self,
        name: str,
        context: Context | Span | SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Iterable[Any] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """Start a span that is not made current. Parent: ``context``, or what is current.

        ``start_time`` is nanoseconds since the Unix epoch. As a context manager it ends itself.
        """
        span = self._span_type(
            self,
            _text(name),
            0 if kind is SpanKind.INTERNAL else _number(kind, 4),
            (context, attributes, links, start_time),
            (bool(record_exception), bool(set_status_on_exception), True, False),
        )
        span._begin()
        return span

    def start_as_current_span(
        self,
        name: str,
        context: Context | Span | SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Iterable[Any] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Span:
        """A span that starts and becomes current on entering the ``with`` block, and ends on leaving it.

        Also a decorator for functions, coroutine functions, generator and async generator functions.
        """
        return self._span_type(
            self,
            _text(name),
            0 if kind is SpanKind.INTERNAL else _number(kind, 4),
            (context, attributes, links, start_time),
            (bool(record_exception), bool(set_status_on_exception), bool(end_on_exit), True),
        )

    @property
    def _span_type(self) -> type[Span]:
        recorder = self.recorder
        return Span if recorder is None or recorder._span_type is None else recorder._span_type

    def __repr__(self) -> str:
        return f"Tracer({self.scope!r})"


class Span(Node):
    """Module ``span``. One operation, from start to end (OpenTelemetry Trace API, "Span").

    Made by a ``Tracer``. Calls after ``end()``, and on a span that is not recording, do nothing.
    Nothing here raises into the application for a bad value: it is dropped and counted. May be used
    from several threads. Reads (`name`, `kind`, `attributes`, `status`, ...) serve instrumentations.
    """

    __slots__ = (
        "__weakref__",
        "_arguments",
        "_attributes",
        "_attributes_dropped",
        "_description",
        "_detail",
        "_end_on_exit",
        "_end_time_ns",
        "_events",
        "_events_dropped",
        "_generation",
        "_kind",
        "_light",
        "_links",
        "_links_dropped",
        "_make_current",
        "_name",
        "_parent_span_id",
        "_raised",
        "_record_exception",
        "_record_flags",
        "_recorder",
        "_set_status",
        "_start_time_ns",
        "_state",
        "_status",
        "_timed",
        "_token",
        "_tracer",
    )

    def __init__(
        self,
        tracer: Tracer | None,
        name: str,
        kind: int = 0,
        arguments: tuple[Any, ...] = (None, None, None, None),
        options: tuple[bool, bool, bool, bool] = (True, True, True, False),
    ) -> None:
        self._state = _NEW
        self._tracer = tracer
        self._name = name
        self._kind = kind
        # (context, attributes, links, start_time) until the start
        self._arguments: Any = arguments
        self._record_exception, self._set_status, self._end_on_exit, self._make_current = options
        self._token: Any = None
        self._recorder: Recorder | None = None
        self._trace_id = self._span_id = self._parent_span_id = self._flags = self._wall_offset_ns = 0
        self._remote = False
        self._header = None
        self._carried = None
        self._decision = IN_FLAGS
        self._local_trace = None
        self._view = None
        self._light = self._raised = False  # a local root that is only observed; an exception was recorded
        self._status = _UNSET
        self._description: str | None = None
        self._start_time_ns = self._end_time_ns = 0
        self._record_flags = 0
        self._detail = DETAIL_FULL  # of what begins below it, as its local root found it
        self._generation = -1
        self._timed = tracer is not None and tracer.recorder is not None and tracer.recorder._is_timed()
        self._attributes: dict[str, Any] = {}
        self._events: list[bytes] = []
        self._links: list[bytes] = []
        self._attributes_dropped = self._events_dropped = self._links_dropped = 0

    def __del__(self) -> None:
        # A finaliser may run after a failed __init__, without any of the fields.
        recorder = getattr(self, "_recorder", None)
        if recorder is not None and self._state == _RECORDING and self._generation == ids.fork_generation():
            with recorder._lock:
                if recorder._active.pop(id(self), None) is not None:
                    recorder._abandoned += 1

    # --- own cost: of one span in TIMED_EVERY the start and the end are timed

    def _stopwatch(self) -> int:
        """The thread's clock if this span is one of those that are timed, else 0."""
        return time.thread_time_ns() if self._timed else 0

    def _spend(self, since: int, begun: bool) -> None:
        """Count what a step has taken since the stopwatch was read; ``begun`` is whether it was the start."""
        now = time.thread_time_ns()
        taken = now - since
        if begun:
            # What looking at the clock takes, each time, is no part of what a start and an end take.
            # The last look may have met a pause that the others did not.
            taken = max(taken - 2 * (time.thread_time_ns() - now), 0)
        recorder = None if self._tracer is None else self._tracer.recorder
        if recorder is not None:
            with recorder._lock:
                recorder._timed += begun
                recorder._timed_ns += taken

    # --- the start

    def _begin(self) -> None:
        """Start without becoming current."""
        since = self._stopwatch()
        self._start()
        if since:
            self._spend(since, True)

    def _start(self) -> None:
        if self._state != _NEW:
            return
        assert self._tracer is not None
        recorder = self._tracer.recorder
        context, attributes, links, start_time = self._arguments
        self._arguments = None
        parent = None if context is None else as_node(context)
        explicit = parent is not None
        if parent is None:
            parent = CURRENT.get()
        valid = parent if parent is not None and parent._trace_id and parent._span_id else None
        if recorder is None:
            if parent is not None:
                self._take_over(parent)
            self._state = _NOT_RECORDING
            self._make_current = self._make_current and explicit
            return
        generation = recorder._check_fork()
        with recorder._lock:
            recorder._started += 1
        if parent is not None:
            self._carried = parent._carried
        parent_span: Any = None
        local = False
        if valid is None:
            rule = 0
            if parent is not None and parent._decision == WITHOUT_IDS:
                rule = 1 if parent._flags & TRACE_FLAG_SAMPLED else 2
            self._trace_id, self._flags = _new_trace_id(recorder)
        else:
            parent_span = valid._span if type(valid) is Context else valid
            local = not valid._remote and valid._wall_offset_ns != 0
            if parent_span is not None:
                if parent_span._generation != generation:
                    local = False
                elif parent_span._detail and local and not self._is_untraced():
                    self._leave_out_inner(recorder, valid, parent_span._detail)
                    return
            self._trace_id = valid._trace_id
            self._header = valid._header
            self._flags = valid._flags & TRACE_FLAG_RANDOM
            self._parent_span_id = valid._span_id
            rule = (1 if valid._remote else 3) + (0 if valid._flags & TRACE_FLAG_SAMPLED else 1)
            if valid._decision == DEFERRED:
                rule = 0
        never = self._is_untraced()
        decision, added = (None, None) if never else recorder._decide(self, rule, parent, attributes, links)
        if decision == DECISION_RECORD_AND_SAMPLE:
            self._flags |= TRACE_FLAG_SAMPLED
            self._record_flags = RECORD_FLAG_SAMPLED
        elif never or (
            not recorder.record_unsampled and not (decision == DECISION_RECORD_ONLY and recorder.processor is not None)
        ):
            self._leave_out(recorder, valid, parent_span, explicit, local or never)
            return
        self._span_id = _new_span_id(recorder)
        self._generation = generation
        self._recorder = recorder
        now = time.monotonic_ns()
        if local and valid is not None:
            self._wall_offset_ns = valid._wall_offset_ns
        else:
            self._record_flags |= RECORD_FLAG_LOCAL_ROOT
            self._detail = recorder._detail
            if valid is not None and valid._remote:
                self._record_flags |= RECORD_FLAG_REMOTE_PARENT
            self._wall_offset_ns = recorder._wall_offset(now)
        if recorder._tail is not None:
            if local and valid is not None:
                self._local_trace = valid._local_trace
            if self._local_trace is None:
                self._local_trace = LocalTrace()
        self._start_time_ns = now + self._wall_offset_ns
        self._state = _RECORDING
        with recorder._lock:
            recorder._active[id(self)] = ref(self)
        if recorder._baggage_attributes and self._carried is not None:
            members = self._carried.get(BAGGAGE_KEY, {})
            for name in recorder._baggage_attributes:
                if name in members:
                    self.set_attribute(name, members[name])
        if attributes is not None:
            self._set_many(attributes)
        if added is not None:
            self._set_many(added)
        given = _time_ns(start_time)
        if given is not None:
            self._start_time_ns = given
        if links is not None:
            self._add_links(links)
        if recorder.processor is not None:
            try:
                recorder.processor.on_start(self, parent)
            except Exception:
                pass  # the processor's own troubles are reported where it was added

    def _is_untraced(self) -> bool:
        return self._carried is not None and UNTRACED_KEY in self._carried

    def _leave_out_inner(self, recorder: Recorder, parent: Node, detail: int) -> None:
        """Below a local root without inner spans: what begins here is its parent to all others, and records nothing.

        It is made current all the same, so that nothing that is meant for it reaches the root.
        """
        self._take_over(parent)
        self._wall_offset_ns = parent._wall_offset_ns
        self._generation = ids.fork_generation()
        self._detail = detail
        self._state = _NOT_RECORDING
        with recorder._lock:
            recorder._sampled_out += 1
            recorder._detail_spans += 1

    def _leave_out(
        self, recorder: Recorder, parent: Node | None, parent_span: Any, explicit: bool, local: bool
    ) -> None:
        """The sampler said no: ids only, and counted at once."""
        with recorder._lock:
            recorder._sampled_out += 1
        self._state = _NOT_RECORDING
        if (
            parent is not None
            and not parent._remote
            and parent_span is not None
            and parent_span._state == _NOT_RECORDING
        ):
            # Below an unsampled span of ours nothing new can be seen: the same ids, and nothing to make current.
            self._span_id = parent._span_id
            self._parent_span_id = 0
            self._make_current = self._make_current and explicit
        else:
            self._span_id = ids.generate_span_id()
            if recorder.observe and not local:
                self._light = True
                self._generation = ids.fork_generation()
                self._recorder = recorder
                self._start_time_ns = time.monotonic_ns()

    def _add_links(self, links: Iterable[Any]) -> None:
        try:
            for item in links:
                if type(item) is tuple and len(item) == 2:
                    self.add_link(item[0], item[1])
                elif isinstance(item, Link) or (not isinstance(item, Node) and hasattr(item, "context")):
                    self.add_link(item.context, getattr(item, "attributes", None))
                else:
                    self.add_link(item)
        except Exception:
            self._links_dropped += 1

    # --- while it runs

    def get_span_context(self) -> SpanContext:
        """The part of this span that travels."""
        return self._span_context()

    def is_recording(self) -> bool:
        """True from start to end, if the sampler chose to record."""
        return self._state == _RECORDING

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute; a key that is there is replaced in place. The value is taken as it is now."""
        recorder = self._recorder
        if self._state != _RECORDING or recorder is None:  # another thread may be ending it
            return
        limits = recorder.limits
        if type(key) is not str:
            if not isinstance(key, str):
                self._attributes_dropped += 1
                return
            key = str.__str__(key)
        if not key:
            self._attributes_dropped += 1
            return
        if type(value) is not str or limits.max_span_attribute_length is not None:
            try:
                value = normal_value(value, limits.max_span_attribute_length)
            except Exception:
                self._attributes_dropped += 1
                return
            if self._state != _RECORDING:  # it has ended its own span
                return
        attributes = self._attributes
        if (
            limits.max_span_attributes is not None
            and len(attributes) >= limits.max_span_attributes
            and key not in attributes
        ):
            self._attributes_dropped += 1
            return
        attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        if self._state == _RECORDING:
            self._set_many(attributes)

    def _set_many(self, attributes: Any) -> None:
        recorder = self._recorder
        if recorder is None:
            return
        limits = recorder.limits
        max_count = sys.maxsize if limits.max_span_attributes is None else limits.max_span_attributes
        any_length = limits.max_span_attribute_length is None
        known = self._attributes
        try:
            for key, value in list(attributes.items()):
                kind = type(value)
                # What needs no other look; the rest may run code of the user's, which may end the span.
                if (
                    (
                        (kind is str and any_length)
                        or (kind is int and INT64_MIN <= value <= INT64_MAX)
                        or kind is bool
                        or kind is float
                    )
                    and type(key) is str
                    and key
                    and len(known) < max_count
                    and self._state == _RECORDING
                ):
                    known[key] = value
                else:
                    self.set_attribute(key, value)
        except Exception:
            self._attributes_dropped += 1

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Add an event; ``timestamp`` is nanoseconds since the Unix epoch, now if None."""
        recorder = self._recorder
        if self._state != _RECORDING or recorder is None:  # another thread may be ending it
            return
        limits = recorder.limits
        if limits.max_events is not None and len(self._events) >= limits.max_events:
            self._events_dropped += 1
            return
        time_ns = _time_ns(timestamp)
        if time_ns is None:
            time_ns = time.monotonic_ns() + self._wall_offset_ns
        members, dropped = _members(b"\x1a", attributes, limits.max_event_attributes, limits.max_attribute_length)
        body = b"\x09" + time_ns.to_bytes(8, "little") + text_field(b"\x12", _text(name)) + members
        self._events.append(length_field(b"\x5a", body + _count(b"\x20", dropped)))

    def add_link(self, context: SpanContext | Span | Context, attributes: Mapping[str, Any] | None = None) -> None:
        """Link another span. An invalid context is ignored unless it has attributes or a tracestate."""
        recorder = self._recorder
        if self._state != _RECORDING or recorder is None:
            return
        node = as_node(context)
        if node is None:
            return
        if not (node._trace_id and node._span_id) and not attributes and node._header is None:
            return
        limits = recorder.limits
        if limits.max_links is not None and len(self._links) >= limits.max_links:
            self._links_dropped += 1
            return
        members, dropped = _members(b"\x22", attributes, limits.max_link_attributes, limits.max_attribute_length)
        flags = node._flags | SPAN_FLAG_HAS_IS_REMOTE | (SPAN_FLAG_IS_REMOTE if node._remote else 0)
        body = (
            b"\x0a\x10"
            + node._trace_id.to_bytes(16, "big")
            + b"\x12\x08"
            + node._span_id.to_bytes(8, "big")
            + text_field(b"\x1a", node._header or "")
            + members
            + _count(b"\x28", dropped)
            + b"\x35"
            + flags.to_bytes(4, "little")
        )
        self._links.append(length_field(b"\x6a", body))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an ``exception`` event with type, message, stack trace and whether it escaped the span."""
        if self._state != _RECORDING:
            self._mark_inner("exception_mask")
            return
        self._raised = True
        self._add_bits("exception_mask")
        members = exception_attributes(exception, bool(escaped))
        if attributes:
            try:
                members.update(attributes)
            except Exception:
                pass
        self.add_event("exception", members, timestamp)

    def set_status(self, status: StatusCode | Status, description: str | None = None) -> None:
        """Set the outcome. OK is final, UNSET is ignored, only ERROR keeps its description."""
        if self._state != _RECORDING and not self._light:
            if self._detail and _number(getattr(status, "status_code", status), 2) == _ERROR:
                self._mark_inner("error_mask")
            return
        code = getattr(status, "status_code", None)
        if code is None:
            code = status
        else:
            description = getattr(status, "description", None)
        number = _number(code, 2)
        if number == _UNSET or self._status == _OK:
            return
        self._description = _text(description) if number == _ERROR and description is not None else None
        self._status = number
        if number == _ERROR:
            self._add_bits("error_mask")

    def _add_bits(self, mask: str) -> None:
        """What is known before the end: calls that are made from now on carry the verdict."""
        recorder, local_trace = self._recorder, self._local_trace
        if local_trace is not None and recorder is not None and recorder._tail is not None:
            local_trace.add(getattr(recorder._tail, mask))

    def _mark_inner(self, mask: str) -> None:
        """An error of a span that is left out for detail, or an exception, keeps its trace as it would have."""
        recorder, local_trace = None if self._tracer is None else self._tracer.recorder, self._local_trace
        if self._state != _NOT_RECORDING or not self._detail or recorder is None:
            return
        if local_trace is not None and recorder._tail is not None:
            local_trace.add(getattr(recorder._tail, mask))

    def update_name(self, name: str) -> None:
        """Rename the span."""
        if self._state == _RECORDING:
            self._name = _text(name)

    # --- the end

    def end(self, end_time: int | None = None) -> None:
        """End the span: encode it once and queue the record; ``end_time`` is nanoseconds since the Unix epoch."""
        since = self._stopwatch()
        self._finish(end_time)
        if since:
            self._spend(since, False)

    def _finish(self, end_time: int | None) -> None:
        recorder = self._recorder
        if recorder is None or self._state != _RECORDING:
            if self._light:
                self._end_light()
            elif self._state == _NOT_RECORDING:
                self._view = None
            return
        given = _time_ns(end_time)
        end_time_ns = time.monotonic_ns() + self._wall_offset_ns if given is None else given
        generation = ids.fork_generation()
        if self._generation != generation:
            # Begun before the fork: its record is the parent's to write.
            self._state = _ENDED
            recorder._check_fork()
            with recorder._lock:
                recorder._started += 1
            recorder._drop("forked")
            self._release()
            return
        processor = recorder.processor
        with recorder._lock:
            # Of several threads that end one span, the one that takes it from the active ones does.
            if recorder._active.pop(id(self), None) is None:
                return
            if processor is None:
                self._state = _ENDED
        self._end_time_ns = max(end_time_ns, self._start_time_ns)
        refused = False
        if processor is not None:
            self._process(processor, "on_ending")
            self._state = _ENDED
            refused = self._process(processor, "on_end") is False
        if recorder.closed:
            recorder._drop("after_shutdown")
        elif not self._record_flags & RECORD_FLAG_SAMPLED and not recorder.record_unsampled:
            with recorder._lock:
                recorder._sampled_out += 1
        elif refused:
            recorder._drop("encode_error")
        else:
            try:
                record = self._encode()
            except Exception:
                recorder._drop("encode_error")
            else:
                recorder._queue(record)
        if recorder.observe and self._record_flags & RECORD_FLAG_LOCAL_ROOT:
            failed = self._record_flags & (RECORD_FLAG_ERROR | RECORD_FLAG_HTTP_5XX) != 0
            recorder._observed(self._end_time_ns - self._start_time_ns, failed)
        if processor is None:
            self._release()
        else:
            self._recorder = self._view = None

    def _process(self, processor: Any, step: str) -> Any:
        """What one step of a processor answers; it reports its own troubles."""
        try:
            return getattr(processor, step)(self)
        except Exception:
            return None

    def _end_light(self) -> None:
        """The end of a local root that is not recorded."""
        recorder, self._light, self._recorder, self._view = self._recorder, False, None, None
        if recorder is not None and self._generation == ids.fork_generation():
            recorder._observed(time.monotonic_ns() - self._start_time_ns, self._status == _ERROR)
            # The thread that looks at the window runs while there is something to see.
            recorder._announce()

    def _release(self) -> None:
        """What an ended span lets go of: copied contexts may keep it for long."""
        self._recorder = self._view = None
        self._attributes = {}
        self._events = []
        self._links = []

    def _encode(self) -> bytes:
        """Header and body of the record."""
        flags = self._record_flags
        trace_id, span_id = self._trace_id.to_bytes(16, "big"), self._span_id.to_bytes(8, "big")
        parts = [b"\x0a\x10", trace_id, b"\x12\x08", span_id]
        if self._header is not None:
            parts.append(text_field(b"\x1a", self._header))
        if self._parent_span_id:
            parts += (b"\x22\x08", self._parent_span_id.to_bytes(8, "big"))
        parts += (
            text_field(b"\x2a", self._name),
            b"\x30",
            varint(self._kind + 1),
            b"\x39",
            self._start_time_ns.to_bytes(8, "little"),
            b"\x41",
            self._end_time_ns.to_bytes(8, "little"),
        )
        # A copy: another thread may be in the middle of setting one.
        members, left_out = list(self._attributes.items()), 0
        if self._detail >= DETAIL_BARE:
            kept = [member for member in members if member[0] in DETAIL_KEPT_KEYS]
            members, left_out = kept, len(members) - len(kept)
        parts += [attribute(b"\x4a", key, value) for key, value in members]
        if self._detail:
            parts.append(attribute(b"\x4a", DETAIL_KEY, DETAILS[self._detail]))
            self._count_left_out(left_out)
        status_code = self._attributes.get(_HTTP_STATUS_CODE)
        if type(status_code) is int and 500 <= status_code < 600:
            flags |= RECORD_FLAG_HTTP_5XX
        parts.append(_count(b"\x50", self._attributes_dropped + left_out))
        parts += self._events
        parts.append(_count(b"\x60", self._events_dropped))
        parts += self._links
        parts.append(_count(b"\x70", self._links_dropped))
        if self._status != _UNSET:
            message = text_field(b"\x12", self._description or "")
            parts.append(length_field(b"\x7a", message + b"\x18" + varint(self._status)))
            if self._status == _ERROR:
                flags |= RECORD_FLAG_ERROR
        remote = SPAN_FLAG_IS_REMOTE if flags & RECORD_FLAG_REMOTE_PARENT else 0
        parts += (b"\x85\x01", (self._flags | SPAN_FLAG_HAS_IS_REMOTE | remote).to_bytes(4, "little"))
        body = b"".join(parts)
        assert self._tracer is not None
        bits = self._judge(flags)
        self._record_flags = flags
        header = RECORD_HEADER.pack(
            RECORD_MAGIC,
            RECORD_KIND_SPAN,
            flags,
            RECORD_HEADER_BYTES + len(body),
            self._tracer._scope_index,
            0,
            bits,
            self._route_hash() if self._local_trace is not None and flags & RECORD_FLAG_LOCAL_ROOT else 0,
            trace_id,
            span_id,
            self._start_time_ns,
            self._end_time_ns - self._start_time_ns,
        )
        return header + body

    def _count_left_out(self, attributes: int) -> None:
        recorder = self._recorder
        assert recorder is not None
        with recorder._lock:
            recorder._detail_attributes += attributes

    def _judge(self, flags: int) -> int:
        """The bits of the tail rules that this span meets, and those that its trace has by now."""
        tail = None if self._recorder is None else self._recorder._tail
        if tail is None:
            return 0
        bits = tail.duration_bits(self._end_time_ns - self._start_time_ns) | tail.attribute_bits(self._attributes)
        if flags & RECORD_FLAG_ERROR:
            bits |= tail.error_mask
        if flags & RECORD_FLAG_HTTP_5XX:
            bits |= tail.http_5xx_mask
        if self._raised:
            bits |= tail.exception_mask
        return bits if self._local_trace is None else self._local_trace.add(bits)

    def _route_hash(self) -> int:
        """FNV-1a: a route's number, or that of the name without one."""
        route = self._attributes.get(_HTTP_ROUTE)
        value = 0x811C9DC5
        for byte in utf8(route if type(route) is str else self._name):
            value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
        return value

    def __enter__(self) -> Span:
        since = self._stopwatch()
        if self._state == _NEW:
            self._start()
            if self._make_current:
                self._token = CURRENT.set(self)
        if since:
            self._spend(since, True)
        return self

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        since = self._stopwatch()
        token = self._token
        if token is not None:
            self._token = None
            detach(self, token)
        if exc is not None and (self._state == _RECORDING or self._light or self._detail):
            self._note(exc, not self._make_current)
        if self._end_on_exit:
            self._finish(None)
        if since:
            self._spend(since, False)

    def _note(self, exception: BaseException, escaped: bool) -> None:
        """An exception leaves the span. Cancellation, exits and closed generators are not errors."""
        if not isinstance(exception, Exception):
            return
        try:
            if self._record_exception:
                self.record_exception(exception, None, None, escaped)
            if self._set_status:
                self.set_status(StatusCode.ERROR, exception_description(exception))
        except Exception:
            self._events_dropped += 1

    def __call__(self, function: _Function) -> _Function:
        """Decorate a function, coroutine function, generator function or async generator function."""
        from fasttrace._core.decorate import decorate

        decorated: Any = decorate(self, function)
        return decorated  # type: ignore[no-any-return]

    # --- what decorate.py builds on

    def _fresh(self) -> Span:
        """A span that has not started, with the arguments of this one."""
        options = (self._record_exception, self._set_status, self._end_on_exit, self._make_current)
        return type(self)(self._tracer, self._name, self._kind, self._arguments, options)

    def _attach(self) -> Any:
        """Become current, if this span is one that does; the token for ``_detach``, or None."""
        return CURRENT.set(self) if self._make_current else None

    def _detach(self, token: Any) -> None:
        """Undo ``_attach``."""
        if token is not None:
            detach(self, token)

    def _record(self, exception: BaseException) -> None:
        """Record an exception that leaves the span, as the span's options say."""
        if self._state == _RECORDING or self._light or self._detail:
            self._note(exception, False)

    @property
    def _observed(self) -> bool:
        """Whether this is a local root that is timed though it is not recorded: its status counts."""
        return self._light

    def _keep(self, bits: int) -> bool:
        """Keep the trace for these reasons; whether it is kept whole. Without tail rules it is sampled from here on."""
        if self._local_trace is not None:
            self._local_trace.add(bits)
            return True
        if self._flags & TRACE_FLAG_SAMPLED:
            return True
        if self._trace_id:
            self._flags |= TRACE_FLAG_SAMPLED
        return False

    # --- reads

    @property
    def name(self) -> str:
        return self._name

    @property
    def kind(self) -> SpanKind:
        return _KINDS[self._kind]

    @property
    def scope(self) -> InstrumentationScope:
        return InstrumentationScope("") if self._tracer is None else self._tracer.scope

    @property
    def attributes(self) -> dict[str, Any]:
        return self._attributes.copy()

    @property
    def status(self) -> Status:
        return Status(_CODES[self._status], self._description)

    @property
    def _encoded_parts(self) -> tuple[bytes, int, int, int]:
        """The events and links as fields of an encoded span, and how many attributes, events and links were dropped."""
        data = b"".join(self._events + self._links)
        return data, self._attributes_dropped, self._events_dropped, self._links_dropped

    @property
    def start_time_ns(self) -> int:
        return self._start_time_ns

    @property
    def end_time_ns(self) -> int | None:
        return self._end_time_ns if self._state == _ENDED else None

    @property
    def parent_span_id(self) -> int:
        return self._parent_span_id

    @property
    def trace_id(self) -> int:
        return self._trace_id

    @property
    def span_id(self) -> int:
        return self._span_id

    @property
    def trace_id_hex(self) -> str:
        return f"{self._trace_id:032x}"

    @property
    def span_id_hex(self) -> str:
        return f"{self._span_id:016x}"

    @property
    def trace_flags(self) -> int:
        return self._flags_now()

    @property
    def trace_state(self) -> TraceState:
        return TraceState(self._header or "")

    @property
    def sampled(self) -> bool:
        return self._flags_now() & TRACE_FLAG_SAMPLED != 0

    def __repr__(self) -> str:
        return f"Span({self._name!r}, trace_id={self.trace_id_hex}, span_id={self.span_id_hex})"


def _members(
    tag: bytes, attributes: Mapping[str, Any] | None, max_count: int | None, max_length: int | None
) -> tuple[bytes, int]:
    """The attributes of an event or link; one counts as dropped for a mapping that can't be read."""
    if attributes is None:
        return b"", 0
    try:
        return attributes_of(tag, attributes, max_count, max_length)
    except Exception:
        return b"", 1


def _count(tag: bytes, count: int) -> bytes:
    return tag + varint(count) if count else b""


def _new_trace_id(recorder: Recorder) -> tuple[int, int]:
    """A trace id and its flags, from the user's generator, or from ours where there is none or it fails."""
    generator = recorder._id_generator
    if generator is not None:
        try:
            trace_id = generator.generate_trace_id()
            if isinstance(trace_id, int) and 0 < trace_id < 1 << 128:
                is_random = getattr(generator, "is_trace_id_random", None)
                return int(trace_id), TRACE_FLAG_RANDOM if is_random is not None and is_random() else 0
        except Exception:
            pass
    return ids.generate_trace_id(), TRACE_FLAG_RANDOM


def _new_span_id(recorder: Recorder) -> int:
    generator = recorder._id_generator
    if generator is not None:
        try:
            span_id = generator.generate_span_id()
            if isinstance(span_id, int) and 0 < span_id < 1 << 64:
                return int(span_id)
        except Exception:
            pass
    return ids.generate_span_id()


def _unattached(node: Node | None) -> Span:
    """A span that does not record, with the ids of a node."""
    span = Span(None, "")
    span._state = _NOT_RECORDING
    if node is not None:
        span._take_over(node)
    return span


_INVALID = _unattached(None)


def current_span() -> Span:
    """The current span; one that does not record, with the current ids if there are any, if none is."""
    node = CURRENT.get()
    if node is None:
        return _INVALID
    if isinstance(node, Span):
        return node
    span: Span | None = node._span
    return _unattached(node) if span is None else span
