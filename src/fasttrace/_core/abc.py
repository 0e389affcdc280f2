"""The contract of the core: what ``_cython`` and ``_python`` both provide, with the docstrings of record.

Both implementations have the modules ``ids``, ``context``, ``headers``, ``otlp``, ``decode``, ``ring``, ``store``
and ``span``, with the same names, signatures, results, errors and bytes. Attribute names, function
names and parameter names below are theirs. Loaded by type checkers and tests only.

The path of a span::

    Tracer.start_as_current_span() -> Span          arguments are kept, nothing has started
    Span.__enter__()                                parent, sampling, ids, clock, ContextVar
    Span.set_attribute() / add_event() / ...        references, or bytes encoded when added
    Span.__exit__() -> end()                        one record: header + OTLP Span body -> Ring.push()
    Ring.wait() / take()                            the background thread
    otlp.assemble()                                 records -> one OTLP ExportTraceServiceRequest
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from fasttrace._core.layout import TAIL_RECALL
from fasttrace._core.types import InstrumentationScope, Link, SpanData, SpanKind, SpanLimits, Status, StatusCode
from fasttrace._core.types import TraceState as TraceState

Function = TypeVar("Function", bound=Callable[..., Any])
AttributeValue: TypeAlias = Any
Attributes: TypeAlias = Mapping[str, AttributeValue]


# --- ids -------------------------------------------------------------------------------------------


class Ids(Protocol):
    """Module ``ids``. Never zero; untouched by ``random.seed``; reseeded in a forked child."""

    def generate_trace_id(self) -> int:
        """A random 128-bit trace id, never zero; all bits are random (W3C Trace Context level 2, section 3.2.2.3)."""
        ...

    def generate_span_id(self) -> int:
        """A random 64-bit span id, never zero."""
        ...

    def fork_generation(self) -> int:
        """A number that is another one in a forked child than in its parent; compare for equality."""
        ...


# --- context ---------------------------------------------------------------------------------------


class SpanContext(Protocol):
    """Module ``context``. The part of a span that travels: ids, flags, tracestate. Immutable, hashable, picklable.

    ``SpanContext(trace_id, span_id, is_remote=False, trace_flags=0, trace_state=None)``; ``trace_state``
    is a ``TraceState``, a header's text or None. Ids out of range make an invalid context, not an error.
    """

    trace_id: int
    span_id: int
    trace_id_bytes: bytes
    span_id_bytes: bytes
    trace_id_hex: str
    span_id_hex: str
    trace_flags: int
    trace_state: TraceState
    is_remote: bool
    is_valid: bool
    sampled: bool


class Context(Protocol):
    """What is current: a span's context, the span itself if it is ours, baggage, and what other formats carry.

    ``Context(span_context=None, baggage=None, values=None, sampled=...)``: ``span_context`` is a ``SpanContext``, a
    ``Span``, a ``Context`` or None (also reachable as ``span`` when it is a Span), ``baggage`` a mapping or None,
    ``values`` a mapping of fields that one header format hands on (``debug``, ``datadog.origin``), None removing one.
    ``sampled`` says what was decided where headers carry that apart from the ids: True, False, or None when the
    decision is left to us; as the flags say if it is not given.
    """

    span_context: SpanContext | None
    baggage: Mapping[str, str]
    values: Mapping[str, Any]
    sampled: bool | None
    span: Span | None


class ContextModule(Protocol):
    """Module ``context``: besides the two classes, the current node, kept in one ContextVar."""

    def current_node(self) -> Context | Span | None:
        """What is current in this execution context: a Span, a Context, or None."""
        ...

    def attach(self, node: Context | Span) -> object:
        """Make a node current; returns a token for ``detach``."""
        ...

    def detach(self, node: Context | Span, token: object) -> None:
        """Undo ``attach``: if the node is still current, what was current before is again.

        A token of another execution context is dropped in silence, and a current node that is not
        this one is left alone.
        """
        ...

    def set_foreign(self, convert: Callable[[Any], Context | Span | None] | None) -> None:
        """How what is not ours is read as a parent or link: ``convert(value)`` gives a node, or None for neither."""
        ...


# --- headers ---------------------------------------------------------------------------------------


class Headers(Protocol):
    """Module ``headers``: W3C ``traceparent``, single ``b3`` and the OpenCensus binary header."""

    def parse_traceparent(
        self, value: str | bytes, trace_state: str | None = None, base: Context | Span | None = None
    ) -> Context | None:
        """Read a ``traceparent`` (W3C Trace Context level 2, section 3.2); None when it is malformed.

        Strict ASCII lower-case hex; spaces and tabs around the value are allowed. Version ff is
        refused, version 00 has nothing after its flags, higher versions may. Only the sampled and
        random flags are kept. Any object that is neither str nor bytes gives None. The context is
        remote and carries the tracestate given, unread, and the values of ``base``, a Context or Span.
        """
        ...

    def format_traceparent(self, span_context: SpanContext | Span | Context) -> str:
        """The ``traceparent`` of a context, version 00; "" when the context is invalid."""
        ...

    def extract_w3c(self, carrier: Any, context: Context | Span | None = None) -> Context | None:
        """The context in the W3C headers of a plain dict or a list of pairs; None when the general way must be taken.

        That is: for any other carrier, a name or a value that is neither text nor bytes, a WSGI environ, a field that
        comes twice and may, and for baggage. ``context`` None is what is current; without a usable header its Context.
        """
        ...

    def inject_w3c(self, carrier: Any, context: Context | Span | None = None) -> bool:
        """Write the W3C headers of a context, or of what is current, into a plain dict; False if it has baggage, too.

        False, and nothing written, for any other carrier. An invalid context writes nothing.
        """
        ...

    def parse_b3(self, value: str | bytes, base: Context | Span | None = None) -> Context | None:
        """Read a single ``b3`` header (b3-propagation, "Single Header"); None when it is malformed.

        Strict ASCII lower-case hex, trace ids of 16 or 32 digits. Without a state the decision is left to us
        (``sampled`` is None); a state alone gives a context without ids that says what was decided. The parent's id
        is checked and not kept, debug becomes the value ``debug``. The context carries the values of ``base``.
        """
        ...

    def format_b3(self, span_context: SpanContext | Span | Context) -> str:
        """The single ``b3`` header of a context, without the parent's id; "" when there is nothing to say."""
        ...

    def encode_binary(self, span_context: SpanContext | Span | Context) -> bytes:
        """The 29 bytes of ``grpc-trace-bin`` (OpenCensus BinaryEncoding), with the sampled flag; b"" if invalid."""
        ...

    def decode_binary(self, data: bytes) -> SpanContext | None:
        """Read ``grpc-trace-bin``; None when the version is not 0, a field is cut, or an id is missing or zero.

        Fields may come in any order; an unknown field id ends the reading without an error; the
        options may be absent. Takes bytes, bytearray and memoryview; anything else gives None.
        """
        ...


