"""W3C Trace Context: ``traceparent`` and ``tracestate``."""

from __future__ import annotations

from fasttrace._core import headers
from fasttrace.context import Context, Span, TraceState, current_node
from fasttrace.propagation.carrier import first, put, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class TraceContextPropagator:
    """Reads and writes ``traceparent`` and ``tracestate`` (W3C Trace Context level 2, sections 3.2 and 3.3).

    A tracestate with an invalid member, or more than 32, is dropped as a whole and never harms the traceparent.
    """

    fields: tuple[str, ...] = ("traceparent", "tracestate")

    def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
        """The remote context in the headers; the context given when there is none, several or a malformed one."""
        text = first(carrier, "traceparent")
        if text is None:
            return context
        state = values(carrier, "tracestate")
        header = TraceState.from_header(state).to_header() if state else None
        found = headers.parse_traceparent(text, header, context)
        return context if found is None else found

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write both headers; nothing for an invalid context."""
        node: Any = current_node() if context is None else context
        if node is None:
            return
        text = headers.format_traceparent(node)
        if not text:
            return
        put(carrier, "traceparent", text)
        carrying: Any = node.span_context if type(node) is Context else node
        state = carrying.trace_state.to_header()
        if state:
            put(carrier, "tracestate", state)
