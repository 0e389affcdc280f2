"""Django, under WSGI and ASGI: a SERVER span for every request, named by route (``GET /orders/<int:id>/``).

``instrument()`` traces every handler of the process, those that exist included; ``instrument(application)`` the one
that ``get_wsgi_application()`` or ``get_asgi_application()`` gave. The options are those of ``Server``. Exceptions
that Django answers with 500 are recorded.
"""

from __future__ import annotations

import re
import sys

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import got_request_exception

from fasttrace.integrations import asgi, wsgi
from fasttrace.integrations._applications import Applications
from fasttrace.integrations._patch import replace, restore
from fasttrace.integrations._server import KEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fasttrace._core import Tracer
    from fasttrace.integrations._patch import Patch
    from fasttrace.integrations._server import Skip

__all__ = ["instrument", "uninstrument"]

_asgi = Applications(ASGIHandler, ("__call__",), asgi.traced)
_wsgi = Applications(WSGIHandler, ("__call__",), wsgi.traced)


def instrument(
    application: ASGIHandler | WSGIHandler | None = None,
    *,
    tracer: Tracer | None = None,
    skip: Skip = None,
    capture_headers: Iterable[str] | None = None,
    trace_response: bool = False,
    durations: bool | None = None,
) -> None:
    """Trace one application, or with none given all. Calling it again changes nothing."""
    options = (tracer, skip, capture_headers, trace_response, durations)
    if application is None or isinstance(application, ASGIHandler):
        _asgi.instrument(application, lambda: asgi.server("django", *options))
    if application is None or not isinstance(application, ASGIHandler):
        _wsgi.instrument(application, lambda: wsgi.server("django", *options))
    replace(BaseHandler, "resolve_request", _resolving)
    got_request_exception.connect(_failed)


def uninstrument(application: ASGIHandler | WSGIHandler | None = None) -> None:
    """Undo ``instrument``, for one application or for all that were not chosen. Calling it again changes nothing."""
    if application is None or isinstance(application, ASGIHandler):
        _asgi.uninstrument(application)
    if application is None or not isinstance(application, ASGIHandler):
        _wsgi.uninstrument(application)
    if not _asgi.any and not _wsgi.any:
        restore(BaseHandler, "resolve_request")
        got_request_exception.disconnect(_failed)


def _resolving(original: Any, patch: Patch) -> Any:
    def resolve_request(self: BaseHandler, request: Any) -> Any:
        match = original(self, request)
        if patch.options is not None:
            exchange = _exchange(request)
            if exchange is not None:
                exchange.route = f"{request.META.get('SCRIPT_NAME', '').rstrip('/')}{_template(match)}"
        return match

    return resolve_request


def _failed(sender: Any, request: Any = None, **_: Any) -> None:
    exchange, error = _exchange(request), sys.exc_info()[1]
    if exchange is not None and error is not None:
        exchange.tell(error)


def _exchange(request: Any) -> Any:
    carrier = getattr(request, "environ", None) or getattr(request, "scope", None)
    return None if carrier is None else carrier.get(KEY)


# Neither escaped nor the beginning of a set of characters that do not match.
_ANCHOR = re.compile(r"(?<![\\\[])\^")


def _template(match: Any) -> str:
    """Django's route from the application's root; of a regular expression without its anchors."""
    route = str(getattr(match, "route", None) or "")
    return "/" + _ANCHOR.sub("", route).removesuffix("$").removesuffix(r"\Z").removeprefix("/")
