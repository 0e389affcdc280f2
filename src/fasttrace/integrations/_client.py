"""The life of a CLIENT span of HTTP: name, headers, answer, error, resends (OpenTelemetry, "HTTP client").

Where one client stands on another (requests on urllib3 on http.client) the one that the application called makes the
span. Those below find it under what is current, and make spans only of what they send again on their own.
"""

from __future__ import annotations

import sys

from fasttrace._core import Context, SpanKind, StatusCode
from fasttrace._version import __version__
from fasttrace.context import UNTRACED, attach, current_node, detach
from fasttrace.integrations._http import asks, heed_trace_response, known_method, note_exception, split_authority
from fasttrace.integrations._secrets import capture, captured, clean_url
from fasttrace.propagation import inject
from fasttrace.propagation.carrier import first
from fasttrace.provider import get_tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from typing import Any

    from fasttrace._core import Span, Tracer

    Skip = Iterable[str] | Callable[[str], bool] | None

__all__ = ["POOL", "TOP", "WIRE", "Client", "add_headers"]

CLIENT = SpanKind.CLIENT
RESEND_COUNT = "http.request.resend_count"
# What stands on what: a client leaves the requests of those above it alone.
WIRE, POOL, TOP, _ALL = 1, 2, 3, 4
_PASS, _SKIP = -1, -2
_VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


class _Open:
    """A request that is under way: whose it is, and how often the next one below (``sender``) has sent it."""

    __slots__ = ("attempts", "rank", "request", "sender", "span")

    def __init__(self, rank: int, request: Any, span: Span | None) -> None:
        self.rank = rank
        self.request = request
        self.span = span
        self.sender = 0
        self.attempts = 0


# By the node that is current meanwhile: a mark that ends with the request, also for tasks that were started inside.
_open: dict[Any, _Open] = {}


