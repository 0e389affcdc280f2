"""The provider behind OpenTelemetry's API, around a provider of fasttrace."""

from __future__ import annotations

import logging
import os

from opentelemetry import propagate, trace

from fasttrace import config, process, propagation
from fasttrace import provider as native
from fasttrace._core import ids
from fasttrace.context import UNTRACED
from fasttrace.opentelemetry import adapters, context, propagator, readable
from fasttrace.opentelemetry.span import Span
from fasttrace.opentelemetry.suppression import suppressed
from fasttrace.opentelemetry.tracer import ApiContextTracer, Tracer
from fasttrace.tracer import TracerRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.opentelemetry.processors import Processors

_logger = logging.getLogger(__name__)
_EXPORTER_VARIABLES = ("FASTTRACE_EXPORTER", "OTEL_TRACES_EXPORTER")


class TracerProvider(trace.TracerProvider):
    """OpenTelemetry's provider with fasttrace inside; takes what its SDK's takes, and what ``configure`` takes.

    ``sampler``, ``resource``, ``id_generator`` and ``span_limits`` may be fasttrace's or anybody's who has the methods
    of OpenTelemetry's. Spans go to an OTLP receiver unless ``exporter`` or a variable says otherwise. What is left is
    sent at exit whatever ``shutdown_on_exit`` says; processors are shut down if it does.
    """

    # What add_span_processor has added; None without.
    _processors: Processors | None = None

    def __init__(
        self,
        sampler: Any = None,
        resource: Any = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        id_generator: Any = None,
        span_limits: Any = None,
        *,
        meter_provider: Any = None,
        **own: Any,
    ) -> None:
        if own.get("exporter") is None and not any(os.environ.get(name, "").strip() for name in _EXPORTER_VARIABLES):
            own["exporter"] = "otlp"
            self.default_exporter: bool = True
        else:
            self.default_exporter = False
        self._given_resource = resource
        self._given_sampler = sampler
        self.id_generator: Any = ids if id_generator is None else id_generator
        self.shutdown_on_exit = shutdown_on_exit
        self._closed = False
        self._bind(
            native.TracerProvider(
                sampler=adapters.sampler(sampler),
                resource=adapters.resource(resource),
                id_generator=adapters.id_generator(id_generator),
                span_limits=adapters.span_limits(span_limits),
                **own,
            )
        )
        if active_span_processor is not None:
            self.add_span_processor(active_span_processor)

    @classmethod
    def around(cls, provider: native.TracerProvider) -> TracerProvider:
        """Put a provider that ``configure`` has made behind OpenTelemetry's API."""
        made = cls.__new__(cls)
        made.default_exporter = False
        made._given_resource = made._given_sampler = None
        made.id_generator = ids
        made.shutdown_on_exit = True
        made._closed = False
        made._bind(provider)
        return made

    def _bind(self, provider: native.TracerProvider) -> None:
        """Have this provider's tracers, those handed out before as well, record with a provider of fasttrace."""
        ours = context.put_in_place()
        UNTRACED._view = suppressed(UNTRACED)
        readable.pass_for_stock(Span)
        provider.recorder.span_type = type("Span", (Span,), {"__module__": Span.__module__, "_provider": self})
        self.native = provider
        url = getattr(self._given_resource, "schema_url", None)
        provider.pipeline.batches.schema_url = url if isinstance(url, str) else ""
        self._resource: tuple[int, Any] = (-1, None)
        if not hasattr(self, "_tracers"):
            base = Tracer if ours else ApiContextTracer
            kind = type("Tracer", (base,), {"__module__": Tracer.__module__, "_provider": self})
            self._tracers = TracerRegistry(provider.recorder, kind)
        else:
            self._tracers.bind(provider.recorder)
        if self._processors is not None:
            from fasttrace.opentelemetry import processors

            processors.bind(self)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        """The tracer of an instrumentation scope; the same object for equal arguments."""
        if self._closed or self.native.settings.disabled:
            return trace.NoOpTracer()
        if not instrumenting_module_name:
            _logger.error("get_tracer was called without the name of the instrumentation; the empty one is used")
        tracer: Any = self._tracers.get(
            instrumenting_module_name or "", instrumenting_library_version, schema_url, attributes
        )
        return tracer  # type: ignore[no-any-return]

    @property
    def resource(self) -> Any:
        """The resource: an object with ``attributes`` and ``schema_url``; the one that was given, if it is one."""
        if hasattr(self._given_resource, "attributes") and hasattr(self._given_resource, "schema_url"):
            return self._given_resource
        generation = ids.fork_generation()
        if self._resource[0] != generation:
            schema_url = getattr(self._given_resource, "schema_url", None) or ""
            self._resource = generation, adapters.Resource(self.native.resource, schema_url)
        return self._resource[1]

    @property
    def sampler(self) -> Any:
        """The sampler, as it was given."""
        return self.native.sampler if self._given_sampler is None else self._given_sampler

    def add_span_processor(self, span_processor: Any) -> None:
        """Have a processor of OpenTelemetry's shape see every span; the default exporter is switched off by it."""
        from fasttrace.opentelemetry import processors

        processors.add(self, span_processor)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what has ended; True when all of it was delivered in time."""
        from fasttrace.opentelemetry import processors

        return processors.force_flush(self, timeout_millis / 1000)

    def shutdown(self) -> None:
        """Send what is left, then stop: tracers handed out from now on do nothing."""
        from fasttrace.opentelemetry import processors

        self._closed = True
        processors.shutdown(self)
        self.native.shutdown(self.native.settings.exit_timeout)


def process_provider(*, propagators: Any = None, **arguments: Any) -> TracerProvider:
    """A provider behind OpenTelemetry's API that is also that of the process: native tracers record with it, too.

    Without arguments it is the one that ``fasttrace.configure`` has made, if it has been called.
    """
    if propagators is not None:
        propagators = config.check_argument("propagators", propagators)
        propagation.set_propagators(propagators)
    global _of_process
    current = process.follow(_follow) if _of_process is None else _of_process.native
    if current is not None and not arguments:
        if _of_process is None:
            _of_process = TracerProvider.around(current)
        return _of_process
    made = TracerProvider(**arguments)
    if propagators is None:
        propagation.set_propagators(made.native.settings.propagators)
    if _of_process is None:
        _of_process = made
    process.make_current(made.native)
    return _of_process


_of_process: TracerProvider | None = None


def _follow(provider: native.TracerProvider) -> None:
    """The process has another provider: what OpenTelemetry has in hand records with that one from now on."""
    if _of_process is not None and _of_process.native is not provider:
        _of_process._bind(provider)


def install(*, propagators: Any = None, **arguments: Any) -> TracerProvider:
    """Trace this process through OpenTelemetry's API, and through fasttrace's own, into one pipeline.

    ``arguments`` are those of ``TracerProvider``; without any, what ``fasttrace.configure`` has set up goes on.
    ``configure`` may as well come later. ``propagators`` are those of ``configure``, for both; without them, those of
    OpenTelemetry stay, but for the default pair, whose place is taken by what does the same in the core.
    """
    provider = process_provider(propagators=propagators, **arguments)
    if trace._TRACER_PROVIDER is not provider:
        trace.set_tracer_provider(provider)
    if propagators is not None or propagator.is_default(propagate.get_global_textmap()):
        propagate.set_global_textmap(propagator.FasttracePropagator())
    return provider
