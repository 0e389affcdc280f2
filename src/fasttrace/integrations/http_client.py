"""http.client, and urllib.request on it: a CLIENT span for every request (OpenTelemetry, "HTTP client").

``instrument()`` traces every connection of the process that no other client stands on. A span begins with
``endheaders`` (``request`` calls it) and ends when ``getresponse`` has read the headers, or with ``close``.
urllib.request's spans begin before the connection is made, and count redirects.
"""

from __future__ import annotations

import http.client
import sys
import urllib.request

from fasttrace.integrations._client import Client
from fasttrace.integrations._layers import POOL, WIRE
from fasttrace.integrations._patch import Patch, replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from fasttrace._core import Span
    from fasttrace.integrations._client import Skip

__all__ = ["instrument", "uninstrument"]

_SPAN = "_fasttrace_span"


class _HttpClient(Client):
    rank = WIRE
    library = "http_client"

    def method(self, request: Any) -> str:
        return request._method  # type: ignore[no-any-return]

    def url(self, request: Any) -> str:
        target: str = request._buffer[0].split(b" ", 2)[1].decode("latin-1")
        if not target.startswith("/"):
            return target  # what a proxy is asked for
        host, port = (
            (request._tunnel_host, request._tunnel_port) if request._tunnel_host else (request.host, request.port)
        )
        scheme = "https" if request.default_port == 443 else "http"
        if ":" in host:
            host = f"[{host.strip('[]')}]"
        if port and port != request.default_port:
            return f"{scheme}://{host}:{port}{target}"
        return f"{scheme}://{host}{target}"

    def headers(self, request: Any) -> Any:
        lines = [line.partition(b":") for line in request._buffer[1:]]
        return [(name, value.strip()) for name, _, value in lines]

    def inject(self, request: Any, headers: Mapping[str, str]) -> None:
        lines = request._buffer
        for index in range(len(lines) - 1, 0, -1):
            if lines[index].partition(b":")[0].decode("latin-1").lower() in headers:
                del lines[index]
        for name, value in headers.items():
            request.putheader(name, value)

    def answer(self, response: http.client.HTTPResponse) -> tuple[int, Any, Any]:
        return response.status, response.version, response.headers


class _UrllibRequest(Client):
    rank = POOL
    library = "urllib_request"

    def method(self, request: urllib.request.Request) -> str:
        return request.get_method()

    def url(self, request: urllib.request.Request) -> str:
        return request.full_url

    def headers(self, request: urllib.request.Request) -> Any:
        return request.header_items()

    def inject(self, request: urllib.request.Request, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            # Of this request only: a redirect gets its own.
            request.add_unredirected_header(name, value)

    def resent(self, request: urllib.request.Request) -> int:
        visited: dict[str, int] = getattr(request, "redirect_dict", {})
        return sum(visited.values())

    def answer(self, response: http.client.HTTPResponse) -> tuple[int, Any, Any]:
        return response.status, response.version, response.headers


def instrument(
    target: None = None,
    *,
    skip: Skip = None,
    capture_headers: Iterable[str] = (),
    capture_query: Iterable[str] = (),
    trace_response: bool = False,
) -> None:
    """Trace every connection of the process, those that exist included; calling it again changes nothing.

    There is no tracing one connection alone. The options are those of ``_client.Client``.
    """
    if target is not None:
        raise TypeError("http.client is traced as a whole: call instrument() without a connection")
    options = skip, capture_headers, capture_query, trace_response
    traced = _HttpClient(*options)
    replace(http.client.HTTPConnection, "endheaders", _make_endheaders, traced)
    replace(http.client.HTTPConnection, "getresponse", _make_getresponse, traced)
    replace(http.client.HTTPConnection, "close", _make_close, traced)
    replace(urllib.request.AbstractHTTPHandler, "do_open", _make_do_open, _UrllibRequest(*options))


def uninstrument(target: None = None) -> None:
    """Undo ``instrument``. Calling it again changes nothing."""
    for name in ("endheaders", "getresponse", "close"):
        restore(http.client.HTTPConnection, name)
    restore(urllib.request.AbstractHTTPHandler, "do_open")


def _make_endheaders(original: Any, patch: Patch) -> Any:
    def endheaders(self: Any, *args: Any, **kwargs: Any) -> None:
        traced = patch.options
        # Without a request line it is the library's to say what is wrong.
        if traced is None or not getattr(self, "_buffer", None) or (resent := traced.count(self)) < 0:
            original(self, *args, **kwargs)
            return
        _end(self)
        self.__dict__[_SPAN] = traced, traced.begin(self, resent)
        try:
            original(self, *args, **kwargs)
        except BaseException as error:
            _end(self, error)
            raise

    return endheaders


def _make_getresponse(original: Any, patch: Patch) -> Any:
    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        traced, span = self.__dict__.pop(_SPAN, (None, None))
        if span is None:
            return original(self, *args, **kwargs)
        try:
            response = original(self, *args, **kwargs)
        except BaseException as error:
            traced.fail(span, error)
            raise
        traced.end(span, response)
        return response

    return getresponse


def _make_close(original: Any, patch: Patch) -> Any:
    def close(self: Any) -> None:
        _end(self, sys.exc_info()[1])
        original(self)

    return close


def _end(connection: Any, error: BaseException | None = None) -> None:
    """End the span of a request that nobody has read the answer of."""
    pending: tuple[Client, Span] | None = connection.__dict__.pop(_SPAN, None)
    if pending is not None:
        traced, span = pending
        if error is None:
            span.end()
        else:
            traced.fail(span, error)


def _make_do_open(original: Any, patch: Patch) -> Any:
    def do_open(self: Any, http_class: Any, req: urllib.request.Request, **http_conn_args: Any) -> Any:
        traced = patch.options
        if traced is None:
            return original(self, http_class, req, **http_conn_args)
        return traced.send(req, lambda: original(self, http_class, req, **http_conn_args))

    return do_open
