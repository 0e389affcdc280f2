"""Flask: a SERVER span for every request, named by route (``GET /orders/<int:id>``).

``instrument()`` traces every application of the process, those that exist included; ``instrument(app)`` one. The
options are those of ``Server``. Exceptions that Flask answers with 500 are recorded.
"""

from __future__ import annotations

from flask import Flask, got_request_exception, request

from fasttrace.integrations import wsgi
from fasttrace.integrations._applications import Applications
from fasttrace.integrations._server import KEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fasttrace._core import Tracer
    from fasttrace.integrations._server import Skip

__all__ = ["instrument", "uninstrument"]

# Both are called by servers: the application, and what others have wrapped of it.
_applications = Applications(Flask, ("__call__", "wsgi_app"), wsgi.traced)


def instrument(
    app: Flask | None = None,
    *,
    tracer: Tracer | None = None,
    skip: Skip = None,
    capture_headers: Iterable[str] | None = None,
    trace_response: bool = False,
    durations: bool | None = None,
) -> None:
    """Trace one application, or with none given all. Calling it again changes nothing."""
    options = (tracer, skip, capture_headers, trace_response, durations)
    _applications.instrument(app, lambda: wsgi.server("flask", *options))
    got_request_exception.connect(_failed)


def uninstrument(app: Flask | None = None) -> None:
    """Undo ``instrument``, for one application or for all that were not chosen. Calling it again changes nothing."""
    _applications.uninstrument(app)
    if not _applications.any:
        got_request_exception.disconnect(_failed)


def _failed(sender: Any, exception: BaseException | None = None, **_: Any) -> None:
    exchange = request.environ.get(KEY)
    if exchange is not None and exception is not None:
        exchange.look_for_route()
        exchange.tell(exception)