# --- otlp and decode -------------------------------------------------------------------------------


class Otlp(Protocol):
    """Module ``otlp``: the writing side. Fields are written in the order of their numbers, minimally."""

    def encode_attributes(self, attributes: Attributes, field: int = 1, max_count: int | None = None) -> bytes:
        """Repeated ``KeyValue`` fields under the given field number (OTLP common.proto).

        Keys that are not text or empty, and values that can't be normalised, are left out.
        """
        ...

    def encode_scope(self, scope: InstrumentationScope) -> bytes:
        """The body of an OTLP ``InstrumentationScope``, without the schema URL."""
        ...

    def assemble(
        self,
        records: bytes,
        resource: bytes,
        scopes: Sequence[tuple[bytes, str]],
        suffix: bytes = b"",
        schema_url: str = "",
    ) -> bytes:
        """One ``ExportTraceServiceRequest`` from whole records, grouped by scope in order of first appearance.

        ``resource`` is the body of a ``Resource``; ``scopes[i]`` the encoded scope body and schema URL of
        scope index i; ``suffix`` is appended to every span's body; ``schema_url`` is the resource's. Raises
        ValueError for bytes that are not whole span records or name a scope that is not there.
        """
        ...

    def count_records(self, records: bytes) -> int:
        """How many span records there are; ValueError for bytes that are not whole records."""
        ...


