"""Recorder: what a provider's tracers share, and what it knows of a span until that has ended."""

from __future__ import annotations

import time
from _thread import RLock
from weakref import ref

from fasttrace._core._python import ids
from fasttrace._core._python.context import Node
from fasttrace._core._python.given import number_of
from fasttrace._core._python.tail import TailRules
from fasttrace._core.layout import (
    DECISION_DROP,
    DECISION_RECORD_AND_SAMPLE,
    DETAIL_FULL,
    DURATION_BUCKETS,
    THRESHOLD_ASK,
    THRESHOLD_NEVER,
    TIMED_EVERY,
    TIMED_FIRST,
    check_detail,
    check_ot_members,
    check_thresholds,
    duration_bucket,
)
from fasttrace._core.tracestate import randomness, with_threshold
from fasttrace._core.types import InstrumentationScope, SpanKind, SpanLimits

__all__ = ["Recorder"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from fasttrace._core._python.ring import Ring
    from fasttrace._core._python.span import Span

NEW, RECORDING, ENDED, NOT_RECORDING = 0, 1, 2, 3
_RANDOMNESS = (1 << 56) - 1
# A wall clock step shows at new local roots after at most this long.
_WALL_OFFSET_AGE_NS = 100_000_000
_KINDS = tuple(SpanKind)
_DECISIONS = (DECISION_DROP, DECISION_RECORD_AND_SAMPLE)
_LOW_64_BITS = (1 << 64) - 1
# One thread of a forked child makes a recorder the child's own; re-entrant, for a finaliser may end a span inside.
_fork_lock = RLock()


class Recorded(Node):
    """A span as its recorder sees it: active until it ends, abandoned when it is collected before."""

    __slots__ = ("__weakref__", "_generation", "_recorder", "_state")

    _recorder: Recorder | None
    _state: int
    _generation: int

    def __del__(self) -> None:
        # A finaliser may run after a failed __init__, without any of the fields.
        recorder = getattr(self, "_recorder", None)
        if recorder is not None and self._state == RECORDING and self._generation == ids.fork_generation():
            with recorder._lock:
                if recorder._active.pop(id(self), None) is not None:
                    recorder._abandoned += 1


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
        if value is not None and not (isinstance(value, type) and issubclass(value, Recorded)):
            raise TypeError(f"span_type={value!r}: a subclass of Span, or None")
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
            return number_of(decision, 2), added
        except Exception:
            with self._lock:
                self._sampler_errors += 1
            return _DECISIONS[rule in (0, 1, 3)], None
