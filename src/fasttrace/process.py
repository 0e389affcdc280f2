"""The provider of the process: ``configure`` makes it, and the functions of ``fasttrace`` go to it."""

from __future__ import annotations

import _thread

from fasttrace._core import IMPL, IMPL_REASON, current_span
from fasttrace._core.layout import TAIL_KEEP
from fasttrace.provider import TracerProvider
from fasttrace.tracer import TracerRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from fasttrace._core import Span, SpanLimits, Tracer
    from fasttrace.export.base import Exporter
    from fasttrace.propagation.base import Propagator
    from fasttrace.resource import Detector
    from fasttrace.sampling import Sampler
    from fasttrace.sampling.incident import Incident
    from fasttrace.sampling.tail import Rule

# Without a GIL a pinned recorder and the provider behind it are never collected, also once another one has their place.
_MOST_PINNED = 8

_lock = _thread.allocate_lock()
_pinned = 0
_provider: TracerProvider | None = None
_tracers = TracerRegistry()
_followers: list[Callable[[TracerProvider], None]] = []


def configure(
    *,
    service_name: str | None = None,
    resource: Mapping[str, Any] | None = None,
    resource_detectors: Iterable[Detector] | None = None,
    sampler: Sampler | str | float | None = None,
    tail: Iterable[Rule | str] | str | None = None,
    incident: Incident | Iterable[Incident] | None = None,
    control_file: str | None = None,
    max_cpu_ratio: float | str | None = None,
    exporter: Exporter | str | None = None,
    propagators: Iterable[Propagator | str] | None = None,
    span_limits: SpanLimits | None = None,
    id_generator: Any = None,
    max_queue_spans: int | None = None,
    max_queue_bytes: int | None = None,
    max_batch_spans: int | None = None,
    max_batch_bytes: int | None = None,
    schedule_delay: float | None = None,
    exit_timeout: float | None = None,
    baggage_attributes: Iterable[str] | None = None,
    undelivered_dir: str | None = None,
    undelivered_max_bytes: int | None = None,
    flush_on_sigterm: bool | None = None,
) -> TracerProvider:
    """Trace this process. Tracers handed out before go live; called again, it flushes and replaces the provider.

    Each argument wins over ``FASTTRACE_*``, that over ``OTEL_*``, that over the default.
    ``service_name``: what the traces call this program. ``resource``: more attributes of it.
    ``resource_detectors``: functions that take the environment and give more of them, when the first span is sent.
    ``sampler``: one of ``fasttrace.sampling``, a name, a ratio, or a preset (``development``, ``production``,
    ``auto``); default: everything, as the parent says. ``tail``: rules of ``fasttrace.sampling.tail``, for traces
    that are kept whole whatever the sampler said. ``incident``: what raises the sampler's ratio by itself.
    ``control_file``: how ``fasttrace sampling`` reaches this process while it runs; ``none`` for not at all.
    ``max_cpu_ratio``: what tracing may take of the process's CPU (0.03, ``3%``); beyond it spans below local roots are
    left out, then attributes, then traces. Default: no limit.
    ``exporter``: an exporter or ``otlp``, ``otlp-grpc``, ``zipkin``, ``jsonlines``, ``console``, ``memory``,
    ``spool``, ``none``; default: ``otlp`` when an endpoint is set, else the local spool that ``fasttrace show`` reads.
    ``propagators``: names or objects for ``extract`` and ``inject``, in order. ``baggage_attributes``: names of
    baggage that every span gets as attributes. Queue and batches are bounded by spans and by bytes,
    ``schedule_delay`` and ``exit_timeout`` are seconds. ``undelivered_dir``: where spans wait on disk, up to
    ``undelivered_max_bytes``, while the collector is away; ``none`` for nowhere. ``flush_on_sigterm``: send what is
    left when the process is terminated, then do what would have been done.

    Raises ConfigurationError for a value that can't be used, naming it and what is accepted.
    """
    from fasttrace import config

    if propagators is not None:
        propagators = config.check_argument("propagators", propagators)
    provider = TracerProvider(
        service_name=service_name,
        resource=resource,
        resource_detectors=resource_detectors,
        sampler=sampler,
        tail=tail,
        incident=incident,
        control_file=control_file,
        max_cpu_ratio=max_cpu_ratio,
        exporter=exporter,
        span_limits=span_limits,
        id_generator=id_generator,
        max_queue_spans=max_queue_spans,
        max_queue_bytes=max_queue_bytes,
        max_batch_spans=max_batch_spans,
        max_batch_bytes=max_batch_bytes,
        schedule_delay=schedule_delay,
        exit_timeout=exit_timeout,
        baggage_attributes=baggage_attributes,
        undelivered_dir=undelivered_dir,
        undelivered_max_bytes=undelivered_max_bytes,
        flush_on_sigterm=flush_on_sigterm,
    )
    from fasttrace import propagation

    propagation.set_propagators(propagators if propagators is not None else provider.settings.propagators)
    make_current(provider)
    return provider


def make_current(provider: TracerProvider) -> None:
    """Make a provider that of the process; the one before it is flushed and stopped."""
    global _provider, _pinned
    with _lock:
        previous, _provider = _provider, provider
        if previous is not provider and _pinned < _MOST_PINNED:
            _pinned += 1
            provider.recorder.pin()
        _tracers.bind(None if provider.settings.disabled else provider.recorder)
        followers = list(_followers)
    for follower in followers:
        follower(provider)
    if previous is not None and previous is not provider:
        previous.shutdown(previous.settings.exit_timeout)


