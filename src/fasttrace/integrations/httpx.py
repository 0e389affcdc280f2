"""httpx: a CLIENT span for every request, and its context in the headers (OpenTelemetry, "HTTP client").

``instrument()`` traces every client of the process, ``instrument(client)`` one; ``TracingTransport``
and ``AsyncTracingTransport`` wrap a transport by hand. With ``trace_response`` a callee that says in its
``traceresponse`` header that it keeps the trace has it kept here, too: for services that are trusted. Spans end when
the response's headers have been read, so that a body may be streamed, or left unread, as long as one likes.
"""

from __future__ import annotations

import httpx

from fasttrace._core import SpanKind, StatusCode
from fasttrace._version import __version__
from fasttrace.integrations._http import asks, heed_trace_response, known_method, note_exception
from fasttrace.propagation import inject
from fasttrace.provider import get_tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from fasttrace._core import Span, Tracer

__all__ = ["AsyncTracingTransport", "TracingTransport", "instrument", "uninstrument"]

CLIENT = SpanKind.CLIENT
_MARK = "_fasttrace_original"
_TRACER = get_tracer("fasttrace.integrations.httpx", __version__)


class TracingTransport(httpx.BaseTransport):
    """Wraps a transport of ``httpx.Client``: ``httpx.Client(transport=TracingTransport(httpx.HTTPTransport()))``."""

    def __init__(
        self, transport: httpx.BaseTransport, *, tracer: Tracer | None = None, trace_response: bool = False
    ) -> None:
        self.wrapped = transport
        self._tracer = tracer or _TRACER
        self._trace_response = trace_response

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, traced."""
        if hasattr(type(self.wrapped).handle_request, _MARK):
            return self.wrapped.handle_request(request)
        return _send(self._tracer, self.wrapped.handle_request, request, self._trace_response)

    def close(self) -> None:
        """Close the wrapped transport."""
        self.wrapped.close()

    def __enter__(self) -> Self:
        self.wrapped.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.wrapped.__exit__(exc_type, exc_value, traceback)


class AsyncTracingTransport(httpx.AsyncBaseTransport):
    """Wraps a transport of ``httpx.AsyncClient``."""

    def __init__(
        self, transport: httpx.AsyncBaseTransport, *, tracer: Tracer | None = None, trace_response: bool = False
    ) -> None:
        self.wrapped = transport
        self._tracer = tracer or _TRACER
        self._trace_response = trace_response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request, traced."""
        if hasattr(type(self.wrapped).handle_async_request, _MARK):
            return await self.wrapped.handle_async_request(request)
        return await _send_async(self._tracer, self.wrapped.handle_async_request, request, self._trace_response)

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self.wrapped.aclose()

    async def __aenter__(self) -> Self:
        await self.wrapped.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.wrapped.__aexit__(exc_type, exc_value, traceback)


def instrument(client: httpx.Client | httpx.AsyncClient | None = None, *, trace_response: bool = False) -> None:
    """Trace one client, or with none given every client of the process, those that exist included.

    Calling it again changes nothing. Only httpx's own network transports are traced process-wide.
    """
    if client is None:
        _patch(httpx.HTTPTransport, "handle_request", lambda original: _traced(original, trace_response))
        _patch(
            httpx.AsyncHTTPTransport, "handle_async_request", lambda original: _traced_async(original, trace_response)
        )
        return
    kind: Any = AsyncTracingTransport if isinstance(client, httpx.AsyncClient) else TracingTransport
    _replace_transports(
        client,
        lambda transport: transport if isinstance(transport, kind) else kind(transport, trace_response=trace_response),
    )


def uninstrument(client: httpx.Client | httpx.AsyncClient | None = None) -> None:
    """Undo ``instrument`` for one client, or the process-wide one. Calling it again changes nothing."""
    if client is None:
        _restore(httpx.HTTPTransport, "handle_request")
        _restore(httpx.AsyncHTTPTransport, "handle_async_request")
        return
    kinds = (TracingTransport, AsyncTracingTransport)
    _replace_transports(client, lambda transport: transport.wrapped if isinstance(transport, kinds) else transport)


