"""The life of a CLIENT span of HTTP: name, headers, answer, error, resends (OpenTelemetry, "HTTP client")."""

from __future__ import annotations

from fasttrace._core import SpanKind, StatusCode
from fasttrace._version import __version__
from fasttrace.integrations._http import asks, heed_trace_response, known_method, note_exception, split_authority
from fasttrace.integrations._layers import PASS, RESEND_COUNT, TOP, Open, Untraced, opened, times_sent
from fasttrace.integrations._secrets import allow, capture, captured, clean_url
from fasttrace.process import get_tracer
from fasttrace.propagation import inject
from fasttrace.propagation.carrier import first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from typing import Any

    from fasttrace._core import Span, Tracer

    Skip = Iterable[str] | Callable[[str], bool] | None

__all__ = ["Client"]

CLIENT = SpanKind.CLIENT
_SKIP = -2
_VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


class Client:
    """Traces the requests of one library, or of one client of it; a subclass knows what its requests look like.

    ``skip``: the beginnings of URLs, or a function of a URL, of requests that get neither a span nor headers.
    ``capture_headers``: the names of headers of requests and responses to be recorded. ``capture_query``: names in
    queries whose values are recorded whatever they look like, in this process. ``trace_response``: keep a trace whose
    callee says in its ``traceresponse`` that it does. ``tracer``: by default the process's.
    """

    rank = TOP
    library = ""

    def __init__(
        self,
        skip: Skip = None,
        capture_headers: Iterable[str] = (),
        capture_query: Iterable[str] = (),
        trace_response: bool = False,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer or get_tracer(f"fasttrace.integrations.{self.library}", __version__)
        self._skip = _skipping(skip)
        self._request_headers = capture(capture_headers, "request")
        self._response_headers = capture(capture_headers, "response")
        self._trace_response = trace_response
        if capture_query:
            allow(capture_query)

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

    def retried(self, response: Any) -> int:
        """How often a response says that its request was sent again, by whatever is below."""
        return 0

    # --- around a call

    def send(self, request: Any, call: Callable[[], Any]) -> Any:
        """Send a request by ``call()``, traced; what it returns or raises."""
        resent = self.count(request)
        if resent == PASS:
            return call()
        if resent == _SKIP:
            with Untraced():
                return call()
        attributes = self.attributes(request, resent) if asks(self._tracer) else None
        with self._tracer.start_as_current_span(self.name(request), None, CLIENT, attributes) as span:
            if not span.is_recording():
                self.propagate(request)
                return call()
            self.describe(span, request, resent, attributes)
            self.propagate(request)
            under_way = opened[span] = Open(self.rank, request, span)
            try:
                response = call()
            except BaseException as error:
                note_exception(span, error)
                raise
            finally:
                del opened[span]
            self.answered(span, response, under_way.attempts)
            return response

    async def send_async(self, request: Any, call: Callable[[], Awaitable[Any]]) -> Any:
        """Send a request by ``await call()``, traced; what it returns or raises."""
        resent = self.count(request)
        if resent == PASS:
            return await call()
        if resent == _SKIP:
            with Untraced():
                return await call()
        attributes = self.attributes(request, resent) if asks(self._tracer) else None
        with self._tracer.start_as_current_span(self.name(request), None, CLIENT, attributes) as span:
            if not span.is_recording():
                self.propagate(request)
                return await call()
            self.describe(span, request, resent, attributes)
            self.propagate(request)
            under_way = opened[span] = Open(self.rank, request, span)
            try:
                response = await call()
            except BaseException as error:
                note_exception(span, error)
                raise
            finally:
                del opened[span]
            self.answered(span, response, under_way.attempts)
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

    def fail(self, span: Span, error: BaseException, answered: bool = False) -> None:
        """What ``begin`` began has failed; ``answered`` as for ``note_exception``."""
        note_exception(span, error, answered)
        span.__exit__(type(error), error, error.__traceback__)

    # --- its parts

    def count(self, request: Any) -> int:
        """How often a request has been sent by clients below the one that made its span; negative to leave it alone."""
        resent = times_sent(self.rank, request, self.reason)
        if resent != 0:
            return resent
        return _SKIP if self._skip is not None and self._skips(self._skip, request) else 0

    def _skips(self, skip: Callable[[str], bool], request: Any) -> bool:
        try:
            return skip(self.url(request))
        except Exception:
            return False  # a function of the user's own: the request goes on

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
        """Put on a span what the answer says; ``attempts`` is how often clients below were seen to send it."""
        try:
            status, version, headers = self.answer(response)
            span.set_attribute("http.response.status_code", status)
            if status >= 400:
                span.set_attribute("error.type", str(status))
                span.set_status(StatusCode.ERROR)
            version = _VERSIONS.get(version, version)
            if type(version) is str:
                span.set_attribute("network.protocol.version", version)
            if self._response_headers:
                span.set_attributes(captured(headers, self._response_headers))
            if self._trace_response:
                heed_trace_response(span, first(headers, "traceresponse"))
            retried = 0 if attempts else self.retried(response)
            if retried:
                span.set_attribute(RESEND_COUNT, retried)
        except Exception:
            pass  # no response as they are, but what stands in for one in a test


def _skipping(skip: Skip) -> Callable[[str], bool] | None:
    if skip is None or callable(skip):
        return skip
    beginnings = (skip,) if isinstance(skip, str) else tuple(skip)
    return lambda url: url.startswith(beginnings)