class Decode(Protocol):
    """Module ``decode``: the strict reading side, for tests and the local tools."""

    def decode_span(self, body: bytes) -> SpanData:
        """Read the body of an OTLP ``Span``. Unknown fields are skipped, later singular fields win, messages merge.

        Raises DecodeError (a ValueError) for a cut or overlong field, a wrong wire type, text that is
        not UTF-8, an id of a wrong size, or values nested deeper than 32 levels.
        """
        ...

    def decode_request(self, data: bytes) -> list[SpanData]:
        """Read an ``ExportTraceServiceRequest`` or ``TracesData``: every span with its resource and scope."""
        ...


# --- ring ------------------------------------------------------------------------------------------


class Ring(Protocol):
    """Module ``ring``. The bounded queue of records between the spans that end and the thread that sends.

    ``Ring(max_spans=10_000, max_bytes=16 MiB, ring_bytes=1 MiB)``. Depth counts what was pushed and not
    yet released. Many threads may push; the consuming calls are for one thread at a time.
    """

    max_spans: int
    max_bytes: int
    depth_spans: int
    depth_bytes: int
    staged_bytes: int

    def push(self, record: bytes) -> str | None:
        """Append one record, header included. None when taken, else the reason it was dropped for.

        ``queue_full`` beyond either bound (the newest is dropped), ``too_large`` above 4 MiB. Sets the
        record's sequence number. Never blocks.
        """
        ...

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for ``wake`` or a ring that is half full; False on the timeout.

        Moves what is staged to the pending list before it returns; the compiled one does so without
        the GIL.
        """
        ...

    def wake(self) -> None:
        """End the current or the next ``wait``."""
        ...

    def take(self, max_spans: int, max_bytes: int) -> bytes:
        """The oldest records, whole, at most so many and so many bytes (but at least one); b"" when empty."""
        ...

    def release(self, spans: int, nbytes: int) -> None:
        """Records of so many spans and bytes have been sent or dropped: the depth goes down."""
        ...

    def reset_after_fork(self) -> None:
        """In a forked child: forget everything, take new locks; what was queued belongs to the parent."""
        ...


# --- store -----------------------------------------------------------------------------------------


class Store(Protocol):
    """Module ``store``. The traces whose spans have ended, held until it is known which of them are exported.

    ``Store(*, max_bytes=32 MiB, max_trace_bytes=2 MiB, grace_ns=10**9, remember=32_768, rules=(), reasons=None)``. For
    one thread at a time: the caller holds a lock of his own for every call and every look at a figure. Every step
    depends on the records and on ``now_ns`` (``time.monotonic_ns``; one that is smaller than the last counts as the
    last), never on a clock or on the order of a hash table.

    A trace is *undecided*, *kept*, *dropped* (held all the same, for a recall) or *gone* (dropped, and evicted). A
    record with a bit set (the tail bits of its header, or ``SAMPLED``, which is ``TAIL_HEAD``) keeps its trace at
    once, whatever it was: the records that are held come first, in order. Later ones follow at once. A local root
    without one is judged by the rules of the store, if its trace is undecided or dropped, and sets those bits that
    match; if none does, an undecided trace is dropped by the first ``tick`` that is ``grace_ns`` later, counted from
    its last local root. Late records of a dropped trace join it and leave its place as it is; those of one that is
    gone are sampled out, or ``trace_evicted`` as it was.

    ``rules``: ``("rare", bit, count, window_ns)`` keeps the first ``count`` local roots of a route hash in each
    window, ``now_ns // window_ns``; ``("percentile", bit, parts_per_million)`` those for which, of all local roots of
    their route so far, themselves included and at least 100, at most the rest of the million is in their
    ``duration_bucket`` or above (all counts of a route are halved when they reach 4,096); ``("baseline", bit,
    threshold)`` those whose id's low 56 bits are at or above the threshold. Each local root is an observation to all
    of them, whatever its trace is. 1,024 routes are told apart (by ``rare`` in each window); the rest share one place.
    A rule that is none of these is a ValueError.

    ``reasons`` are 32 names, or None, of the bits. Local roots get the attribute ``fasttrace.keep_reason`` when they
    are kept, with the name of the lowest bit that their trace has by then: it is appended to the record.

    A trace counts 160 bytes as long as it is known, a record its length and 32. Over ``max_bytes`` the dropped go
    first, in the order in which they were dropped, and are sampled out; then the undecided, by last activity, counted
    as ``trace_evicted``. The kept and gone are remembered by last use: at most ``remember``, and at most as many as
    fit a quarter of ``max_bytes``. A record that would bring what its trace holds over ``max_trace_bytes`` is not
    held and counted as ``trace_evicted``; its bits count, and so does the end of a local root. Kept records that wait
    for ``take`` are outside these bounds.
    """

    held_spans: int
    held_bytes: int
    kept_spans: int
    kept_bytes: int
    next_due_ns: int

    def add(self, records: bytes, now_ns: int) -> None:
        """Whole records, as ``Ring.take`` gives them; ValueError, and nothing added, for anything else.

        A record for which there is no memory is counted as ``trace_evicted``.
        """
        ...

    def tick(self, now_ns: int) -> None:
        """Drop the traces whose grace is over; ``next_due_ns`` is when there will be one, 0 if none waits."""
        ...

    def settle(self, now_ns: int) -> None:
        """End the grace: drop all traces that wait for it."""
        ...

    def close(self, now_ns: int) -> None:
        """The end of the process: drop whatever is not kept; what was held is sampled out."""
        ...

    def take(self, max_spans: int, max_bytes: int) -> bytes:
        """Kept records, oldest first, at most so many and so many bytes (but at least one); b"" when there are none."""
        ...

    def recall(self, trace_id: int, bit_mask: int = TAIL_RECALL, neighbours_ns: int = -1) -> int:
        """Keep a trace for these bits; how many spans are kept now that were not, 0 for one that is not known.

        With ``neighbours_ns`` of 0 or more also all held traces whose records' wall-clock interval overlaps that of
        its records, widened by so much at both ends: first those dropped, as they were dropped, then the undecided by
        last activity. ValueError for an id, bits or a time out of range.
        """
        ...

    def recall_recent(self, since_ns: int, bit_mask: int = TAIL_RECALL) -> int:
        """Keep all held traces whose last record came at or after ``since_ns``, in the same order as neighbours."""
        ...

    def stats(self) -> dict[str, Any]:
        """Figures: traces, spans and bytes by where they are, and what was lost.

        ``traces``, ``undecided``, ``dropped`` and ``remembered`` are traces, ``held_*`` and ``kept_*`` spans and bytes.
        Cumulative: ``sampled_out`` and ``trace_evicted`` spans; ``evicted_traces`` (undecided ones) and
        ``truncated_traces``; ``kept_traces``, a dict from bits to traces whose lowest it was when they were kept.
        ``oldest_dropped_ns`` is when the oldest dropped trace that is held got its last record, 0 without one.
        """
        ...

    def reset_after_fork(self) -> None:
        """In a forked child: forget everything, and leave what the parent's thread may have been changing alone."""
        ...


