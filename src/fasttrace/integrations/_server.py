"""What HTTP servers have in common: their options, and one request from its headers to its last byte.

OpenTelemetry semantic conventions, "HTTP server". A request is traced once, by the outermost that sees it; what runs
further in finds its ``Exchange`` under ``KEY`` in ASGI's scope or WSGI's environ, or None if nothing is recorded.
"""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache

from fasttrace import config
from fasttrace._core import SpanKind, StatusCode
from fasttrace._version import __version__
from fasttrace.context import UNTRACED, Context, Span, current_node
from fasttrace.integrations._http import note_exception, split_authority
from fasttrace.integrations._secrets import capture
from fasttrace.process import get_tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from typing import Any

    from fasttrace._core import Tracer

    Skip = Iterable[str] | Callable[[Any], bool] | None

__all__ = ["ERROR", "KEY", "NO_PARENT", "SERVER", "Exchange", "Server", "handed_on", "host_of", "matcher", "under_way"]

SERVER = SpanKind.SERVER
ERROR = StatusCode.ERROR
# A request without headers is a root, whatever was current where the server was started.
NO_PARENT = Context()
_INTEGRATIONS = "fasttrace.integrations."
KEY = "fasttrace.request"
# The requests of ASGI applications by their span, for WSGI applications below them: no scope comes as far as there.
under_way: dict[Any, Exchange] = {}


