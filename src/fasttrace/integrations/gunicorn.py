"""gunicorn: SERVER spans of applications that make none themselves, whatever they are made with.

``instrument()`` traces what the workers of the process load from then on: WSGI applications, and ASGI ones of
gunicorn's own ASGI worker and of uvicorn's. The options are those of ``Server``.
"""

from __future__ import annotations

from inspect import iscoroutinefunction

from gunicorn.app.base import BaseApplication

from fasttrace.integrations import asgi, wsgi
from fasttrace.integrations._applications import is_traced
from fasttrace.integrations._patch import replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fasttrace._core import Tracer
    from fasttrace.integrations._patch import Patch
    from fasttrace.integrations._server import Skip

__all__ = ["instrument", "uninstrument"]


def instrument(
    *,
    tracer: Tracer | None = None,
    skip: Skip = None,
    capture_headers: Iterable[str] | None = None,
    trace_response: bool = False,
    durations: bool | None = None,
) -> None:
    """Trace what gunicorn serves. Calling it again changes nothing."""
    options = (tracer, skip, capture_headers, trace_response, durations)
    replace(BaseApplication, "wsgi", _loading, options)


def uninstrument() -> None:
    """Undo ``instrument`` for what is not served yet. Calling it again changes nothing."""
    restore(BaseApplication, "wsgi")


def _loading(original: Any, patch: Patch) -> Any:
    def load(self: BaseApplication) -> Any:
        app = original(self)
        # What is no function of WSGI or ASGI is tornado's, whose worker wants it as it is.
        if patch.options is None or is_traced(app) or type(app).__module__.startswith("tornado."):
            return app
        if iscoroutinefunction(app) or iscoroutinefunction(app.__call__):
            self.callable = asgi.Traced(app, asgi.server("gunicorn", *patch.options))
        else:
            self.callable = wsgi.Traced(app, wsgi.server("gunicorn", *patch.options))
        return self.callable

    return load
