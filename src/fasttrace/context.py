"""What is current, and the part of a span that travels: the core's classes under their public names."""

from __future__ import annotations

from fasttrace._core import Context, Span, SpanContext, TraceState, attach, current_node, current_span, detach

__all__ = ["Context", "Span", "SpanContext", "TraceState", "attach", "current_node", "current_span", "detach"]
