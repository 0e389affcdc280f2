"""The span that is both: the core's, and one of OpenTelemetry's API."""

from __future__ import annotations

from types import MappingProxyType

from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanKind, Status, StatusCode

from fasttrace._core import Span as CoreSpan
from fasttrace.opentelemetry.convert import api_span_context
from fasttrace.opentelemetry.readable import ReadableMixin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fasttrace.opentelemetry.convert import SpanContext
    from fasttrace.opentelemetry.provider import TracerProvider

_KINDS = tuple(SpanKind)
_CODES = tuple(StatusCode)
# The core's reads, as functions.
_kind = CoreSpan.kind.__get__
_status = CoreSpan.status.__get__
_attributes = CoreSpan.attributes.__get__


class Span(CoreSpan, ReadableMixin, ApiSpan):  # type: ignore[misc]
    """A span of fasttrace that OpenTelemetry knows: what runs per span is the core's, reads give OpenTelemetry's types.

    Made by tracers; each provider has a subclass of its own, which knows it.
    """

    _provider: TracerProvider | None = None

    def get_span_context(self) -> SpanContext:  # type: ignore[override]
        """The part of this span that travels."""
        return api_span_context(self)

    @property
    def context(self) -> SpanContext:
        """The part of this span that travels."""
        return self.get_span_context()

    @property
    def kind(self) -> SpanKind:  # type: ignore[override]
        """The role of this span."""
        return _KINDS[int(_kind(self))]

    @property
    def status(self) -> Status:  # type: ignore[override]
        """The outcome so far."""
        found = _status(self)
        return Status(_CODES[int(found.status_code)], found.description)

    @property
    def attributes(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The attributes, to read; a copy of what is there now."""
        return MappingProxyType(_attributes(self))
