"""Kafka's message headers, whatever the client: the context in them, and the span of processing a record.

``producer.send(topic, value, headers=inject_headers(headers))`` and ``with process(record): ...`` are all that a client
needs; ``aiokafka`` and ``confluent_kafka`` have integrations that inject by themselves.
"""

from __future__ import annotations

from contextlib import contextmanager

from fasttrace._version import __version__
from fasttrace.integrations._http import note_exception
from fasttrace.integrations._messaging import message_attributes, message_context, process_span, send_span
from fasttrace.process import get_tracer
from fasttrace.propagation import MessageSetter, inject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from fasttrace._core import Span, Tracer
    from fasttrace.context import Context

__all__ = ["extract_headers", "inject_headers", "process"]

_TRACER = get_tracer("fasttrace.integrations.kafka", __version__)
_SETTER = MessageSetter()


def inject_headers(
    headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None = None, context: Context | Span | None = None
) -> list[tuple[str, bytes]]:
    """The headers given and those of a context, or of what is current, as pairs of a name and bytes: a new list.

    In the formats that ``configure(propagators=...)`` chose: ``traceparent`` or, with ``binary``, ``grpc-trace-bin``.
    """
    given: Any = headers or ()
    return inject(list(given.items() if hasattr(given, "items") else given), context, _SETTER)


def extract_headers(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes] | None) -> Context:
    """The context in a record's headers, an empty one when there is none. Never raises."""
    return message_context(headers or ())


@contextmanager
def process(record: Any, *, tracer: Tracer | None = None) -> Iterator[Span]:
    """A CONSUMER span for what is done with one record in the ``with`` block, below the span that sent it.

    The record is a message of confluent-kafka, or a ``ConsumerRecord`` of kafka-python or aiokafka.
    """
    topic = str(_of(record, "topic"))

    def attributes() -> dict[str, Any]:
        found = message_attributes("kafka", "process", topic)
        partition, offset = _of(record, "partition"), _of(record, "offset")
        if partition is not None:
            found["messaging.destination.partition.id"] = str(partition)
        if offset is not None:
            found["messaging.kafka.offset"] = offset
        return found

    context = extract_headers(_of(record, "headers"))
    with process_span(tracer or _TRACER, topic, context, attributes) as span:
        if span.is_recording():
            span.set_attributes(attributes())
        try:
            yield span
        except BaseException as error:
            note_exception(span, error)
            raise


def _of(record: Any, name: str) -> Any:
    """A field of a record, which confluent-kafka has as a method."""
    value = getattr(record, name, None)
    return value() if callable(value) else value


@contextmanager
def sending(tracer: Tracer, topic: Any, options: dict[str, Any]) -> Iterator[None]:
    """A PRODUCER span around sending; puts its context into the headers among the options of the call."""

    def attributes() -> dict[str, Any]:
        return message_attributes("kafka", "send", str(topic))

    with send_span(tracer, str(topic), attributes) as span:
        if span.is_recording():
            span.set_attributes(attributes())
        try:
            headers = inject_headers(options.get("headers"))
        except (TypeError, ValueError):
            headers = []  # not headers at all; the client says so
        if headers:
            options["headers"] = headers
        try:
            yield
        except BaseException as error:
            note_exception(span, error)
            raise
