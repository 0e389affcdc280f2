"""``X-Trace-ID`` and ``X-Span-ID``: 32 and 16 lower-case hex digits, both needed. They carry no decision."""

from __future__ import annotations

from fasttrace.context import Context, Span
from fasttrace.propagation.base import remote, to_inject
from fasttrace.propagation.carrier import first, put
from fasttrace.propagation.strict import lower_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class PlainPropagator:
    """Reads and writes ``X-Trace-ID`` and ``X-Span-ID``; the decision is left to us."""

    fields: tuple[str, ...] = ("x-trace-id", "x-span-id")

    def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
        """The remote context in the headers; the context given when one is missing or malformed."""
        trace_id = lower_hex((first(carrier, "x-trace-id") or "").strip(" \t"), 32)
        span_id = lower_hex((first(carrier, "x-span-id") or "").strip(" \t"), 16)
        return remote(trace_id, span_id, context, sampled=None) if trace_id and span_id else context

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write both headers; nothing for an invalid context."""
        node = to_inject(context)
        ids = None if node is None else node.span_context
        if ids is not None:
            put(carrier, "x-trace-id", ids.trace_id_hex)
            put(carrier, "x-span-id", ids.span_id_hex)
