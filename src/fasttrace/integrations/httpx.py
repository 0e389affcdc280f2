"""httpx: a CLIENT span for every request, and its context in the headers (OpenTelemetry, "HTTP client").

``instrument()`` traces every client of the process, ``instrument(client)`` one; ``TracingTransport``
and ``AsyncTracingTransport`` wrap a transport by hand. With ``trace_response`` a callee that says in its
``traceresponse`` header that it keeps the trace has it kept here, too: for services that are trusted. Spans end when
the response's headers have been read, so that a body may be streamed, or left unread, as long as one likes.
``extensions={"url.template": "/orders/{id}"}`` of a request names its span.
"""

from __future__ import annotations

import httpx

from fasttrace.integrations._client import Client
from fasttrace.integrations._patch import Patch, replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Any, Self

    from fasttrace._core import Tracer
    from fasttrace.integrations._client import Skip

__all__ = ["AsyncTracingTransport", "TracingTransport", "instrument", "uninstrument"]

# How often and for which URL it was sent first: redirects take the extensions of a request over.
_SENT = "fasttrace.sent"


class _Httpx(Client):
    library = "httpx"

    def template(self, request: httpx.Request) -> str:
        template = request.extensions.get("url.template")
        if not template:
            return ""
        sent = request.extensions.get(_SENT)
        return template if sent is None or sent[1] == request.url else ""

    def inject(self, request: httpx.Request, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            request.headers[name] = value

    def resent(self, request: httpx.Request) -> int:
        count: int
        count, url = request.extensions.get(_SENT, (0, request.url))
        request.extensions[_SENT] = count + 1, url
        return count

    def answer(self, response: httpx.Response) -> tuple[int, Any, Any]:
        version = response.extensions.get("http_version")
        if isinstance(version, bytes):
            version = version.removeprefix(b"HTTP/").decode("ascii", "replace")
        return response.status_code, version, response.headers


class TracingTransport(httpx.BaseTransport):
    """Wraps a transport of ``httpx.Client``: ``httpx.Client(transport=TracingTransport(httpx.HTTPTransport()))``.

    Options as for ``instrument``.
    """

    def __init__(self, transport: httpx.BaseTransport, *, tracer: Tracer | None = None, **options: Any) -> None:
        self.wrapped = transport
        self._traced = _Httpx(tracer=tracer, **options)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, traced."""
        response: httpx.Response = self._traced.send(request, lambda: self.wrapped.handle_request(request))
        return response

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
    """Wraps a transport of ``httpx.AsyncClient``. Options as for ``instrument``."""

    def __init__(self, transport: httpx.AsyncBaseTransport, *, tracer: Tracer | None = None, **options: Any) -> None:
        self.wrapped = transport
        self._traced = _Httpx(tracer=tracer, **options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request, traced."""
        response: httpx.Response = await self._traced.send_async(
            request, lambda: self.wrapped.handle_async_request(request)
        )
        return response

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


def instrument(
    client: httpx.Client | httpx.AsyncClient | None = None,
    *,
    skip: Skip = None,
    capture_headers: Iterable[str] = (),
    capture_query: Iterable[str] = (),
    trace_response: bool = False,
) -> None:
    """Trace one client, or with none given every client of the process, those that exist included.

    Calling it again changes nothing. Only httpx's own network transports are traced process-wide. The options are those
    of ``_client.Client``.
    """
    options: Any = {
        "skip": skip,
        "capture_headers": capture_headers,
        "capture_query": capture_query,
        "trace_response": trace_response,
    }
    if client is None:
        traced = _Httpx(**options)
        replace(httpx.HTTPTransport, "handle_request", _make, traced)
        replace(httpx.AsyncHTTPTransport, "handle_async_request", _make_async, traced)
        return
    kind: Any = AsyncTracingTransport if isinstance(client, httpx.AsyncClient) else TracingTransport
    _replace_transports(
        client, lambda transport: transport if isinstance(transport, kind) else kind(transport, **options)
    )


def uninstrument(client: httpx.Client | httpx.AsyncClient | None = None) -> None:
    """Undo ``instrument`` for one client, or the process-wide one. Calling it again changes nothing."""
    if client is None:
        restore(httpx.HTTPTransport, "handle_request")
        restore(httpx.AsyncHTTPTransport, "handle_async_request")
        return
    kinds = (TracingTransport, AsyncTracingTransport)
    _replace_transports(client, lambda transport: transport.wrapped if isinstance(transport, kinds) else transport)


def _replace_transports(client: Any, replacement: Any) -> None:
    # httpx offers no public way to the transports of a client that exists.
    client._transport = replacement(client._transport)
    for pattern, transport in client._mounts.items():
        if transport is not None:
            client._mounts[pattern] = replacement(transport)


def _make(original: Any, patch: Patch) -> Any:
    def handle_request(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        traced = patch.options
        if traced is None:
            return original(self, request)  # type: ignore[no-any-return]
        return traced.send(request, lambda: original(self, request))  # type: ignore[no-any-return]

    return handle_request


def _make_async(original: Any, patch: Patch) -> Any:
    async def handle_async_request(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        traced = patch.options
        if traced is None:
            return await original(self, request)  # type: ignore[no-any-return]
        return await traced.send_async(request, lambda: original(self, request))  # type: ignore[no-any-return]

    return handle_async_request
