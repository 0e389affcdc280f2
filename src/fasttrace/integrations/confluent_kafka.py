"""confluent-kafka: a PRODUCER span for every message that is produced, and its context in the message's headers.

``instrument()`` puts a subclass in the place of ``confluent_kafka.Producer``: call it before ``from confluent_kafka
import Producer``. The span ends when the message is queued. Messages are processed in
``with fasttrace.integrations.kafka.process(message):``.
"""

from __future__ import annotations

from typing import Any

import confluent_kafka

from fasttrace._version import __version__
from fasttrace.integrations._patch import replace, restore
from fasttrace.integrations.kafka import sending
from fasttrace.process import get_tracer

__all__ = ["instrument", "uninstrument"]

_TRACER = get_tracer("fasttrace.integrations.confluent_kafka", __version__)
_Original: Any = confluent_kafka.Producer
_on = False
# From so many positional arguments after the topic on, the headers may be among them: then it is left alone.
_HEADERS = 5


class _Producer(_Original):  # type: ignore[misc]
    """confluent_kafka's own, whose messages carry the context."""

    def produce(self, topic: Any, *args: Any, **options: Any) -> Any:
        """Queue one message, traced."""
        if not _on or len(args) >= _HEADERS:
            return super().produce(topic, *args, **options)
        with sending(_TRACER, topic, options):
            return super().produce(topic, *args, **options)


for _name in ("__module__", "__name__", "__qualname__", "__doc__"):
    setattr(_Producer, _name, getattr(_Original, _name))


def instrument(producer: None = None) -> None:
    """Trace every producer that is made from now on. Calling it again changes nothing.

    Raises TypeError when a producer is given: one that exists can't be changed.
    """
    global _on
    if producer is not None:
        raise TypeError(
            "confluent-kafka's producers can't be changed one by one: "
            "use producer.produce(..., headers=fasttrace.integrations.kafka.inject_headers())"
        )
    _on = True
    confluent_kafka.Producer = _Producer
    replace(confluent_kafka.SerializingProducer, "produce", _produce)


def uninstrument(producer: None = None) -> None:
    """Undo ``instrument``, for producers that exist, too. Calling it again changes nothing."""
    global _on
    _on = False
    if confluent_kafka.Producer is _Producer:
        confluent_kafka.Producer = _Original
    restore(confluent_kafka.SerializingProducer, "produce")


def _produce(original: Any, patch: Any) -> Any:
    def produce(self: Any, topic: Any, *args: Any, **options: Any) -> Any:
        if patch.options is None or len(args) >= _HEADERS:
            return original(self, topic, *args, **options)
        with sending(_TRACER, topic, options):
            return original(self, topic, *args, **options)

    return produce
