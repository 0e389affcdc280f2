"""Datadog's headers (DataDog/dd-trace-py, ddtrace/propagation/http.py; docs "Span and trace id formats").

``x-datadog-trace-id`` is the low half of the trace id in decimal, the high half is the tag ``_dd.p.tid``. A trace
whose low half is zero can't be expressed and is not written. A missing parent id starts a new trace.
"""

from __future__ import annotations

from fasttrace.context import Context, Span
from fasttrace.propagation.base import remote, to_inject
from fasttrace.propagation.carrier import first, put
from fasttrace.propagation.strict import decimal, lower_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_TAGS_CHARACTERS = 512
_PRIORITIES = {"-1": -1, "0": 0, "1": 1, "2": 2}
ORIGIN, PRIORITY, TAGS = "datadog.origin", "datadog.priority", "datadog.tags"


class DatadogPropagator:
    """Reads and writes ``x-datadog-*``: ids, priority, origin and the ``_dd.p.*`` tags."""

    fields: tuple[str, str, str, str, str] = (
        "x-datadog-trace-id",
        "x-datadog-parent-id",
        "x-datadog-sampling-priority",
        "x-datadog-origin",
        "x-datadog-tags",
    )

    def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
        """The remote context in the headers; the context given when an id is missing or malformed."""
        low = decimal((first(carrier, "x-datadog-trace-id") or "").strip(" \t"), 64)
        span_id = decimal((first(carrier, "x-datadog-parent-id") or "").strip(" \t"), 64)
        if not low or not span_id:
            return context
        priority = _PRIORITIES.get((first(carrier, "x-datadog-sampling-priority") or "").strip(" \t"))
        tags = _tags(first(carrier, "x-datadog-tags") or "")
        high = lower_hex(tags.pop("_dd.p.tid", ""), 16)
        kept = {
            ORIGIN: _printable(first(carrier, "x-datadog-origin")),
            PRIORITY: priority,
            TAGS: ",".join(f"{key}={value}" for key, value in tags.items()) or None,
        }
        sampled = None if priority is None else priority > 0
        return remote(high << 64 | low, span_id, context, sampled=sampled, values=kept)

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write the headers; nothing for an invalid context or one that can't be expressed."""
        node = to_inject(context)
        ids = None if node is None else node.span_context
        if node is None or ids is None or not ids.trace_id & 0xFFFF_FFFF_FFFF_FFFF:
            return
        put(carrier, "x-datadog-trace-id", str(ids.trace_id & 0xFFFF_FFFF_FFFF_FFFF))
        put(carrier, "x-datadog-parent-id", str(ids.span_id))
        kept = node.values
        priority = kept.get(PRIORITY)
        if node.sampled is not None:
            if priority is None or (priority > 0) != node.sampled:
                priority = 1 if node.sampled else 0
            put(carrier, "x-datadog-sampling-priority", str(priority))
        if kept.get(ORIGIN):
            put(carrier, "x-datadog-origin", kept[ORIGIN])
        high = ids.trace_id >> 64
        tags = [f"_dd.p.tid={high:016x}"] if high else []
        if kept.get(TAGS):
            tags.append(kept[TAGS])
        text = ",".join(tags)
        if text:
            # Above the limit the others go as a whole, but the trace id must arrive.
            put(carrier, "x-datadog-tags", text if len(text) <= MAX_TAGS_CHARACTERS else tags[0])


def _tags(text: str) -> dict[str, str]:
    """The ``_dd.p.*`` tags; none at all when the text is too long or one is malformed."""
    found: dict[str, str] = {}
    if not text or len(text) > MAX_TAGS_CHARACTERS or not text.isascii() or not text.isprintable():
        return found
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if not key or not equals or not value or " " in key:
            return {}
        if key.startswith("_dd.p."):
            found[key] = value
    return found


def _printable(text: str | None) -> str | None:
    return text if text and len(text) <= 256 and text.isascii() and text.isprintable() else None
