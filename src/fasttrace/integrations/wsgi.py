"""WSGI: a SERVER span for every request (PEP 3333; OpenTelemetry semantic conventions, "HTTP server")."""

from __future__ import annotations

from fasttrace import propagation
from fasttrace._core import headers
from fasttrace.context import UNTRACED, Context, attach, detach
from fasttrace.integrations._body import body
from fasttrace.integrations._http import asks, known_method, split_authority
from fasttrace.integrations._secrets import captured, clean_query
from fasttrace.integrations._server import KEY, NO_PARENT, SERVER, Exchange, Server, handed_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from fasttrace._core import Span, Tracer
    from fasttrace.integrations._patch import Patch
    from fasttrace.integrations._server import Skip

    Environ = dict[str, Any]
    App = Callable[[Environ, Any], Iterable[bytes]]

__all__ = ["TracingMiddleware"]


class Traced:
    """A WSGI application, and the Server for it."""

    def __init__(self, app: App, server: Server) -> None:
        self.app = app
        self._fasttrace_server = server

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Serve one request, as WSGI has it."""
        answer: Iterable[bytes] = serve(self._fasttrace_server, self.app, environ, start_response)
        return answer


class TracingMiddleware(Traced):
    """Wraps a WSGI application: ``app = TracingMiddleware(app)``.

    The span is named ``GET``, with Flask's route once it is found (``GET /orders/<int:id>``), never by the raw path.
    It is current while the application is called, and while its answer is iterated and closed; it ends when the server
    has taken the last block, or closes the answer. A 5xx or an exception makes it an error; exceptions pass
    unchanged. The options are those of ``Server``.
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
        Traced.__init__(self, app, server("wsgi", tracer, skip, capture_headers, trace_response, durations))


def server(library: str, *options: Any) -> Server:
    """The Server of a WSGI library; ``options`` in the order in which it has them."""
    return Server(library, _url, *options)


def traced(original: Any, patch: Patch) -> Any:
    """For ``Applications``: a method that serves what has a Server."""

    def serve_traced(self: Any, environ: Environ, start_response: Any) -> Any:
        chosen = getattr(self, "_fasttrace_server", None)
        if chosen is None or patch.options is None:
            return original(self, environ, start_response)
        return serve(chosen, original.__get__(self), environ, start_response)

    return serve_traced


def serve(server: Server, app: App, environ: Environ, start_response: Any) -> Any:
    """Serve one request by an application, and trace it unless it is already."""
    if KEY in environ:
        return app(environ, start_response)
    environ[KEY] = None
    path = _path(environ)
    if server.skips(environ, path):
        token = attach(UNTRACED)
        try:
            return body(None, UNTRACED, app(environ, start_response), environ)
        finally:
            detach(UNTRACED, token)
    handed, outer = handed_on(path)
    if handed:
        return _pass_on(outer, app, environ, start_response)
    method = known_method(environ["REQUEST_METHOD"])
    tracer = server.tracer
    attributes = _described(server, environ, method, path) if asks(tracer) else None
    span = tracer.start_as_current_span(method or "HTTP", _parent(environ), SERVER, attributes, end_on_exit=False)
    with span:
        exchange = None
        if span.is_recording():
            if attributes is None:
                span.set_attributes(_described(server, environ, method, path))
            exchange = _Request(server, span, method, environ, start_response)
        elif span._observed or server.record is not None:
            exchange = _Request(server, span, method, environ, start_response)
        if exchange is None:
            return body(None, span, app(environ, start_response), environ)
        try:
            return body(exchange, span, app(environ, exchange.start_response), environ)
        except BaseException as error:
            exchange.fail(error)
            raise


def _pass_on(outer: Exchange | None, app: App, environ: Environ, start_response: Any) -> Any:
    """Serve a request that an ASGI application traces, and tell it the route."""
    if outer is None:
        return app(environ, start_response)
    environ[KEY] = outer

    def start(*answer: Any) -> Any:
        try:
            outer.route = _route(environ) or outer.route
        except Exception:  # as in look_for_route
            pass
        return start_response(*answer)

    return app(environ, start)


class _Request(Exchange):
    __slots__ = ("_start_response",)

    def __init__(self, server: Server, span: Span, method: str, environ: Environ, start_response: Any) -> None:
        Exchange.__init__(self, server, span, method, environ)
        self._start_response = start_response

    def find_route(self) -> str:
        return _route(self.carrier)

    def start_response(self, status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """The answer's status and headers, or others in their place as long as nothing has been sent."""
        server = self.server
        if server.trace_response:
            fields = [*fields, ("traceresponse", headers.format_traceparent(self.span))]
        if exc_info is None:
            write = self._start_response(status, fields)
        else:
            write = self._start_response(status, fields, exc_info)
        self.respond(status[:3])
        self.look_for_route()
        if exc_info is not None:
            self.tell(exc_info[1])
        if server.response_headers:
            self.span.set_attributes(captured(fields, server.response_headers))
        return write


def _route(environ: Any) -> str:
    """Flask's route, which takes its request out of the environ before the answer is sent: to ask when that begins."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return "" if rule is None else f"{environ.get('SCRIPT_NAME', '')}{rule.rule}"


def _parent(environ: Environ) -> Context:
    if propagation._active is None:
        # The default formats, without a search through what is not a header.
        parent = environ.get("HTTP_TRACEPARENT")
        if "HTTP_BAGGAGE" not in environ:
            if parent is None:
                return NO_PARENT
            carrier = {"traceparent": parent, "tracestate": environ.get("HTTP_TRACESTATE", "")}
            return propagation.extract(carrier, NO_PARENT)
    return propagation.extract(environ, NO_PARENT)


def _path(environ: Environ) -> str:
    """The path as text: PEP 3333 has its bytes as Latin-1."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")


def _url(environ: Environ) -> str:
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    return f"{environ['wsgi.url_scheme']}://{host}{_path(environ)}"


def _described(server: Server, environ: Environ, method: str, path: str) -> dict[str, Any]:
    try:
        return _request_attributes(server, environ, method, path)
    except Exception:  # an environ that is not as PEP 3333 has it: the application will say so
        return {}


def _request_attributes(server: Server, environ: Environ, method: str, path: str) -> dict[str, Any]:
    get = environ.get
    scheme = environ["wsgi.url_scheme"]
    attributes = {"http.request.method": method or "_OTHER", "url.path": path, "url.scheme": scheme}
    if not method:
        attributes["http.request.method_original"] = environ["REQUEST_METHOD"]
    version = get("SERVER_PROTOCOL", "")
    if version.startswith("HTTP/"):
        attributes["network.protocol.version"] = version[5:]
    query = get("QUERY_STRING")
    if query:
        attributes["url.query"] = clean_query(query)
    host = get("HTTP_HOST")
    address: Any
    port: Any
    address, port = split_authority(host, scheme) if host else (get("SERVER_NAME"), get("SERVER_PORT"))
    if address:
        attributes["server.address"] = address
        if port and (type(port) is int or port.isdigit()):
            attributes["server.port"] = int(port)
    client = get("REMOTE_ADDR")
    if client:
        attributes["client.address"] = client
    agent = get("HTTP_USER_AGENT")
    if agent:
        attributes["user_agent.original"] = agent
    if server.request_headers:
        attributes.update(captured(environ, server.request_headers))
    return attributes