def _replace_transports(client: Any, replace: Any) -> None:
    # httpx offers no public way to the transports of a client that exists.
    client._transport = replace(client._transport)
    for pattern, transport in client._mounts.items():
        if transport is not None:
            client._mounts[pattern] = replace(transport)


def _patch(owner: type, name: str, make: Any) -> None:
    original = getattr(owner, name)
    if not hasattr(original, _MARK):
        replacement = make(original)
        setattr(replacement, _MARK, original)
        setattr(owner, name, replacement)


def _restore(owner: type, name: str) -> None:
    original = getattr(getattr(owner, name), _MARK, None)
    if original is not None:
        setattr(owner, name, original)


def _traced(original: Any, trace_response: bool) -> Any:
    def handle_request(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        return _send(_TRACER, original.__get__(self), request, trace_response)

    return handle_request


def _traced_async(original: Any, trace_response: bool) -> Any:
    async def handle_async_request(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return await _send_async(_TRACER, original.__get__(self), request, trace_response)

    return handle_async_request


def _send(tracer: Tracer, send: Any, request: httpx.Request, trace_response: bool) -> httpx.Response:
    attributes = _attributes(request) if asks(tracer) else None
    with tracer.start_as_current_span(known_method(request.method) or "HTTP", None, CLIENT, attributes) as span:
        inject(request.headers)
        if not span.is_recording():
            response: httpx.Response = send(request)
            return response
        if attributes is None:
            span.set_attributes(_attributes(request))
        try:
            response = send(request)
        except BaseException as error:
            note_exception(span, error)
            raise
        _finish(span, response, trace_response)
        return response


async def _send_async(tracer: Tracer, send: Any, request: httpx.Request, trace_response: bool) -> httpx.Response:
    attributes = _attributes(request) if asks(tracer) else None
    with tracer.start_as_current_span(known_method(request.method) or "HTTP", None, CLIENT, attributes) as span:
        inject(request.headers)
        if not span.is_recording():
            response: httpx.Response = await send(request)
            return response
        if attributes is None:
            span.set_attributes(_attributes(request))
        try:
            response = await send(request)
        except BaseException as error:
            note_exception(span, error)
            raise
        _finish(span, response, trace_response)
        return response


def _attributes(request: httpx.Request) -> dict[str, Any]:
    url = request.url
    method = known_method(request.method)
    attributes: dict[str, Any] = {"http.request.method": method or "_OTHER"}
    if not method:
        attributes["http.request.method_original"] = request.method
    attributes["url.full"] = _without_secrets(url)
    attributes["server.address"] = url.host
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    if port:
        attributes["server.port"] = port
    return attributes


def _finish(span: Span, response: httpx.Response, trace_response: bool) -> None:
    if trace_response:
        heed_trace_response(span, response.headers.get("traceresponse"))
    status = response.status_code
    span.set_attribute("http.response.status_code", status)
    version = response.extensions.get("http_version")
    if isinstance(version, bytes):
        span.set_attribute("network.protocol.version", version.removeprefix(b"HTTP/").decode("ascii", "replace"))
    if status >= 400:
        span.set_attribute("error.type", str(status))
        span.set_status(StatusCode.ERROR)


def _without_secrets(url: httpx.URL) -> str:
    """The URL without user, password and fragment, and with the values of its query redacted."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = f":{url.port}" if url.port else ""
    path, _, query = url.raw_path.decode("ascii", "replace").partition("?")
    if query:
        query = "?" + "&".join(
            f"{key}=REDACTED" if equals else key
            for key, equals, _ in (pair.partition("=") for pair in query.split("&"))
        )
    return f"{url.scheme}://{host}{port}{path}{query}"
