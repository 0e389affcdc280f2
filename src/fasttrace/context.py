"""What is current, and the part of a span that travels: the core's classes under their public names."""

from __future__ import annotations

from fasttrace._core import Context, Span, SpanContext, TraceState, attach, current_node, current_span, detach
from fasttrace._core.types import UNTRACED_KEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Context", "Span", "SpanContext", "TraceState", "attach", "current_node", "current_span", "detach", "use"]

# What is current during requests of our own: what is traced there is left out, or every batch would make another one.
# Of the application's where a request is to be skipped.
UNTRACED = Context(None, None, {UNTRACED_KEY: True}, sampled=False)


class use:  # noqa: N801 - reads as a statement: with use(context):
    """``with use(context):`` makes a context or a span current for the block, without ending a span at its end."""

    __slots__ = ("_node", "_token")

    def __init__(self, context: Context | Span) -> None:
        self._node = context
        self._token: Any = None

    def __enter__(self) -> Context | Span:
        self._token = attach(self._node)
        return self._node

    def __exit__(self, *exception: object) -> None:
        detach(self._node, self._token)
