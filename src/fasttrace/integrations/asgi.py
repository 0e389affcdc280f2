"""ASGI: a SERVER span for every HTTP request and every WebSocket connection (OpenTelemetry, "HTTP server")."""

from __future__ import annotations

import time

from fasttrace._core import headers
from fasttrace.context import UNTRACED, attach, detach
from fasttrace.integrations._http import asks, known_method
from fasttrace.integrations._routes import Routes
from fasttrace.integrations._secrets import captured, clean_query
from fasttrace.integrations._server import ERROR, KEY, NO_PARENT, SERVER, Exchange, Server, host_of, under_way
from fasttrace.lifecycle import flush_all
from fasttrace.propagation import extract

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping
    from typing import Any

    from fasttrace._core import Span, Tracer
    from fasttrace.integrations._patch import Patch
    from fasttrace.integrations._server import Skip

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["TracingMiddleware"]

_ROUTES = Routes()
_INTERNAL_ERROR = 1011  # RFC 6455, section 7.4.1


class Traced:
    """An ASGI application, and the Server for it."""

    # That it makes spans is seen on the class, too, which is what Starlette keeps of a middleware until it starts.
    _fasttrace_server: Server = None  # type: ignore[assignment]

    def __init__(self, app: App, server: Server) -> None:
        self.app = app
        self._fasttrace_server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        await serve(self._fasttrace_server, self.app, scope, receive, send)


class TracingMiddleware(Traced):
    """Wraps an ASGI application, or is added to one: ``app.add_middleware(TracingMiddleware)``.

    The span is named ``GET`` or, once the application has found a route, ``GET /orders/{id}``; never
    by the raw path. It ends with the last byte of the response; with a 5xx, which makes it an error as an exception
    does, or after a stream it waits until the application returns, for the exception. Exceptions pass unchanged. That
    of a WebSocket lasts as long as its connection. At the end of the application's lifespan what has ended is sent;
    anything else is left alone. The options are those of ``Server``.
    """

    def __init__(
        self,
        app: App,
        *,
        tracer: Tracer | None = None,
        skip: Skip = None,
        capture_headers: Iterable[str] | None = None,
        trace_response: bool = False,
        durations: bool | None = None,
    ) -> None:
        Traced.__init__(self, app, server("asgi", tracer, skip, capture_headers, trace_response, durations))


def server(library: str, *options: Any) -> Server:
    """The Server of an ASGI library; ``options`` in the order in which it has them."""
    return Server(library, _url, *options)


