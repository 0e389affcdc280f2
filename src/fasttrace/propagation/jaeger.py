"""Jaeger's own headers (jaegertracing/documentation, "SDK migration"): ``uber-trace-id``, ``uberctx-*``.

Hex digits are read in either case and written lower case; the value may be percent-encoded. The parent's id is
neither checked nor kept. ``jaeger-debug-id`` without ids asks for a debug trace.
"""

from __future__ import annotations

from fasttrace.context import Context, Span
from fasttrace.propagation.base import as_context, decided, remote, to_inject
from fasttrace.propagation.carrier import first, names, put, values
from fasttrace.propagation.strict import any_hex, quote, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SAMPLED, DEBUG = 0x01, 0x02
_BAGGAGE_PREFIX = "uberctx-"
MAX_BAGGAGE_MEMBERS = 64


class JaegerPropagator:
    """Reads and writes ``uber-trace-id`` and ``uberctx-KEY``; reads ``jaeger-baggage`` and ``jaeger-debug-id``."""

    fields: tuple[str, ...] = ("uber-trace-id",)

    def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
        """The remote context and the baggage in the headers, added to the context given."""
        found = _ids(first(carrier, "uber-trace-id"), context)
        if found is context:
            debug_id = first(carrier, "jaeger-debug-id")
            if debug_id:
                found = decided(context, True, {"debug": True, "jaeger.debug_id": debug_id})
        members = _baggage(carrier)
        if not members:
            return found
        given = as_context(found)
        return Context(given, {**given.baggage, **members})

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write the headers; no ids for an invalid context."""
        node = to_inject(context)
        if node is None:
            return
        ids = node.span_context
        if ids is not None:
            flags = (SAMPLED if node.sampled else 0) | (DEBUG if node.sampled and node.values.get("debug") else 0)
            put(carrier, "uber-trace-id", f"{ids.trace_id_hex}:{ids.span_id_hex}:0:{flags:x}")
        for key, value in node.baggage.items():
            if key and key.isascii() and key.replace("-", "").replace("_", "").replace(".", "").isalnum():
                put(carrier, _BAGGAGE_PREFIX + key, quote(str(value), ""))


def _ids(text: str | None, context: Any) -> Any:
    if text is None or len(text) > 200:
        return context
    parts = unquote(text.strip(" \t")).split(":")
    if len(parts) != 4:
        return context
    trace_id, span_id, flags = any_hex(parts[0], 32), any_hex(parts[1], 16), any_hex(parts[3], 2)
    if not trace_id or not span_id or flags is None:
        return context
    debug = flags & SAMPLED and flags & DEBUG
    return remote(trace_id, span_id, context, flags=flags & SAMPLED, values={"debug": True} if debug else None)


def _baggage(carrier: Any) -> dict[str, str]:
    members: dict[str, str] = {}
    for field in values(carrier, "jaeger-baggage"):
        for pair in field.split(",", MAX_BAGGAGE_MEMBERS):
            key, equals, value = pair.strip(" \t").partition("=")
            if key and equals and "=" not in value and len(members) < MAX_BAGGAGE_MEMBERS:
                members[key] = unquote(value)
    for name in names(carrier):
        if name.startswith(_BAGGAGE_PREFIX) and len(name) > len(_BAGGAGE_PREFIX) and len(members) < MAX_BAGGAGE_MEMBERS:
            text = first(carrier, name)
            if text is not None:
                members[name[len(_BAGGAGE_PREFIX) :]] = unquote(text)
    return members
