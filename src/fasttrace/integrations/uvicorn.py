"""uvicorn: SERVER spans of applications that make none themselves, whatever they are made with.

``instrument()`` traces what any server of the process is given from then on, ``instrument(config)`` what one is. The
options are those of ``Server``.
"""

from __future__ import annotations

from uvicorn import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from fasttrace.integrations import asgi
from fasttrace.integrations._applications import ATTRIBUTE, Applications, is_traced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fasttrace._core import Tracer
    from fasttrace.integrations._patch import Patch
    from fasttrace.integrations._server import Skip

__all__ = ["instrument", "uninstrument"]


def instrument(
    config: Config | None = None,
    *,
    tracer: Tracer | None = None,
    skip: Skip = None,
    capture_headers: Iterable[str] | None = None,
    trace_response: bool = False,
    durations: bool | None = None,
) -> None:
    """Trace what one configuration, or with none given any, serves. Calling it again changes nothing."""
    options = (tracer, skip, capture_headers, trace_response, durations)
    _configs.instrument(config, lambda: asgi.server("uvicorn", *options))


def uninstrument(config: Config | None = None) -> None:
    """Undo ``instrument`` for what is not served yet. Calling it again changes nothing."""
    _configs.uninstrument(config)


def _loading(original: Any, patch: Patch) -> Any:
    def load(self: Config) -> None:
        original(self)
        server = getattr(self, ATTRIBUTE, None)
        app: Any = self.loaded_app
        if server is None or patch.options is None or is_traced(app):
            return
        # Inside of what puts the client's address into the scope, as the proxy says it.
        holder: Any = app if isinstance(app, ProxyHeadersMiddleware) else self
        name = "app" if holder is app else "loaded_app"
        setattr(holder, name, asgi.Traced(getattr(holder, name), server))

    return load


_configs = Applications(Config, ("load",), _loading)