def traced(original: Any, patch: Patch) -> Any:
    """For ``Applications``: a ``__call__`` that serves what has a Server."""

    async def __call__(self: Any, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: N807
        chosen = getattr(self, "_fasttrace_server", None)
        if chosen is None or patch.options is None:
            await original(self, scope, receive, send)
        else:
            await serve(chosen, original.__get__(self), scope, receive, send)

    return __call__


async def serve(server: Server, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection by an application, and trace it unless it is already."""
    kind = scope["type"]
    http = kind == "http"
    if not (http or kind == "websocket") or KEY in scope:
        await app(scope, receive, _flushing(send) if kind == "lifespan" else send)
        return
    scope[KEY] = None
    if server.skips(scope, scope["path"]):
        token = attach(UNTRACED)
        try:
            await app(scope, receive, send)
        finally:
            detach(UNTRACED, token)
        return
    method = known_method(scope["method"]) if http else "GET"
    tracer = server.tracer
    parent = extract(scope["headers"], NO_PARENT)
    attributes = _described(server, scope, method) if asks(tracer) else None
    with tracer.start_as_current_span(method or "HTTP", parent, SERVER, attributes) as span:
        if span.is_recording():
            if attributes is None:
                span.set_attributes(_described(server, scope, method))
        elif not (span._observed or (http and server.record is not None)):
            await app(scope, receive, send)
            return
        exchange: _Request | _Connection
        if http:
            exchange = _Request(server, span, method, scope, send)
        else:
            exchange = _Connection(server, span, method, scope, send)
            receive = exchange.watch(receive)
        under_way[span] = exchange
        try:
            await app(scope, receive, exchange.send)
        except BaseException as error:
            exchange.fail(error, exchange.sent_ns)
            raise
        finally:
            under_way.pop(span, None)
        exchange.finish(exchange.sent_ns)


def _flushing(send: Send) -> Send:
    """For a lifespan: sends what has ended before its last message, after which nothing else may.

    uvicorn then raises again the signal that it was given, which skips what Python does at exit.
    """

    async def flushing(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            import asyncio

            try:
                await asyncio.to_thread(flush_all)
            except RuntimeError:  # another library's loop, or no more threads
                flush_all()
        await send(message)

    return flushing


class _Request(Exchange):
    __slots__ = ("_in_parts", "_send", "sent_ns")

    def __init__(self, server: Server, span: Span, method: str, scope: Scope, send: Send) -> None:
        Exchange.__init__(self, server, span, method, scope)
        self._send = send
        self._in_parts = False
        # When the last byte had left, if the span goes on.
        self.sent_ns: int | None = None

    def find_route(self) -> str:
        return _ROUTES.template(self.carrier)

    def begin(self, message: Message, status: int) -> None:
        """The answer's status and headers."""
        self.respond(status)
        server = self.server
        if server.response_headers:
            self.span.set_attributes(captured(message.get("headers", ()), server.response_headers))
        if server.trace_response:
            answer = (b"traceresponse", headers.format_traceparent(self.span).encode("ascii"))
            message["headers"] = [*message.get("headers", ()), answer]

    async def send(self, message: Message) -> None:
        """What the application sends."""
        kind = message["type"]
        if kind == "http.response.start":
            self.begin(message, message.get("status", 0))
            await self._send(message)
            return
        await self._send(message)
        if kind == "http.response.body" and message.get("more_body", False):
            self._in_parts = True
        elif kind == "http.response.body" or kind == "http.response.pathsend":
            # A framework that answers 500 raises afterwards, and so does Starlette's BaseHTTPMiddleware, which ends the
            # answer of a stream that has failed as if it were whole: the span waits for the exception.
            if self.status < 500 and not self._in_parts:
                self.finish()
            else:
                self.last_byte()
                self.sent_ns = time.time_ns()


class _Connection(_Request):
    """A WebSocket, from its request to its close."""

    __slots__ = ("_receive",)
    counted = False

    def watch(self, receive: Receive) -> Receive:
        """``receive`` for the application."""
        self._receive = receive
        return self.receive

    async def receive(self) -> Message:
        """What the client sends."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._close(message.get("code", 1005))
        return message

    async def send(self, message: Message) -> None:
        """What the application sends."""
        kind = message["type"]
        if kind == "websocket.accept":
            self.begin(message, 101)
        elif kind == "websocket.http.response.start":
            self.begin(message, message.get("status", 0))
        elif kind == "websocket.close":
            if self.status:
                self._close(message.get("code", 1000))
            else:
                self.respond(403)
        await self._send(message)

    def _close(self, code: int) -> None:
        span = self.span
        span.set_attribute("websocket.close.code", code)
        if code == _INTERNAL_ERROR:
            span.set_attribute("error.type", str(code))
            span.set_status(ERROR)


def _url(scope: Scope) -> str:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return f"{scope.get('scheme', 'http')}://{host.decode('latin-1')}{scope['path']}"


def _described(server: Server, scope: Scope, method: str) -> dict[str, Any]:
    try:
        return _request_attributes(server, scope, method)
    except Exception:  # a scope that is not as ASGI has it: the application will say so
        return {}


def _request_attributes(server: Server, scope: Scope, method: str) -> dict[str, Any]:
    scheme = scope.get("scheme", "http")
    attributes = {"http.request.method": method or "_OTHER", "url.path": scope["path"], "url.scheme": scheme}
    if not method:
        attributes["http.request.method_original"] = scope["method"]
    if scope["type"] == "http":
        attributes["network.protocol.version"] = scope.get("http_version", "1.1")
    else:
        attributes["network.protocol.name"] = "websocket"
    query = scope.get("query_string")
    if query:
        attributes["url.query"] = clean_query(query.decode("latin-1"))
    address, port = scope.get("server") or (None, None)
    for name, value in scope["headers"]:
        if name == b"host":
            address, port = host_of(value, scheme)
        elif name == b"user-agent":
            attributes["user_agent.original"] = value.decode("latin-1")
    if address:
        attributes["server.address"] = address
        if port:
            attributes["server.port"] = port
    client = scope.get("client")
    if client:
        attributes["client.address"] = client[0]
    if server.request_headers:
        attributes.update(captured(scope["headers"], server.request_headers))
    return attributes