class Server:
    """How the requests of an application are traced.

    ``skip``: paths of which nothing is recorded, ``*`` for anything (``{"/healthz", "/static/*"}``), or a function of
    the scope or environ that returns True for those; else FASTTRACE_SKIP_PATHS. ``capture_headers``: the names of
    headers of requests and answers to be recorded; else FASTTRACE_CAPTURE_HEADERS. ``trace_response``: tell callers in
    a ``traceresponse`` header whether the trace is kept, as far as known by then. ``durations``: count how long each
    request took, whether sampled or not, for ``fasttrace.metrics``; else FASTTRACE_REQUEST_DURATIONS. ``tracer``: by
    default the process's.
    """

    __slots__ = (
        "record",
        "request_headers",
        "response_headers",
        "skip_path",
        "skip_request",
        "trace_response",
        "tracer",
    )

    def __init__(
        self,
        library: str,
        url_of: Callable[[Any], str],
        tracer: Tracer | None = None,
        skip: Skip = None,
        capture_headers: Iterable[str] | None = None,
        trace_response: bool = False,
        durations: bool | None = None,
    ) -> None:
        self.tracer: Tracer = get_tracer(f"fasttrace.integrations.{library}", __version__) if tracer is None else tracer
        self.trace_response: bool = trace_response
        if skip is None:
            skip = config.from_environment("skip_paths", os.environ)
        self.skip_request: Callable[[Any], Any] | None = None
        self.skip_path: Callable[[str], bool] | None = None
        if isinstance(skip, re.Pattern):
            search = skip.search
            self.skip_request = lambda request: search(url_of(request)) is not None
        elif callable(skip):
            self.skip_request = skip
        elif skip:
            self.skip_path = matcher((skip,) if isinstance(skip, str) else skip)
        if capture_headers is None:
            capture_headers = config.from_environment("capture_headers", os.environ)
        self.request_headers: dict[str, str] = capture(capture_headers, "request")
        self.response_headers: dict[str, str] = capture(capture_headers, "response")
        if durations is None:
            durations = config.from_environment("request_durations", os.environ)
        self.record: Callable[[str, str, int, float], None] | None = None
        if durations:
            from fasttrace.durations import record

            self.record = record

    def skips(self, request: Any, path: str) -> bool:
        """Whether nothing is to be recorded of this request."""
        try:
            if self.skip_path is not None:
                return self.skip_path(path)
            return self.skip_request is not None and bool(self.skip_request(request))
        except Exception:  # a function of the user's: the request goes on, traced
            return False


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path is one of these, in which ``*`` stands for anything."""
    exact, starts, others = set(), [], []
    for pattern in patterns:
        if "*" not in pattern:
            exact.add(pattern)
        elif pattern.index("*") == len(pattern) - 1:
            starts.append(pattern[:-1])
        else:
            others.append(".*".join(map(re.escape, pattern.split("*"))))
    if not starts and not others:
        return frozenset(exact).__contains__
    start = tuple(starts)
    match = re.compile("|".join(others), re.DOTALL).fullmatch if others else None
    return lambda path: path in exact or path.startswith(start) or (match is not None and match(path) is not None)


class Exchange:
    """One request and its answer; a subclass watches them go by and knows how to find the route.

    ``route`` is what a framework further in says that it has found.
    """

    __slots__ = ("_begun", "_finished", "_seconds", "_told", "carrier", "method", "route", "server", "span", "status")
    counted = True

    def __init__(self, server: Server, span: Span, method: str, carrier: MutableMapping[str, Any]) -> None:
        self.server = server
        self.span = span
        self.method = method
        self.carrier = carrier
        carrier[KEY] = self
        self.route = ""
        self.status = 0
        self._begun = time.perf_counter() if server.record is not None else 0.0
        self._seconds = 0.0
        self._finished = False
        self._told: BaseException | None = None

    def find_route(self) -> str:
        """The template of the route that answers, or ""."""
        return ""

    def look_for_route(self) -> None:
        """Take the route as it is found now, unless it is known."""
        if not self.route and (self.span.is_recording() or self.server.record is not None):
            try:
                self.route = self.find_route()
            except Exception:  # a router that is not like those known
                pass

    def respond(self, status: Any) -> None:
        """The answer begins, with a number or its text."""
        if type(status) is not int:
            status = _number(status)
        self.status = status
        span = self.span
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(ERROR)

    def tell(self, error: BaseException) -> None:
        """An exception became, or will become, the answer: it is recorded, once."""
        if error is not self._told and not self._finished:
            self._told = error
            self.span._record(error)
            note_exception(self.span, error, self.status >= 500)

    def fail(self, error: BaseException, end_time_ns: int | None = None) -> None:
        """An exception leaves the application."""
        if not self._finished:
            self.tell(error)
            if not self.status and isinstance(error, Exception):
                self.status = 500  # what servers answer then; counted, but not claimed by the span
            self.finish(end_time_ns)

    def last_byte(self) -> None:
        """The answer has been sent, though the request may go on: its duration is known."""
        if self.server.record is not None:
            self._seconds = time.perf_counter() - self._begun

    def finish(self, end_time_ns: int | None = None) -> None:
        """Name the span by its route and end it; nothing happens the second time."""
        if self._finished:
            return
        self._finished = True
        self._told = None
        span = self.span
        record = self.server.record if self.counted else None
        if record is not None or span.is_recording():
            self.look_for_route()
            route = self.route
            if route:
                span.update_name(_name(self.method, route))
                span.set_attribute("http.route", route)
            if record is not None:
                seconds = self._seconds or time.perf_counter() - self._begun
                record(self.method or "_OTHER", route, self.status, seconds)
        span.end(end_time_ns)
        self.carrier[KEY] = None  # nothing is left that refers to itself


def handed_on(path: str) -> tuple[bool, Exchange | None]:
    """Whether a WSGI application serves a request for an ASGI one, which traces it, and that one's Exchange.

    None for the Exchange of a request of which nothing is recorded.
    """
    node = current_node()
    if node is UNTRACED:
        return True, None
    span = node if node is None or isinstance(node, Span) else node.span
    if span is None or span.kind is not SERVER:
        return False, None
    exchange = under_way.get(span)
    if exchange is None:
        return not span.is_recording() and span.scope.name.startswith(_INTEGRATIONS), None
    # Another path is another request, which somebody makes within the process.
    return exchange.carrier.get("path") == path, exchange


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


@lru_cache(maxsize=1024)
def _name(method: str, route: str) -> str:
    return f"{method or 'HTTP'} {route}"


@lru_cache(maxsize=256)
def host_of(value: bytes, scheme: str) -> tuple[str, int | None]:
    """Address and port of a ``Host`` header."""
    return split_authority(value.decode("latin-1"), scheme)
