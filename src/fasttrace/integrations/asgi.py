"""ASGI: a SERVER span for every HTTP request (OpenTelemetry semantic conventions, "HTTP server")."""

from __future__ import annotations

from fasttrace._core import SpanKind, StatusCode, headers
from fasttrace._version import __version__
from fasttrace.context import Context, attach, detach
from fasttrace.integrations._http import asks, known_method, note_exception, split_host
from fasttrace.integrations._routes import Routes
from fasttrace.propagation import extract
from fasttrace.provider import get_tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, MutableMapping
    from typing import Any

    from fasttrace._core import Span, Tracer

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["TracingMiddleware"]

SERVER = SpanKind.SERVER
# A request without headers is a root, whatever was current where the server was started.
_NO_PARENT = Context()
_SEEN = "fasttrace.traced"


class TracingMiddleware:
    """Wraps an ASGI application, or is added to one: ``app.add_middleware(TracingMiddleware)``.

    The span is named ``GET`` or, once the application has found a route, ``GET /orders/{id}``; never
    by the raw path. It ends with the last byte of the response; with a 5xx or an exception, which
    make it an error, when the application returns. Exceptions pass unchanged. WebSocket connections
    get the caller's context and no span; anything else is left alone.

    ``skip``: paths that get no span (``{"/healthz"}``), or a function of the scope that returns
    True for those. ``tracer``: the tracer to use, by default the process's. ``trace_response``: tell
    callers in a ``traceresponse`` header whether the trace is kept, as far as known when the response starts.
    """

    def __init__(
        self,
        app: App,
        *,
        tracer: Tracer | None = None,
        skip: Collection[str] | Callable[[Scope], bool] | None = None,
        trace_response: bool = False,
    ) -> None:
        self.app = app
        self._tracer = get_tracer("fasttrace.integrations.asgi", __version__) if tracer is None else tracer
        if isinstance(skip, str):
            skip = (skip,)
        self._skip = skip if skip is None or callable(skip) else frozenset(skip).__contains__
        self._skip_takes_scope = callable(skip)
        self._trace_response = trace_response
        self._routes = Routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        kind = scope["type"]
        if kind != "http":
            if kind == "websocket":
                await self._websocket(scope, receive, send)
            else:
                await self.app(scope, receive, send)
            return
        skip = self._skip
        if _SEEN in scope or (skip is not None and skip(scope if self._skip_takes_scope else scope["path"])):
            await self.app(scope, receive, send)
            return
        scope[_SEEN] = True
        method = known_method(scope["method"])
        parent = extract(scope["headers"], _NO_PARENT)
        attributes = _request_attributes(scope, method) if asks(self._tracer) else None
        with self._tracer.start_as_current_span(method or "HTTP", parent, SERVER, attributes) as span:
            if not span.is_recording():
                await self.app(scope, receive, _watched(span, send) if span._observed else send)
                return
            if attributes is None:
                span.set_attributes(_request_attributes(scope, method))
            response = _Response(span, scope, send, self._routes, self._trace_response)
            try:
                await self.app(scope, receive, response.send)
            except BaseException as error:
                note_exception(span, error, response.status >= 500)
                raise
            finally:
                response.name_span()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = extract(scope["headers"], _NO_PARENT)
        token = attach(context)
        try:
            await self.app(scope, receive, send)
        finally:
            detach(context, token)


def _watched(span: Span, send: Send) -> Send:
    """For a request that is not recorded, but counted: whether it failed."""

    async def watch(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 500:
            span.set_status(StatusCode.ERROR)
        await send(message)

    return watch


class _Response:
    """Watches one response go by."""

    __slots__ = ("_root_path", "_routes", "_scope", "_send", "_span", "_trace_response", "status")

    def __init__(self, span: Span, scope: Scope, send: Send, routes: Routes, trace_response: bool) -> None:
        self._trace_response = trace_response
        self._span = span
        self._scope = scope
        self._send = send
        self._routes = routes
        self._root_path = scope.get("root_path", "")
        self.status = 0

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self.status = status = message["status"]
            span = self._span
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_attribute("error.type", str(status))
                span.set_status(StatusCode.ERROR)
            if self._trace_response:
                answer = (b"traceresponse", headers.format_traceparent(span).encode("ascii"))
                message["headers"] = [*message.get("headers", ()), answer]
            await self._send(message)
        elif kind == "http.response.body" and not message.get("more_body", False):
            await self._send(message)
            # A framework that answers 500 raises afterwards: the span waits for the exception.
            if self.status < 500:
                self.name_span()
                self._span.end()
        else:
            await self._send(message)

    def name_span(self) -> None:
        """Name the span by the route that the application found, if it did and the span has not ended."""
        if not self._span.is_recording():
            return
        route = self._routes.template(self._scope, self._root_path)
        if route:
            self._span.update_name(f"{known_method(self._scope['method']) or 'HTTP'} {route}")
            self._span.set_attribute("http.route", route)


def _request_attributes(scope: Scope, method: str) -> dict[str, Any]:
    scheme = scope.get("scheme", "http")
    attributes = {
        "http.request.method": method or "_OTHER",
        "url.path": scope["path"],
        "url.scheme": scheme,
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    if not method:
        attributes["http.request.method_original"] = scope["method"]
    address, port = scope.get("server") or (None, None)
    for name, value in scope["headers"]:
        if name == b"host":
            address, port = split_host(value, scheme)
        elif name == b"user-agent":
            attributes["user_agent.original"] = value.decode("latin-1")
    if address:
        attributes["server.address"] = address
        if port:
            attributes["server.port"] = port
    client = scope.get("client")
    if client:
        attributes["client.address"] = client[0]
    return attributes
