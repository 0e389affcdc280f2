"""What queues have in common: PRODUCER and CONSUMER spans (OpenTelemetry semantic conventions, "Messaging spans").

A message is processed below the span that sent it, in one trace.
"""

from __future__ import annotations

from fasttrace._core import SpanKind
from fasttrace.context import Context
from fasttrace.integrations._http import asks
from fasttrace.propagation import extract

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace._core import Span, Tracer

__all__ = ["message_attributes", "message_context", "process_span", "send_span"]

# A message without headers is a root, whatever is current in the worker.
_NO_PARENT = Context()


def message_attributes(
    system: str, operation: str, destination: str | None = None, message_id: str | None = None
) -> dict[str, Any]:
    """OpenTelemetry's attributes of sending (``send``) or processing (``process``) a message."""
    attributes = {
        "messaging.system": system,
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
    }
    if destination:
        attributes["messaging.destination.name"] = destination
    if message_id:
        attributes["messaging.message.id"] = message_id
    return attributes


def message_context(headers: Any) -> Context:
    """The context in a message's headers; an empty one when they have none."""
    return extract(headers, _NO_PARENT)


def send_span(tracer: Tracer, what: str, attributes: Callable[[], dict[str, Any]]) -> Span:
    """The span of sending, to be entered: ``what`` is the destination or the kind of message.

    ``attributes`` is called for a sampler that wants to see them; whoever enters sets them when the span records.
    """
    asked = attributes() if asks(tracer) else None
    return tracer.start_as_current_span("send " + what, None, SpanKind.PRODUCER, asked)


def process_span(tracer: Tracer, what: str, context: Context | None, attributes: Callable[[], dict[str, Any]]) -> Span:
    """The span of processing, to be entered; without a context it is the child of what is current."""
    asked = attributes() if asks(tracer) else None
    return tracer.start_as_current_span("process " + what, context, SpanKind.CONSUMER, asked)
