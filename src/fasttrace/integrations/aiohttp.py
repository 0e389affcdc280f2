"""aiohttp's client: a CLIENT span for every request that is sent, redirects included (OpenTelemetry, "HTTP client").

``instrument()`` traces every session of the process, ``instrument(session)`` one, by a ``TraceConfig`` after those
that the session has. Spans end with the response's headers, those of WebSockets with the handshake. Who sends a request
again below a span (middlewares, a connection that was lost) leaves an event. A request with
``trace_request_ctx={"url.template": "/orders/{id}"}`` names its span.
"""

from __future__ import annotations

from types import SimpleNamespace
from weakref import WeakSet

import aiohttp

from fasttrace.integrations._client import Client
from fasttrace.integrations._layers import RESEND_COUNT
from fasttrace.integrations._patch import Patch, replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from fasttrace._core import Span
    from fasttrace.integrations._client import Skip

__all__ = ["instrument", "uninstrument"]

# Those that have the process's configuration.
_sessions: WeakSet[aiohttp.ClientSession] = WeakSet()


class _Aiohttp(Client):
    library = "aiohttp"

    def template(self, request: Any) -> str:
        template: str = request.template
        return template

    def inject(self, request: Any, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            request.headers[name] = value

    def answer(self, response: aiohttp.ClientResponse) -> tuple[int, Any, Any]:
        version = response.version
        text = None if version is None else f"{version.major}.{version.minor}"
        return response.status, text, response.headers


class _Call(SimpleNamespace):
    """One call of a session: what it sends now, and the span of that."""

    method: str
    asked: Any
    url: Any
    headers: Any
    template = ""
    span: Span | None = None
    sent = 0
    redirects = 0

    def __init__(self, trace_request_ctx: Any = None) -> None:
        if isinstance(trace_request_ctx, dict):
            self.template = trace_request_ctx.get("url.template") or ""


class _Tracing(aiohttp.TraceConfig):
    """Our part in a session."""

    def __init__(self, traced: _Aiohttp) -> None:
        super().__init__(_Call)
        self.traced = traced
        self.on_request_start.append(self._start)
        self.on_request_headers_sent.append(self._sent)
        self.on_request_redirect.append(self._redirect)
        self.on_request_end.append(self._end)
        self.on_request_exception.append(self._exception)
        self.freeze()

    async def _start(self, session: Any, call: Any, params: Any) -> None:
        call.method, call.url, call.headers = params.method, params.url, params.headers
        call.asked = params.url
        resent = self.traced.count(call)
        if resent >= 0:
            call.span = self.traced.begin(call, resent)

    async def _sent(self, session: Any, call: Any, params: Any) -> None:
        call.sent += 1
        if call.sent > 1 and call.span is not None:
            call.span.add_event("http.resend", {RESEND_COUNT: call.redirects + call.sent - 1})

    async def _redirect(self, session: Any, call: Any, params: Any) -> None:
        if call.span is None:
            return
        recording = call.span.is_recording()
        self.traced.end(call.span, params.response)
        if not recording:
            call.span = None  # what is sent along stays as it is
            return
        call.sent = 0
        call.redirects += 1
        call.template = ""
        call.method, call.url = _following(call.method, params.url, params.response)
        call.span = self.traced.begin(call, call.redirects)

    async def _end(self, session: Any, call: Any, params: Any) -> None:
        if call.span is not None:
            self.traced.end(call.span, params.response)

    async def _exception(self, session: Any, call: Any, params: Any) -> None:
        span, error = call.span, params.exception
        if span is None:
            return
        status = error.status if isinstance(error, aiohttp.ClientResponseError) else 0
        if status and span.is_recording():
            # raise_for_status, with an answer that is not handed to us.
            span.set_attribute("http.response.status_code", status)
            if status >= 400:
                span.set_attribute("error.type", str(status))
        self.traced.fail(span, error, status >= 400)


def _following(method: str, url: Any, response: Any) -> tuple[str, Any]:
    """Method and URL that a redirect leads to, as aiohttp will find them."""
    status = response.status
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method = "GET"
    try:
        from yarl import URL

        return method, url.join(URL(response.headers.get("Location") or response.headers.get("URI") or ""))
    except Exception:
        return method, url  # aiohttp says what is wrong with it


def instrument(
    session: aiohttp.ClientSession | None = None,
    *,
    skip: Skip = None,
    capture_headers: Iterable[str] = (),
    capture_query: Iterable[str] = (),
    trace_response: bool = False,
) -> None:
    """Trace one session, or with none given every session of the process, those that exist included.

    Calling it again changes nothing. The options are those of ``_client.Client``.
    """
    tracing = _Tracing(_Aiohttp(skip, capture_headers, capture_query, trace_response))
    if session is None:
        replace(aiohttp.ClientSession, "_request", _make, tracing)
    elif not _traced(session):
        _add(session, tracing)


def uninstrument(session: aiohttp.ClientSession | None = None) -> None:
    """Undo ``instrument`` for one session, or the process-wide one. Calling it again changes nothing."""
    if session is not None:
        _remove(session)
        return
    restore(aiohttp.ClientSession, "_request")
    for known in list(_sessions):
        _remove(known)
        _sessions.discard(known)


def _make(original: Any, patch: Patch) -> Any:
    # No coroutine of its own: tracebacks, warnings and cancellation are the original's.
    def _request(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> Any:
        tracing = patch.options
        if tracing is not None and not _traced(self):
            _add(self, tracing)
            _sessions.add(self)
        return original(self, *args, **kwargs)

    return _request


def _traced(session: aiohttp.ClientSession) -> bool:
    configs = session._trace_configs
    return bool(configs) and type(configs[-1]) is _Tracing


def _add(session: aiohttp.ClientSession, tracing: _Tracing) -> None:
    # A list of the session's own: the one that it was made with may be that of others, too.
    session._trace_configs = [*session._trace_configs, tracing]


def _remove(session: aiohttp.ClientSession) -> None:
    session._trace_configs = [config for config in session._trace_configs if type(config) is not _Tracing]
