"""Tracer and Span: what is recorded of an operation while it runs."""

from __future__ import annotations

import sys
import time

from fasttrace._core._python.begin import begin
from fasttrace._core._python.context import CURRENT, IN_FLAGS, Context, Node, SpanContext, as_node, detach
from fasttrace._core._python.events import event, link
from fasttrace._core._python.finish import finish
from fasttrace._core._python.given import number_of, text_of, time_of
from fasttrace._core._python.otlp import normal_value
from fasttrace._core._python.raised import note, told
from fasttrace._core._python.recorder import ENDED, NEW, NOT_RECORDING, RECORDING, Recorded, Recorder
from fasttrace._core.layout import DETAIL_FULL, TRACE_FLAG_SAMPLED
from fasttrace._core.types import InstrumentationScope, SpanKind, Status, StatusCode, TraceState
from fasttrace._core.values import INT64_MAX, INT64_MIN

__all__ = ["Recorder", "Span", "Tracer", "current_span"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar

    _Function = TypeVar("_Function", bound=Callable[..., Any])

_KINDS = tuple(SpanKind)
_CODES = tuple(StatusCode)
_UNSET, _OK, _ERROR = 0, 1, 2


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
            text_of(name),
            0 if kind is SpanKind.INTERNAL else number_of(kind, 4),
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
            text_of(name),
            0 if kind is SpanKind.INTERNAL else number_of(kind, 4),
            (context, attributes, links, start_time),
            (bool(record_exception), bool(set_status_on_exception), bool(end_on_exit), True),
        )

    @property
    def _span_type(self) -> type[Span]:
        recorder = self.recorder
        return Span if recorder is None or recorder._span_type is None else recorder._span_type

    def __repr__(self) -> str:
        return f"Tracer({self.scope!r})"


class Span(Recorded):
    """Module ``span``. One operation, from start to end (OpenTelemetry Trace API, "Span").

    Made by a ``Tracer``. Calls after ``end()``, and on a span that is not recording, do nothing.
    Nothing here raises into the application for a bad value: it is dropped and counted. May be used
    from several threads. Reads (`name`, `kind`, `attributes`, `status`, ...) serve instrumentations.
    """

    __slots__ = (
        "_arguments",
        "_attributes",
        "_attributes_dropped",
        "_description",
        "_detail",
        "_end_on_exit",
        "_end_time_ns",
        "_events",
        "_events_dropped",
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
        "_set_status",
        "_start_time_ns",
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
        self._state = NEW
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
        begin(self)
        if since:
            self._spend(since, True)

    # --- while it runs

    def get_span_context(self) -> SpanContext:
        """The part of this span that travels."""
        return self._span_context()

    def is_recording(self) -> bool:
        """True from start to end, if the sampler chose to record."""
        return self._state == RECORDING

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute; a key that is there is replaced in place. The value is taken as it is now."""
        recorder = self._recorder
        if self._state != RECORDING or recorder is None:  # another thread may be ending it
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
            if self._state != RECORDING:  # it has ended its own span
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
        if self._state == RECORDING:
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
                    and self._state == RECORDING
                ):
                    known[key] = value
                else:
                    self.set_attribute(key, value)
        except Exception:
            self._attributes_dropped += 1

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Add an event; ``timestamp`` is nanoseconds since the Unix epoch, now if None."""
        recorder = self._recorder
        if self._state != RECORDING or recorder is None:  # another thread may be ending it
            return
        limits = recorder.limits
        if limits.max_events is not None and len(self._events) >= limits.max_events:
            self._events_dropped += 1
            return
        time_ns = time_of(timestamp)
        if time_ns is None:
            time_ns = time.monotonic_ns() + self._wall_offset_ns
        field = event(name, attributes, time_ns, limits)
        # To the list as it is now: a value may have ended its own span.
        self._events.append(field)

    def add_link(self, context: SpanContext | Span | Context, attributes: Mapping[str, Any] | None = None) -> None:
        """Link another span. An invalid context is ignored unless it has attributes or a tracestate."""
        recorder = self._recorder
        if self._state != RECORDING or recorder is None:
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
        field = link(node, attributes, limits)
        self._links.append(field)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an ``exception`` event with type, message, stack trace and whether it escaped the span."""
        if self._state != RECORDING:
            self._mark_inner("exception_mask")
            return
        self._raised = True
        self._add_bits("exception_mask")
        self.add_event("exception", told(exception, attributes, bool(escaped)), timestamp)

    def set_status(self, status: StatusCode | Status, description: str | None = None) -> None:
        """Set the outcome. OK is final, UNSET is ignored, only ERROR keeps its description."""
        if self._state != RECORDING and not self._light:
            if self._detail and number_of(getattr(status, "status_code", status), 2) == _ERROR:
                self._mark_inner("error_mask")
            return
        code = getattr(status, "status_code", None)
        if code is None:
            code = status
        else:
            description = getattr(status, "description", None)
        number = number_of(code, 2)
        if number == _UNSET or self._status == _OK:
            return
        self._description = text_of(description) if number == _ERROR and description is not None else None
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
        if self._state != NOT_RECORDING or not self._detail or recorder is None:
            return
        if local_trace is not None and recorder._tail is not None:
            local_trace.add(getattr(recorder._tail, mask))

    def update_name(self, name: str) -> None:
        """Rename the span."""
        if self._state == RECORDING:
            self._name = text_of(name)

    # --- the end

    def end(self, end_time: int | None = None) -> None:
        """End the span: encode it once and queue the record; ``end_time`` is nanoseconds since the Unix epoch."""
        since = self._stopwatch()
        finish(self, end_time)
        if since:
            self._spend(since, False)

    def __enter__(self) -> Span:
        since = self._stopwatch()
        if self._state == NEW:
            begin(self)
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
        if exc is not None and (self._state == RECORDING or self._light or self._detail):
            note(self, exc, not self._make_current)
        if self._end_on_exit:
            finish(self, None)
        if since:
            self._spend(since, False)

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
        if self._state == RECORDING or self._light or self._detail:
            note(self, exception, False)

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
        return self._end_time_ns if self._state == ENDED else None

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


def _unattached(node: Node | None) -> Span:
    """A span that does not record, with the ids of a node."""
    span = Span(None, "")
    span._state = NOT_RECORDING
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
