"""B3, of Zipkin (openzipkin/b3-propagation): one header ``b3``, or several ``X-B3-*``.

Both propagators read both forms, the single header first, the others where it is absent or malformed; each writes
its own. A state alone (``b3: 0``) decides for the new trace. A malformed state starts a new trace. Debug is handed on.
"""

from __future__ import annotations

from fasttrace._core import headers
from fasttrace.context import Context, Span, current_node
from fasttrace.propagation.base import as_context, decided, remote, to_inject
from fasttrace.propagation.carrier import first, put, values
from fasttrace.propagation.strict import lower_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# true and false were never sent by the specification's own clients, but by others.
_SAMPLED = {"1": True, "0": False, "true": True, "false": False}


class B3Propagator:
    """Writes the single header ``b3``."""

    fields: tuple[str, ...] = ("b3",)

    def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
        """The remote context in either form; the context given when there is none."""
        text = first(carrier, "b3")
        if text is not None:
            found = headers.parse_b3(text, context)
            if found is not None:
                return _with_ids_first(found, context)
        return _extract_multi(carrier, context)

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write ``b3``; nothing for an invalid context."""
        node = current_node() if context is None else context
        text = "" if node is None else headers.format_b3(node)
        if text:
            put(carrier, "b3", text)


class B3MultiPropagator(B3Propagator):
    """Writes ``X-B3-TraceId``, ``X-B3-SpanId`` and ``X-B3-Sampled`` or ``X-B3-Flags``."""

    fields: tuple[str, ...] = ("x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags")

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write the headers; nothing for an invalid context."""
        node = to_inject(context)
        if node is None:
            return
        ids = node.span_context
        if ids is not None:
            put(carrier, "x-b3-traceid", ids.trace_id_hex)
            put(carrier, "x-b3-spanid", ids.span_id_hex)
        if node.values.get("debug") and (ids is not None or node.sampled is not None):
            put(carrier, "x-b3-flags", "1")
        elif node.sampled is not None:
            put(carrier, "x-b3-sampled", "1" if node.sampled else "0")


def _with_ids_first(found: Context, context: Context | Span | None) -> Any:
    """A decision without ids gives way to the ids of another header."""
    if found.span_context is None and as_context(context).span_context is not None:
        return context
    return found


def _extract_multi(carrier: Any, context: Context | Span | None) -> Any:
    trace, span = values(carrier, "x-b3-traceid"), values(carrier, "x-b3-spanid")
    states, flags = values(carrier, "x-b3-sampled"), values(carrier, "x-b3-flags")
    if not (trace or span or states or flags):
        return context
    debug = bool(flags) and flags[0].strip(" \t") == "1"
    state = states[0].strip(" \t") if states else None
    if not debug and state is not None and state not in _SAMPLED:
        return context
    sampled = True if debug else None if state is None else _SAMPLED[state]
    marks = {"debug": True} if debug else None
    if not trace and not span:
        return context if sampled is None else decided(context, sampled, marks)
    if len(trace) != 1 or len(span) != 1:
        return context
    trace_text = trace[0].strip(" \t")
    trace_id = lower_hex(trace_text, 32) or lower_hex(trace_text, 16)
    span_id = lower_hex(span[0].strip(" \t"), 16)
    if not trace_id or not span_id:
        return context
    return remote(trace_id, span_id, context, sampled=sampled, values=marks)
