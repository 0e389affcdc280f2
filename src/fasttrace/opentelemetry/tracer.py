"""Tracers that are both: the core's, and OpenTelemetry's."""

from __future__ import annotations

from opentelemetry import context as context_api
from opentelemetry.trace import Tracer as ApiTracer
from opentelemetry.trace import use_span
from opentelemetry.util._decorator import _agnosticcontextmanager

from fasttrace._core import SpanKind
from fasttrace._core import Tracer as CoreTracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fasttrace.opentelemetry.provider import TracerProvider
    from fasttrace.opentelemetry.span import Span


class Tracer(CoreTracer, ApiTracer):  # type: ignore[misc]
    """A tracer of fasttrace that OpenTelemetry knows; ``start_span`` and ``start_as_current_span`` are the core's.

    Made by providers, each of which has a subclass of its own, which knows it.
    """

    _provider: TracerProvider

    @property
    def resource(self) -> Any:
        """The provider's resource, where the SDK's tracer has it and the logging instrumentation looks for it."""
        return self._provider.resource


class ApiContextTracer(Tracer):
    """Where the user has chosen another runtime context for OpenTelemetry: it says what is current."""

    def start_span(self, name: str, context: Any = None, *rest: Any, **named: Any) -> Any:
        """Start a span that is not made current."""
        if context is None:
            context = context_api.get_current()
        return super().start_span(name, context, *rest, **named)

    @_agnosticcontextmanager
    def start_as_current_span(  # type: ignore[override]
        self,
        name: str,
        context: Any = None,
        kind: Any = SpanKind.INTERNAL,
        attributes: Any = None,
        links: Any = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        """A span that is current, to OpenTelemetry, within the ``with`` block."""
        span: Span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        with use_span(span, end_on_exit, record_exception, set_status_on_exception):
            yield span
