"""FastAPI: a SERVER span for every request and WebSocket, named by route (``GET /orders/{id}``).

``instrument()`` traces every application of the process, those that exist included; ``instrument(app)`` one. The
options are those of ``Server``.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.applications import Starlette

from fasttrace.integrations import asgi
from fasttrace.integrations._applications import Applications

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fasttrace._core import Tracer
    from fasttrace.integrations._server import Skip

__all__ = ["instrument", "uninstrument"]

# Starlette's method: FastAPI's own has put the application's root into the scope by then.
_applications = Applications(Starlette, ("__call__",), asgi.traced, FastAPI)


def instrument(
    app: FastAPI | None = None,
    *,
    tracer: Tracer | None = None,
    skip: Skip = None,
    capture_headers: Iterable[str] | None = None,
    trace_response: bool = False,
    durations: bool | None = None,
) -> None:
    """Trace one application, or with none given all. Calling it again changes nothing."""
    options = (tracer, skip, capture_headers, trace_response, durations)
    _applications.instrument(app, lambda: asgi.server("fastapi", *options))


def uninstrument(app: FastAPI | None = None) -> None:
    """Undo ``instrument``, for one application or for all that were not chosen. Calling it again changes nothing."""
    _applications.uninstrument(app)
