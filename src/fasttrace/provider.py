"""TracerProvider: the settings, and what is made of them."""

from __future__ import annotations

import time

from fasttrace._core import Recorder, Ring
from fasttrace._core.layout import TAIL_RECALL
from fasttrace.errors import ConfigurationError
from fasttrace.tracer import TracerRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from fasttrace._core import Span, SpanLimits, Tracer
    from fasttrace.export.base import Exporter
    from fasttrace.held import Held
    from fasttrace.resource import Detector, Detectors
    from fasttrace.sampling import Sampler
    from fasttrace.sampling.incident import Incident
    from fasttrace.sampling.tail import Rule


class TracerProvider:
    """Makes tracers whose spans go to one exporter, under one resource. Touches nothing process-wide.

    Every argument may also come from the environment; see ``fasttrace.configure``, which takes the same.
    Raises ConfigurationError for a value that can't be used, naming it and what is accepted.
    """

    def __init__(
        self,
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
    ) -> None:
        import os

        from fasttrace import config, export, lifecycle, sampling
        from fasttrace.export import spool
        from fasttrace.export.stats_file import StatsFile
        from fasttrace.pipeline import Pipeline
        from fasttrace.sampling import assembly

        lifecycle.refuse_subinterpreter()
        arguments = {
            "service_name": service_name,
            "sampler": sampler,
            "tail": tail,
            "incident": incident,
            "control_file": control_file,
            "max_cpu_ratio": max_cpu_ratio,
            "exporter": exporter,
            "span_limits": span_limits,
            "max_queue_spans": max_queue_spans,
            "max_queue_bytes": max_queue_bytes,
            "max_batch_spans": max_batch_spans,
            "max_batch_bytes": max_batch_bytes,
            "schedule_delay": schedule_delay,
            "exit_timeout": exit_timeout,
            "baggage_attributes": baggage_attributes,
            "undelivered_dir": undelivered_dir,
            "undelivered_max_bytes": undelivered_max_bytes,
            "flush_on_sigterm": flush_on_sigterm,
        }
        self.settings: config.Settings = config.resolve(arguments, os.environ)
        settings = self.settings
        self._extra_resource = dict(resource or {})
        self._detectors: Detectors | None = None
        if resource_detectors is not None:
            from fasttrace.resource import Detectors

            self._detectors = Detectors(resource_detectors)
        sampler, plan = assembly.assemble(settings, self._resource)
        self.sampler: Sampler = sampler
        self._governor = assembly.governor(
            settings,
            sampler,
            window=lambda: self.recorder.window(),
            recall=self.recall,
            recall_recent=self.recall_recent,
            bill=lambda: self.pipeline.bill,
            lower=self._lower,
        )
        # Made and checked here, where an error reaches the user.
        self.exporter: Exporter = export.create(settings.exporter, settings)
        self.recorder: Recorder = Recorder(
            Ring(settings.max_queue_spans, settings.max_queue_bytes),
            limits=settings.span_limits,
            id_generator=id_generator,
            on_first_record=self._start,
            baggage_attributes=settings.baggage_attributes,
        )
        sampling.bind(self.sampler, self.recorder)
        traces: Held | None = None
        if plan is not None:
            from fasttrace import held

            traces = held.hold(self.recorder, plan)
        # Only what somebody may want to see is timed while it is left out.
        chosen = settings.sources["control_file"] != "default" and (settings.control_file or "").lower() != "none"
        self._observed = self.recorder.observe = bool(settings.incident) or chosen
        self.pipeline: Pipeline = Pipeline(
            self.recorder,
            self.exporter,
            self._resource,
            undelivered=export.create_undelivered(self.exporter, settings),
            held=traces,
            tick=self._governor.tick,
            stats_file=StatsFile(
                lambda: spool.directory_of(self.exporter), lambda: self.pipeline.batches.service_name, self.stats
            ),
            max_batch_spans=settings.max_batch_spans,
            max_batch_bytes=settings.max_batch_bytes,
            schedule_delay=settings.schedule_delay,
            exit_timeout=settings.exit_timeout,
        )
        self._tracers = TracerRegistry(None if settings.disabled else self.recorder)
        if settings.flush_on_sigterm:
            lifecycle.flush_on_sigterm()

    def _start(self) -> None:
        self.pipeline.start()

    def _lower(self, detail: int, max_ratio: float) -> None:
        """What the budget of CPU asks for."""
        from fasttrace.sampling import binding

        self.recorder.detail = detail
        binding.set_cap(self.recorder, max_ratio)
        # The thread that takes it back must be awake, whether or not anything is recorded.
        self.recorder.observe = self._observed or max_ratio < 1

    def redirect(
        self, exporter: Exporter, *, schedule_delay: float | None = None, max_batch_spans: int | None = None
    ) -> None:
        """Send to another exporter from now on, also what is queued already. For what stands on top of a provider."""
        from fasttrace import export

        undelivered = export.create_undelivered(exporter, self.settings)
        self.exporter = exporter
        self.pipeline.redirect(exporter, undelivered, schedule_delay=schedule_delay, max_batch_spans=max_batch_spans)

    def _resource(self) -> dict[str, Any]:
        import os

        from fasttrace import resource

        return resource.build(self.settings.service_name, self._extra_resource, os.environ, self._detectors)

    @property
    def resource(self) -> dict[str, Any]:
        """The attributes of this process, as exported with every span."""
        return self._resource()

    def get_tracer(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Tracer:
        """The tracer of an instrumentation scope; the same object for equal arguments."""
        return self._tracers.get(name, version, schema_url, attributes)

    def active_spans(self) -> list[Span]:
        """The recording spans that have started and not ended, oldest first."""
        spans: list[Span] = self.recorder.active_spans()
        return spans

    def stats(self) -> dict[str, Any]:
        """What became of every span of this process, and why; see ``fasttrace.stats``."""
        return {**self.pipeline.stats(), "sampling": {**self._governor.state(), **self.sampler.state()}}

    def recall(self, trace_id: int | str, neighbours: float | None = None) -> int:
        """Export what is still held of a trace; see ``fasttrace.recall``."""
        number = _trace_number(trace_id)
        widened = -1 if neighbours is None else _nanoseconds("neighbours", neighbours)
        return self.pipeline.recall(lambda store: store.recall(number, TAIL_RECALL, widened))

    def recall_recent(self, seconds: float) -> int:
        """Export all held traces with a span that ended in the last ``seconds``; how many spans those are."""
        since = time.monotonic_ns() - _nanoseconds("seconds", seconds)
        return self.pipeline.recall(lambda store: store.recall_recent(max(0, since), TAIL_RECALL))

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what has ended; True when all of it was delivered within ``timeout`` seconds."""
        return self.pipeline.flush(timeout)

    def shutdown(self, timeout: float = 5.0) -> bool:
        """Send what is left, then stop; spans that end later are counted as ``after_shutdown``."""
        return self.pipeline.shutdown(timeout)


def _trace_number(trace_id: int | str) -> int:
    """A trace id as a number, from one or from its hexadecimal text."""
    number = trace_id
    if isinstance(number, str):
        try:
            number = int(number.strip(), 16)
        except ValueError:
            number = 0
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 1 << 128:
        raise ConfigurationError(f"trace_id={trace_id!r}: use a trace id, a number or 32 hexadecimal digits")
    return number


def _nanoseconds(name: str, seconds: float) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
        raise ConfigurationError(f"{name}={seconds!r}: use a time of 0 or more, in seconds")
    return round(seconds * 1e9)


def _detectors(given: Iterable[Detector] | None) -> Detectors | None:
    if given is None:
        return None
    from fasttrace.resource import Detectors

    return Detectors(given)
