"""urllib3: a CLIENT span for every request that is sent, retries and redirects included (OpenTelemetry, "HTTP client").

``instrument()`` traces every pool of the process, ``instrument(manager)`` or ``instrument(pool)`` one. Each attempt is
a span of its own, the second one on with ``http.request.resend_count``; waiting for a connection of the pool and the
pauses between attempts are between them. A span ends with the response's headers, or with its body where urllib3 reads
that at once (``preload_content``). Below requests there are only the attempts that urllib3 adds.
"""

from __future__ import annotations

import urllib3

from fasttrace.integrations._client import Client
from fasttrace.integrations._http import error_type
from fasttrace.integrations._layers import POOL
from fasttrace.integrations._patch import Patch, replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from fasttrace.integrations._client import Skip

    Target = urllib3.PoolManager | urllib3.HTTPConnectionPool

__all__ = ["instrument", "uninstrument"]

_ATTEMPT = "_make_request"
_NEW_POOL = "_new_pool"
# What urllib3 itself names.
_POSITIONAL = (
    *("body", "headers", "retries", "timeout", "chunked", "response_conn", "preload_content", "decode_content"),
    "enforce_content_length",
)
_PORTS = {"http": 80, "https": 443}


class _Attempt:
    __slots__ = ("method", "options", "pool", "target")

    def __init__(self, pool: urllib3.HTTPConnectionPool, method: str, target: str, options: dict[str, Any]) -> None:
        self.pool = pool
        self.method = method
        self.target = target
        self.options = options


class _Urllib3(Client):
    rank = POOL
    library = "urllib3"

    def url(self, request: _Attempt) -> str:
        target = request.target
        if not target.startswith("/"):
            return target  # what a proxy is asked for
        pool = request.pool
        host = pool.host
        if ":" in host:
            host = f"[{host}]"
        if pool.port and pool.port != _PORTS.get(pool.scheme or ""):
            return f"{pool.scheme}://{host}:{pool.port}{target}"
        return f"{pool.scheme}://{host}{target}"

    def headers(self, request: _Attempt) -> Any:
        return request.options.get("headers") or {}

    def inject(self, request: _Attempt, headers: Mapping[str, str]) -> None:
        request.options["headers"] = add_headers(request.options.get("headers"), headers)

    def resent(self, request: _Attempt) -> int:
        return len(getattr(request.options.get("retries"), "history", ()))

    def reason(self, request: _Attempt) -> dict[str, Any]:
        history = getattr(request.options.get("retries"), "history", ())
        if not history:
            return {}
        last = history[-1]
        if last.status:
            return {"http.response.status_code": last.status}
        return {"error.type": error_type(last.error)} if last.error else {}

    def answer(self, response: urllib3.BaseHTTPResponse) -> tuple[int, Any, Any]:
        return response.status, response.version, response.headers


def instrument(
    target: Target | None = None,
    *,
    skip: Skip = None,
    capture_headers: Iterable[str] = (),
    capture_query: Iterable[str] = (),
    trace_response: bool = False,
) -> None:
    """Trace one manager or pool, or with none given every one of the process, those that exist included.

    Calling it again changes nothing. The options are those of ``_client.Client``.
    """
    traced = _Urllib3(skip, capture_headers, capture_query, trace_response)
    if target is None:
        replace(urllib3.HTTPConnectionPool, _ATTEMPT, _make, traced)
        return
    for pool in _pools(target):
        replace(pool, _ATTEMPT, _make, traced)
    if isinstance(target, urllib3.PoolManager):
        replace(target, _NEW_POOL, _make_new_pool, traced)


def uninstrument(target: Target | None = None) -> None:
    """Undo ``instrument`` for one manager or pool, or the process-wide one. Calling it again changes nothing."""
    if target is None:
        restore(urllib3.HTTPConnectionPool, _ATTEMPT)
        return
    restore(target, _NEW_POOL)
    for pool in _pools(target):
        restore(pool, _ATTEMPT)


def _pools(target: Target) -> Iterator[Any]:
    if not isinstance(target, urllib3.PoolManager):
        yield target
        return
    for key in list(target.pools.keys()):
        pool = target.pools.get(key)
        if pool is not None:
            yield pool


def _make(original: Any, patch: Patch) -> Any:
    def _make_request(self: Any, conn: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        traced = patch.options
        if traced is None or patch.leaves(self):
            return original(self, conn, method, url, *args, **kwargs)
        if args:
            kwargs.update(zip(_POSITIONAL, args, strict=False))
        return traced.send(_Attempt(self, method, url, kwargs), lambda: original(self, conn, method, url, **kwargs))

    return _make_request


def _make_new_pool(original: Any, patch: Patch) -> Any:
    def _new_pool(self: Any, *args: Any, **kwargs: Any) -> Any:
        pool = original(self, *args, **kwargs)
        if patch.options is not None:
            replace(pool, _ATTEMPT, _make, patch.options)
        return pool

    return _new_pool


def add_headers(carrier: Any, headers: Mapping[str, str]) -> Any:
    """A copy of a mapping of headers, or a new one for None, with these in place of those with the same names."""
    if carrier is None:
        return dict(headers)
    made = carrier.copy() if hasattr(carrier, "copy") else dict(carrier)
    if type(made) is dict:
        for name in [name for name in made if _lower(name) in headers]:
            del made[name]
    for name, value in headers.items():
        made[name] = value
    return made


def _lower(name: Any) -> Any:
    return name.decode("latin-1").lower() if isinstance(name, bytes) else name.lower()
