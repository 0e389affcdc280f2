"""aiokafka: a PRODUCER span for every record that is sent, and its context in the record's headers.

``instrument()`` traces every producer of the process, ``instrument(producer)`` one. The span ends when the record is
queued. Records are processed in ``with fasttrace.integrations.kafka.process(record):``.
"""

from __future__ import annotations

import aiokafka

from fasttrace._version import __version__
from fasttrace.integrations._patch import replace, restore
from fasttrace.integrations.kafka import sending
from fasttrace.process import get_tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["instrument", "uninstrument"]

_TRACER = get_tracer("fasttrace.integrations.aiokafka", __version__)
# Where `headers` stands among the positional arguments after the topic.
_HEADERS = 4


def instrument(producer: Any = None) -> Any:
    """Trace every producer of the process, or one, which it gives back. Calling it again changes nothing."""
    replace(aiokafka.AIOKafkaProducer if producer is None else producer, "send", _send)
    return producer


def uninstrument(producer: Any = None) -> Any:
    """Undo ``instrument`` for one producer, or the process-wide one. Calling it again changes nothing."""
    restore(aiokafka.AIOKafkaProducer if producer is None else producer, "send")
    return producer


def _send(original: Any, patch: Any) -> Any:
    async def send(self: Any, topic: str, *args: Any, **options: Any) -> Any:
        if patch.options is None or patch.leaves(self):
            return await original(self, topic, *args, **options)
        if len(args) > _HEADERS:
            options["headers"], args = args[_HEADERS], args[:_HEADERS]
        with sending(_TRACER, topic, options):
            return await original(self, topic, *args, **options)

    return send