def follow(follower: Callable[[TracerProvider], None]) -> TracerProvider | None:
    """Call a function with each provider that becomes that of the process; the present one, if there is one."""
    with _lock:
        _followers.append(follower)
        return _provider


def get_tracer(
    name: str,
    version: str | None = None,
    schema_url: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Tracer:
    """The process's tracer for a library or module, usually ``__name__``.

    Before ``configure`` it only forwards the context, and goes live with it.
    """
    return _tracers.get(name, version, schema_url, attributes)


def active_spans() -> list[Span]:
    """The spans that run right now, oldest first; ``start_time_ns`` says since when."""
    return [] if _provider is None else _provider.active_spans()


def keep_trace(note: str | None = None) -> bool:
    """Keep the current trace whatever the sampler said; whether all of it will be there.

    With tail rules the whole trace is kept, and later calls tell others to keep their parts. Without, a trace that is
    left out is recorded from here on, below the current span, and the answer is False. ``note`` becomes the attribute
    ``fasttrace.keep_note`` of the current span.
    """
    span = current_span()
    kept: bool = span._keep(TAIL_KEEP)
    if note is not None:
        span.set_attribute("fasttrace.keep_note", note)
    if kept and not span.is_recording() and _provider is not None:
        # Its record, which would say so, is already on its way.
        _provider.pipeline.recall(lambda store: store.recall(span.trace_id, TAIL_KEEP))
    return kept


def recall(trace_id: int | str, neighbours: float | None = None) -> int:
    """Export what is still held of a trace that was, or would be, left out; how many spans those are.

    With ``neighbours`` also the traces that ran within so many seconds of it. There is something to recall only with
    tail rules; ``stats()["recall_seconds"]`` is how far back the memory reaches. Raises ConfigurationError.
    """
    return 0 if _provider is None else _provider.recall(trace_id, neighbours)


def stats() -> dict[str, Any]:
    """What became of every span of this process, and why. Every key is always there, all zero before ``configure``.

    ``started`` = ``active + abandoned + queued + held + spooled + exported + sampled_out`` + the sum of
    ``dropped``, whenever nothing is on the move.

    ``started``: spans begun that were to be recorded, or left out by the sampler.
    ``active``: have not ended. ``abandoned``: were collected without an end.
    ``queued``: wait in memory to be sent, or are being sent. ``queued_bytes``: their size;
    ``max_queue_spans``, ``max_queue_bytes``: the bounds of both.
    ``held``: wait for their trace's verdict, or would be left out and could still be recalled, in ``held_traces``
    traces; ``held_bytes``: what they take. ``recall_seconds``: how far back those reach.
    ``kept_traces``: traces that were kept, by reason. ``truncated_traces``: grew too large and lost spans.
    ``sampler_errors``: decisions that failed. ``sampling``: the sampler, its ratio, boosts, control file, incidents.
    ``spooled``: wait on disk for the receiver to come back.
    ``exported``: were delivered, in ``batches`` requests. ``sampled_out``: were left out by the sampler, or, so many as
    ``detail_spans``, below local roots for ``max_cpu_ratio``, as were ``detail_attributes``.
    ``dropped``: were lost, by reason. ``queue_full``: no room in memory. ``too_large``: above 4 MiB. ``encode_error``:
    could not be encoded. ``after_shutdown``: ended too late. ``forked``: begun before a fork, ended in the child.
    ``export_failed``: not delivered, and not worth another try or nowhere to wait. ``rejected``: the receiver
    refused them. ``spool_full``: no room on disk. ``trace_evicted``: their trace had to make room for others.
    ``retried_ambiguous``: spans that were sent again though they may have arrived; no others can arrive twice.
    ``undelivered``: spans that wait on disk in the care of this process, those that earlier ones left included.
    ``replayed``, ``replay_dropped``: of those that earlier ones left, delivered and lost.
    ``stats_file_errors``: how often these figures could not be written beside the spool.
    ``away``: whether the receiver does not answer, so that spans go to disk.
    ``last_export_time``, ``last_error_time``: seconds since 1970; ``last_error``: text; None for never.
    ``span_cpu_microseconds``: the CPU time that the start and the end of a span take their threads, the mean of those
    that were timed, one in 251: ``timed_spans``; None before the first. ``thread_cpu_seconds``: what the background
    thread has cost, as of its last round. ``cpu_seconds``: both together for all spans, since ``configure``, in this
    process; ``cpu_percent``: the same as a share of all CPU time of the process.
    ``exporter``: its class; ``destination``: its endpoint, user name, password and query masked, or its folder or file.
    ``implementation``: of the core, ``cython`` or ``python``.
    """
    if _provider is not None:
        return _provider.stats()
    from fasttrace import accounts

    return accounts.blank()


def flush(timeout: float = 5.0) -> bool:
    """Send what has ended; True when all of it was delivered within ``timeout`` seconds."""
    return True if _provider is None else _provider.flush(timeout)


async def aflush(timeout: float = 5.0) -> bool:
    """``flush`` for coroutines: waits in a thread, so that the event loop goes on."""
    import asyncio

    return await asyncio.to_thread(flush, timeout)


def shutdown(timeout: float = 5.0) -> bool:
    """Send what is left and stop tracing, within ``timeout`` seconds; done by itself at exit."""
    return True if _provider is None else _provider.shutdown(timeout)


def implementation() -> tuple[str, str]:
    """Which core runs, ``cython`` or ``python``, and why."""
    return IMPL, IMPL_REASON