class Client:
    """Traces the requests of one library, or of one client of it; a subclass knows what its requests look like.

    ``skip``: the beginnings of URLs, or a function of a URL, of requests that get neither a span nor headers.
    ``capture_headers``: the names of headers of requests and responses to be recorded. ``trace_response``: keep a
    trace whose callee says in its ``traceresponse`` that it does. ``tracer``: by default the process's.
    """

    rank = TOP
    library = ""

    def __init__(
        self,
        *,
        skip: Skip = None,
        capture_headers: Iterable[str] = (),
        trace_response: bool = False,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer or get_tracer(f"fasttrace.integrations.{self.library}", __version__)
        self._skip = _skipping(skip)
        self._request_headers = capture(capture_headers, "request")
        self._response_headers = capture(capture_headers, "response")
        self._trace_response = trace_response

    # --- what a subclass says of its requests

    def method(self, request: Any) -> str:
        """The method, as it is sent."""
        return request.method  # type: ignore[no-any-return]

    def url(self, request: Any) -> str:
        """The URL, absolute."""
        return str(request.url)

    def template(self, request: Any) -> str:
        """The template of the URL's path, if the application has said which, or ""."""
        return ""

    def headers(self, request: Any) -> Any:
        """The headers, in any form that ``extract`` takes."""
        return request.headers

    def inject(self, request: Any, headers: Mapping[str, str]) -> None:
        """Send these headers along, in place of those with the same names."""
        raise NotImplementedError

    def resent(self, request: Any) -> int:
        """How often this request has been sent before; asked once for each that is recorded, before ``inject``."""
        return 0

    def reason(self, request: Any) -> dict[str, Any]:
        """Why a request is sent again, as attributes, if it is known."""
        return {}

    def answer(self, response: Any) -> tuple[int, Any, Any]:
        """Status code, version of HTTP (as text or as http.client has it) and headers of a response."""
        raise NotImplementedError

    # --- around a call

    def send(self, request: Any, call: Callable[[], Any]) -> Any:
        """Send a request by ``call()``, traced; what it returns or raises."""
        resent = self.count(request)
        if resent == _PASS:
            return call()
        if resent == _SKIP:
            with _Untraced():
                return call()
        attributes = self.attributes(request, resent) if asks(self._tracer) else None
        with self._tracer.start_as_current_span(self.name(request), None, CLIENT, attributes) as span:
            if not span.is_recording():
                self.propagate(request)
                return call()
            self.describe(span, request, resent, attributes)
            self.propagate(request)
            opened = _open[span] = _Open(self.rank, request, span)
            try:
                response = call()
            except BaseException as error:
                note_exception(span, error)
                raise
            finally:
                del _open[span]
            self.answered(span, response, opened.attempts)
            return response

    async def send_async(self, request: Any, call: Callable[[], Awaitable[Any]]) -> Any:
        """Send a request by ``await call()``, traced; what it returns or raises."""
        resent = self.count(request)
        if resent == _PASS:
            return await call()
        if resent == _SKIP:
            with _Untraced():
                return await call()
        attributes = self.attributes(request, resent) if asks(self._tracer) else None
        with self._tracer.start_as_current_span(self.name(request), None, CLIENT, attributes) as span:
            if not span.is_recording():
                self.propagate(request)
                return await call()
            self.describe(span, request, resent, attributes)
            self.propagate(request)
            opened = _open[span] = _Open(self.rank, request, span)
            try:
                response = await call()
            except BaseException as error:
                note_exception(span, error)
                raise
            finally:
                del _open[span]
            self.answered(span, response, opened.attempts)
            return response

    def begin(self, request: Any, resent: int) -> Span:
        """Start a span that is not made current, for a request whose answer comes in another call."""
        attributes = self.attributes(request, resent) if asks(self._tracer) else None
        span = self._tracer.start_span(self.name(request), None, CLIENT, attributes)
        if span.is_recording():
            self.describe(span, request, resent, attributes)
        self.propagate(request, span)
        return span

    def end(self, span: Span, response: Any) -> None:
        """The answer to what ``begin`` began is there."""
        if span.is_recording():
            self.answered(span, response)
        span.end()

    def fail(self, span: Span, error: BaseException) -> None:
        """What ``begin`` began has failed."""
        note_exception(span, error)
        span.__exit__(type(error), error, error.__traceback__)

    # --- its parts

    def count(self, request: Any) -> int:
        """How often a request has been sent by clients below the one that made its span; negative to leave it alone."""
        node = current_node()
        if node is not None:
            if node is UNTRACED or (type(node) is Context and _suppressed(node)):
                return _PASS
            outer = _open.get(node)
            if outer is None and type(node) is Context:
                outer = _open.get(node.span)
            if outer is not None and (outer.rank > self.rank or (outer.rank == self.rank and outer.request is request)):
                return self._below(outer, request)
        return _SKIP if self._skip is not None and self._skips(self._skip, request) else 0

    def _skips(self, skip: Callable[[str], bool], request: Any) -> bool:
        try:
            return skip(self.url(request))
        except Exception:
            return False  # a function of the user's own: the request goes on

    def _below(self, outer: _Open, request: Any) -> int:
        span = outer.span
        if span is None or self.rank < outer.sender:
            return _PASS
        attempts = outer.attempts
        outer.attempts = attempts + 1
        outer.sender = self.rank
        if attempts == 0:
            return _PASS
        span.add_event("http.resend", {RESEND_COUNT: attempts, **self.reason(request)})
        return attempts

    def name(self, request: Any) -> str:
        """What a span is called before anything else is known of it."""
        return known_method(self.method(request)) or "HTTP"

    def propagate(self, request: Any, span: Span | None = None) -> None:
        """Send the context along, of the span or of what is current."""
        try:
            self.inject(request, inject({}, span))
        except Exception:
            pass  # headers that can't be written to: the request goes on without ours

    def describe(self, span: Span, request: Any, resent: int, attributes: dict[str, Any] | None) -> None:
        """Put on a span what is known before the answer, unless it was begun with it."""
        if attributes is None:
            attributes = self.attributes(request, resent)
            span.set_attributes(attributes)
        template = attributes.get("url.template")
        if template:
            span.update_name(f"{self.name(request)} {template}")

    def attributes(self, request: Any, resent: int) -> dict[str, Any]:
        """What is known before the answer."""
        attributes: dict[str, Any] = {}
        try:
            method = self.method(request)
            known = known_method(method)
            attributes["http.request.method"] = known or "_OTHER"
            if not known:
                attributes["http.request.method_original"] = method
            url = attributes["url.full"] = clean_url(self.url(request))
            scheme, _, rest = url.partition("://")
            address, port = split_authority(rest.partition("/")[0].partition("?")[0], scheme)
            attributes["server.address"] = address
            if port:
                attributes["server.port"] = port
            template = self.template(request)
            if template:
                attributes["url.template"] = template
            resent = resent or self.resent(request)
            if resent:
                attributes[RESEND_COUNT] = resent
            if self._request_headers:
                attributes |= captured(self.headers(request), self._request_headers)
        except Exception:
            pass  # a request that is not as they are: the library says what is wrong with it
        return attributes

    def answered(self, span: Span, response: Any, attempts: int = 0) -> None:
        """Put on a span what the answer says."""
        try:
            status, version, headers = self.answer(response)
        except Exception:
            return  # no response as they are
        if self._trace_response:
            heed_trace_response(span, first(headers, "traceresponse"))
        span.set_attribute("http.response.status_code", status)
        version = _VERSIONS.get(version, version)
        if type(version) is str:
            span.set_attribute("network.protocol.version", version)
        if self._response_headers:
            span.set_attributes(captured(headers, self._response_headers))
        if status >= 400:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)


class _Untraced:
    """``with _Untraced():`` the clients below leave the request alone, too; spans of the application are as ever."""

    __slots__ = ("_node", "_token")

    def __enter__(self) -> None:
        self._node = node = Context(current_node())
        self._token = attach(node)
        _open[node] = _Open(_ALL, None, None)

    def __exit__(self, *exception: object) -> None:
        del _open[self._node]
        detach(self._node, self._token)


def _skipping(skip: Skip) -> Callable[[str], bool] | None:
    if skip is None or callable(skip):
        return skip
    beginnings = (skip,) if isinstance(skip, str) else tuple(skip)
    return lambda url: url.startswith(beginnings)


def _suppressed(node: Context) -> bool:
    """Whether OpenTelemetry's context says so, as around the requests of its own exporters of metrics and logs."""
    view: Any = node._view
    if view is None:
        return False
    api: Any = sys.modules.get("opentelemetry.context")
    return any(
        view.get(getattr(api, name, None))
        for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
    )


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
