"""The JSON API: ``fasttrace.local.api`` over HTTP, reading only."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fasttrace.errors import FasttraceError
from fasttrace.local import api, plain, trace_data
from fasttrace.local.index import Index, IndexUnusable, TraceNotFound
from fasttrace.local.neighbours import neighbours
from fasttrace.local.search import SearchError
from fasttrace.local.server.live import live

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from fasttrace.local.model import Trace

MAX_LIMIT, MAX_BUCKETS = 500, 200
KEPT_TRACES = 4


class BadRequest(FasttraceError):
    """A parameter that can't be used."""


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= most):
        raise BadRequest(f"{name}={text!r}: use a whole number from 1 to {most}")
    return int(text)


def _query(request: Request) -> str:
    return request.query_params.get("q", "").strip()


async def _ask(request: Request, question: Callable[..., Any], *arguments: Any) -> Any:
    return await request.app.state.readers.ask(question, *arguments)


class Shown:
    """A trace that is looked at, with the page's view of it (``body``, JSON) once that was asked for."""

    __slots__ = ("body", "spans", "trace")

    def __init__(self, trace: Trace, spans: int) -> None:
        self.trace: Trace = trace
        self.spans: int = spans
        self.body: bytes | None = None


class Traces:
    """The traces shown last, decoded, so that asking for a span's details does not decode its trace again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Shown] = OrderedDict()

    async def get(self, request: Request, *, whole: bool = False) -> Shown:
        """The request's trace as it is now; the one of the last time if none of its spans has come since."""
        trace_id = request.path_params["trace_id"]
        found: Shown = await _ask(request, _shown, trace_id, self._kept.get(trace_id), whole)
        self._kept[trace_id] = found
        self._kept.move_to_end(trace_id)
        while len(self._kept) > KEPT_TRACES:
            self._kept.popitem(last=False)
        return found


def _shown(index: Index, trace_id: str, kept: Shown | None, whole: bool) -> Shown:
    # Counted first: what comes in between is read next time.
    spans = index.span_count(trace_id)
    if kept is None or kept.spans != spans:
        kept = Shown(index.trace(trace_id), spans)
    if whole and kept.body is None:
        kept.body = plain.dump(trace_data.columns(kept.trace))
    return kept


async def _traces(request: Request) -> Any:
    before = request.query_params.get("before") or None
    return await _ask(request, api.traces, _query(request), _number(request, "limit", 50, MAX_LIMIT), before)


async def _trace(request: Request) -> Any:
    # In one thread from the spool to JSON: each change of threads waits for the others'.
    return (await request.app.state.traces.get(request, whole=True)).body


async def _span(request: Request) -> Any:
    trace = await _known(request)
    text = request.path_params["row"]
    row = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else len(trace.nodes)
    if row >= len(trace.nodes):
        raise TraceNotFound(f"no span {text[:20]}: this trace has {len(trace.nodes)}, counted from 0")
    return trace_data.span(trace, row)


async def _events(request: Request) -> Any:
    return {"events": trace_data.events(await _known(request))}


async def _diagnosis(request: Request) -> Any:
    return await _ask(request, _diagnosed, await _known(request))


def _diagnosed(index: Index, trace: Trace) -> dict[str, Any]:
    return {"diagnosis": trace_data.diagnosis(trace, neighbours(index, trace))}


async def _known(request: Request) -> Trace:
    shown: Shown = await request.app.state.traces.get(request)
    return shown.trace


async def _histogram(request: Request) -> Any:
    return await _ask(request, api.histogram, _query(request), _number(request, "buckets", 60, MAX_BUCKETS))


async def _timeline(request: Request) -> Any:
    return await _ask(request, api.timeline, _query(request), _number(request, "buckets", 60, MAX_BUCKETS))


async def _services(request: Request) -> Any:
    return await _ask(request, api.services)


async def _map(request: Request) -> Any:
    return await _ask(request, api.service_map, _query(request))


async def _routes(request: Request) -> Any:
    return await _ask(request, api.routes, _query(request))


async def _compare(request: Request) -> Any:
    return await _ask(request, api.compare, request.query_params.get("a", ""), request.query_params.get("b", ""))


async def _health(request: Request) -> Any:
    state = request.app.state
    found = {
        **await _ask(request, api.health),
        "trouble": state.readers.trouble,
        "streams": state.readers.streams,
    }
    if state.receiver is not None:
        found["receiver"] = state.receiver.to_dict()
    return found


def _failure(status: int, error: FasttraceError) -> Response:
    found: dict[str, Any] = {"error": str(error)}
    if isinstance(error, SearchError):
        found["position"] = error.position
    return JSONResponse(found, status)


def _answer(function: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            found = await function(request)
        except TraceNotFound as error:
            return _failure(404, error)
        except IndexUnusable as error:
            return _failure(503, error)
        except FasttraceError as error:
            return _failure(400, error)
        body = found if isinstance(found, bytes) else await asyncio.to_thread(plain.dump, found)
        return Response(body, media_type="application/json")

    return endpoint


ENDPOINTS: dict[str, Callable[[Request], Awaitable[Any]]] = {
    "/api/traces": _traces,
    "/api/trace/{trace_id}": _trace,
    "/api/trace/{trace_id}/span/{row}": _span,
    "/api/trace/{trace_id}/events": _events,
    "/api/trace/{trace_id}/diagnosis": _diagnosis,
    "/api/histogram": _histogram,
    "/api/timeline": _timeline,
    "/api/services": _services,
    "/api/map": _map,
    "/api/routes": _routes,
    "/api/compare": _compare,
    "/api/health": _health,
}


def api_routes() -> list[Route]:
    """The routes under ``/api``; each answers a JSON object, errors as ``{"error": text}``."""
    return [
        *(Route(path, _answer(function), methods=["GET"]) for path, function in ENDPOINTS.items()),
        Route("/api/live", live, methods=["GET"]),
    ]
