"""One request, one CLIENT span, where one HTTP client stands on another: requests on urllib3 on http.client.

The client that the application called makes the span. Those below find it under what is current, and make spans only
of what they send again on their own.
"""

from __future__ import annotations

import sys

from fasttrace._core import Context
from fasttrace._core.types import UNTRACED_KEY
from fasttrace.context import attach, current_node, detach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace._core import Span

__all__ = ["PASS", "POOL", "RESEND_COUNT", "TOP", "WIRE", "Open", "Untraced", "opened", "times_sent", "untraced"]

RESEND_COUNT = "http.request.resend_count"
# A client leaves the requests of those above it alone.
WIRE, POOL, TOP, _ALL = 1, 2, 3, 4
PASS = -1


class Open:
    """A request that is under way: whose it is, and how often the next one below (``sender``) has sent it."""

    __slots__ = ("attempts", "rank", "request", "sender", "span")

    def __init__(self, rank: int, request: Any, span: Span | None) -> None:
        self.rank = rank
        self.request = request
        self.span = span
        self.sender = 0
        self.attempts = 0


# By the node that is current meanwhile: a mark that ends with the request, also for tasks that were started inside.
opened: dict[Any, Open] = {}


def times_sent(rank: int, request: Any, reason: Callable[[Any], dict[str, Any]]) -> int:
    """How often the clients below one that made a span have sent its request before; PASS to make no span now.

    0 when no other client's request is under way. Nothing is traced of our own exporters' requests, and of those that
    OpenTelemetry's context says so of. ``reason`` gives attributes of the event for a request that is sent again.
    """
    node = current_node()
    if node is None:
        return 0
    carried = node._carried
    if carried is not None and UNTRACED_KEY in carried:
        return PASS
    outer = opened.get(node)
    if type(node) is Context:
        if _suppressed(node):
            return PASS
        if outer is None:
            outer = opened.get(node.span)
    if outer is None or outer.rank < rank or (outer.rank == rank and outer.request is not request):
        return 0
    span = outer.span
    if span is None or rank < outer.sender:
        return PASS
    attempts = outer.attempts
    outer.attempts = attempts + 1
    outer.sender = rank
    if attempts == 0:
        return PASS
    span.add_event("http.resend", {RESEND_COUNT: attempts, **reason(request)})
    return attempts


def untraced() -> bool:
    """Whether what is current says to trace nothing: a request of an exporter's, ours or OpenTelemetry's."""
    node = current_node()
    if node is None:
        return False
    carried = node._carried
    return (carried is not None and UNTRACED_KEY in carried) or (type(node) is Context and _suppressed(node))


class Untraced:
    """``with Untraced():`` the clients below leave the request alone, too; spans of the application are as ever."""

    __slots__ = ("_node", "_token")

    def __enter__(self) -> None:
        self._node = node = Context(current_node())
        self._token = attach(node)
        opened[node] = Open(_ALL, None, None)

    def __exit__(self, *exception: object) -> None:
        del opened[self._node]
        detach(self._node, self._token)


def _suppressed(node: Context) -> bool:
    """Whether OpenTelemetry's context says so, as around the requests of its own exporters of metrics and logs."""
    view: Any = node._view
    if view is None:
        return False
    api: Any = sys.modules.get("opentelemetry.context")
    return any(
        view.get(getattr(api, name, None))
        for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
    )