# --- span ------------------------------------------------------------------------------------------


class Span(Protocol):
    """Module ``span``. One operation, from start to end (OpenTelemetry Trace API, "Span").

    Made by a ``Tracer``. Calls after ``end()``, and on a span that is not recording, do nothing.
    Nothing here raises into the application for a bad value: it is dropped and counted. May be used
    from several threads. Reads (`name`, `kind`, `attributes`, `status`, ...) serve instrumentations.
    """

    name: str
    kind: SpanKind
    attributes: dict[str, AttributeValue]
    status: Status
    start_time_ns: int
    end_time_ns: int | None
    parent_span_id: int
    # The fields of SpanContext stand on a span, too.
    trace_id: int
    span_id: int
    trace_id_hex: str
    span_id_hex: str
    trace_flags: int
    trace_state: TraceState
    sampled: bool
    scope: InstrumentationScope

    def get_span_context(self) -> SpanContext:
        """The part of this span that travels."""
        ...

    def is_recording(self) -> bool:
        """True from start to end, if the sampler chose to record."""
        ...

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set one attribute; a key that is there is replaced in place. The value is taken as it is now."""
        ...

    def set_attributes(self, attributes: Attributes) -> None:
        """Set several attributes."""
        ...

    def add_event(self, name: str, attributes: Attributes | None = None, timestamp: int | None = None) -> None:
        """Add an event; ``timestamp`` is nanoseconds since the Unix epoch, now if None."""
        ...

    def add_link(self, context: SpanContext | Span | Context, attributes: Attributes | None = None) -> None:
        """Link another span. An invalid context is ignored unless it has attributes or a tracestate."""
        ...

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an ``exception`` event with type, message, stack trace and whether it escaped the span."""
        ...

    def set_status(self, status: StatusCode | Status, description: str | None = None) -> None:
        """Set the outcome. OK is final, UNSET is ignored, only ERROR keeps its description."""
        ...

    def update_name(self, name: str) -> None:
        """Rename the span."""
        ...

    def end(self, end_time: int | None = None) -> None:
        """End the span: encode it once and queue the record; ``end_time`` is nanoseconds since the Unix epoch."""
        ...

    def __enter__(self) -> Span: ...

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None: ...

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function, generator function or async generator function."""
        ...


class Tracer(Protocol):
    """Module ``span``. Makes spans for one instrumentation scope. Without a recorder it only forwards the context.

    ``Tracer(scope, recorder=None)``.
    """

    scope: InstrumentationScope
    recorder: Recorder | None

    def bind(self, recorder: Recorder | None) -> None:
        """Send the spans started from now on to this recorder."""
        ...

    def start_span(
        self,
        name: str,
        context: Context | Span | SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        links: Iterable[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """Start a span that is not made current. Parent: ``context``, or what is current.

        ``start_time`` is nanoseconds since the Unix epoch. As a context manager it ends itself.
        """
        ...

    def start_as_current_span(
        self,
        name: str,
        context: Context | Span | SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        links: Iterable[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Span:
        """A span that starts and becomes current on entering the ``with`` block, and ends on leaving it.

        Also a decorator for functions, coroutine functions, generator and async generator functions.
        """
        ...


class Recorder(Protocol):
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

    ring: Ring
    limits: SpanLimits
    scopes: list[InstrumentationScope]
    thresholds: tuple[int, int, int, int, int]
    ot_members: tuple[str | None, str | None, str | None, str | None, str | None]
    decide: Callable[..., tuple[int, Attributes | None, str | None]] | None
    on_expire: Callable[[], None] | None
    expires_ns: int
    observe: bool
    record_unsampled: bool
    detail: int
    tail_rules: tuple[tuple[Any, ...], ...]
    span_type: type[Span] | None
    processor: Any
    consumer_running: bool
    closed: bool

    def pin(self) -> None:
        """This recorder and the tracers bound to it from now on live as long as the process.

        Without a GIL nobody counts references to them any more, over which threads would meet at every span. With one
        nothing is gained, and they can still be collected.
        """
        ...

    def add_scope(self, scope: InstrumentationScope) -> int:
        """The index of a scope, adding it if it is new."""
        ...

    def counters(self) -> dict[str, int]:
        """``started, active, abandoned, sampled_out, sampler_errors`` and ``dropped_*`` for the core's reasons.

        Besides: ``timed``, the spans whose own cost was measured, one in ``layout.TIMED_EVERY``, and ``timed_ns``, the
        CPU time of their threads that their start and their end took. ``detail_spans`` of those that were sampled out,
        and ``detail_attributes``, were left out by ``detail``.
        """
        ...

    def window(self) -> dict[str, Any]:
        """The local roots that have ended since ``observe`` was set: ``requests``, ``errors``, and ``durations``.

        ``durations`` are counts by ``layout.duration_bucket``. The numbers only grow, but in a forked child.
        """
        ...

    def active_spans(self) -> list[Span]:
        """The recording spans that have started and not ended, oldest first."""
        ...


class SpanModule(Protocol):
    """Module ``span``: besides the classes, the current span."""

    def current_span(self) -> Span:
        """The current span; one that does not record, with the current ids if there are any, if none is."""
        ...
