"""The ASGI middleware, on real requests over the loopback and on bare ASGI calls."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import httpx
import pytest
from loopback import Spans, serving, wait_for
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

import fasttrace
from fasttrace._core.types import SpanData, SpanKind, StatusCode
from fasttrace.export import MemoryExporter
from fasttrace.integrations.asgi import TracingMiddleware

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Broken(Exception):
    pass


async def item(request: Request) -> PlainTextResponse:
    with fasttrace.get_tracer("tests").start_as_current_span("inside"):
        return PlainTextResponse(request.path_params["item"])


async def broken(request: Request) -> PlainTextResponse:
    raise Broken("no such luck")


async def unavailable(request: Request) -> PlainTextResponse:
    return PlainTextResponse("later", status_code=503)


async def stream(request: Request) -> StreamingResponse:
    async def body() -> Any:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(body())


async def background(request: Request) -> PlainTextResponse:
    return PlainTextResponse("accepted", background=BackgroundTask(request.app.state.work.wait, 60))


def shop() -> Starlette:
    return Starlette(
        routes=[
            Route("/items/{item}", item),
            Route("/broken", broken),
            Route("/unavailable", unavailable),
            Route("/stream", stream),
            Route("/background", background),
            Mount("/api/{tenant}", routes=[Route("/items/{item:path}", item, methods=["GET", "POST"])]),
        ]
    )


def get(path: str, spans: Spans, count: int = 1, **headers: str) -> tuple[httpx.Response, list[SpanData]]:
    """One real request to the shop, and the spans that it made."""
    with serving(TracingMiddleware(shop())) as url:
        response = httpx.get(url + path, headers=headers)
        return response, wait_for(spans, count)


def test_request_is_a_server_span_named_by_its_route(spans: Spans) -> None:
    response, (server, inside) = get("/items/teapot?secret=1&page=2", spans, 2, **{"user-agent": "tester/1"})
    assert response.text == "teapot"
    assert (server.name, server.kind) == ("GET /items/{item}", SpanKind.SERVER)
    assert inside.parent_span_id == server.span_id
    assert server.start_time_ns <= inside.start_time_ns <= inside.end_time_ns <= server.end_time_ns
    expected = {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/items/{item}",
        "url.path": "/items/teapot",
        "url.query": "secret=REDACTED&page=2",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "tester/1",
        "server.port": response.url.port,
    }
    assert server.attributes == expected
    assert server.status.status_code == StatusCode.UNSET


def test_parent_comes_from_the_headers(spans: Spans) -> None:
    _, (server, _) = get("/items/1", spans, 2, traceparent=PARENT)
    assert (server.trace_id, server.parent_span_id) == (PARENT[3:35], PARENT[36:52])


@pytest.mark.parametrize("header", ["", "rubbish", PARENT.replace("00-", "ff-", 1), PARENT + "\u00e9"])
def test_malformed_header_starts_a_new_trace(spans: Spans, header: str) -> None:
    with serving(TracingMiddleware(shop())) as url:
        response = httpx.get(f"{url}/items/1", headers=[(b"traceparent", header.encode("latin-1"))])
        assert response.status_code == 200
        server, _ = wait_for(spans, 2)
    assert server.parent_span_id == ""
    assert server.trace_id != PARENT[3:35]


def test_request_is_a_root_whatever_is_current_where_the_server_runs(spans: Spans) -> None:
    async def call() -> None:
        with fasttrace.get_tracer("tests").start_as_current_span("around"):
            await drive(TracingMiddleware(shop()), "/items/1")

    asyncio.run(call())
    around, server, _ = spans()
    assert server.parent_span_id == ""
    assert server.trace_id != around.trace_id


def test_5xx_is_an_error_with_its_code_as_type(spans: Spans) -> None:
    response, (server,) = get("/unavailable", spans)
    assert response.status_code == 503
    assert server.status.status_code == StatusCode.ERROR
    assert server.attributes["error.type"] == "503"


def test_4xx_is_no_error_of_the_server(spans: Spans) -> None:
    _, (server,) = get("/nowhere", spans)
    assert (server.name, server.attributes["http.response.status_code"]) == ("GET", 404)
    assert server.status.status_code == StatusCode.UNSET
    assert "error.type" not in server.attributes
    assert "http.route" not in server.attributes


def test_exception_is_recorded_although_the_framework_answers_500(spans: Spans) -> None:
    response, (server,) = get("/broken", spans)
    assert response.status_code == 500
    assert server.name == "GET /broken"
    assert server.status.status_code == StatusCode.ERROR
    assert server.attributes["error.type"] == "500"
    assert [event.attributes["exception.message"] for event in server.events] == ["no such luck"]


def test_exception_of_a_bare_application_passes_unchanged(spans: Spans) -> None:
    error = Broken("bare")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(Broken) as raised:
        asyncio.run(drive(TracingMiddleware(app), "/"))
    assert raised.value is error
    (server,) = spans()
    assert server.status.status_code == StatusCode.ERROR
    assert server.attributes["error.type"].endswith("test_asgi.Broken")
    assert server.events[0].name == "exception"


def test_span_lasts_until_the_last_byte_of_a_stream(spans: Spans) -> None:
    response, (server,) = get("/stream", spans)
    assert response.text == "0\n1\n2\n3\n4\n"
    assert server.duration_ns >= 40_000_000


def test_span_does_not_wait_for_background_work(spans: Spans) -> None:
    app = shop()
    app.state.work = threading.Event()
    with serving(TracingMiddleware(app)) as url:
        try:
            assert httpx.get(f"{url}/background").text == "accepted"
            (server,) = wait_for(spans, 1)
        finally:
            app.state.work.set()
    assert server.name == "GET /background"


def test_cancelled_request_ends_its_span_and_is_no_error(spans: Spans) -> None:
    async def call() -> None:
        running = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            running.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(drive(TracingMiddleware(app), "/"))
        await running.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(call())
    (server,) = spans()
    assert server.status.status_code == StatusCode.UNSET
    assert [event.name for event in server.events] == ["cancelled"]


def test_a_client_that_times_out_leaves_a_span_that_ends_with_the_work(spans: Spans) -> None:
    go_on = threading.Event()

    async def slow(request: Request) -> PlainTextResponse:
        await asyncio.to_thread(go_on.wait, 60)
        return PlainTextResponse("late")

    with serving(TracingMiddleware(Starlette(routes=[Route("/", slow)]))) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(url, timeout=httpx.Timeout(60, read=0.1))
        assert spans() == []
        go_on.set()
        (server,) = wait_for(spans, 1)
    assert (server.name, server.status.status_code) == ("GET /", StatusCode.UNSET)


def test_a_timeout_inside_is_the_error_that_it_was(spans: Spans) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(drive(TracingMiddleware(slow), "/"))
    (server,) = spans()
    assert (server.attributes["error.type"], server.status.status_code) == ("TimeoutError", StatusCode.ERROR)


def test_a_request_leaves_nothing_for_the_garbage_collector(spans: Spans) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    middleware = TracingMiddleware(app)

    def request() -> None:
        with pytest.raises(StopIteration):
            drive(middleware, "/").send(None)

    request()
    gc.collect()
    gc.disable()
    try:
        request()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_mounted_routes_are_named_whole_and_without_values(spans: Spans) -> None:
    _, (server, _) = get("/api/acme/items/a/b", spans, 2)
    assert server.attributes["http.route"] == "/api/{tenant}/items/{item}"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/users/users/types/7", "/users/{name}/types/{name_type}"),
        ("/pairs/1/1/types/7", "/pairs/{a}/{b}/types/{name_type}"),
    ],
)
def test_parameters_of_a_mount_stand_where_their_values_were(spans: Spans, path: str, route: str) -> None:
    inner = [Route("/types/{name_type}", item)]
    app = Starlette(routes=[Mount("/users/{name}", routes=inner), Mount("/pairs/{a}/{b}", routes=inner)])
    with serving(TracingMiddleware(app)) as url:
        httpx.get(url + path)
        server, _ = wait_for(spans, 2)
    assert server.attributes["http.route"] == route


def test_mount_without_a_route_is_named_by_its_prefix(spans: Spans) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("file")(scope, receive, send)

    app = Starlette(routes=[Mount("/static", app=answer)])
    with serving(TracingMiddleware(app)) as url:
        assert httpx.get(f"{url}/static/a/b.css").text == "file"
        (server,) = wait_for(spans, 1)
    assert server.name in ("GET", "GET /static")  # Starlette before 1.0 does not say which route it took


def test_unknown_methods_do_not_make_new_names(spans: Spans) -> None:
    with serving(TracingMiddleware(shop())) as url:
        httpx.request("BREW", f"{url}/items/1")
        (server,) = wait_for(spans, 1)
    assert server.name == "HTTP /items/{item}"
    assert server.attributes["http.request.method"] == "_OTHER"
    assert server.attributes["http.request.method_original"] == "BREW"


def test_background_work_is_part_of_the_trace_after_the_span_has_ended(spans: Spans) -> None:
    async def work() -> None:
        fasttrace.get_tracer("tests").start_span("work").end()

    async def accept(request: Request) -> PlainTextResponse:
        return PlainTextResponse("accepted", background=BackgroundTask(work))

    with serving(TracingMiddleware(Starlette(routes=[Route("/", accept)]))) as url:
        httpx.get(url)
        server, work_done = wait_for(spans, 2)
    assert work_done.parent_span_id == server.span_id
    assert work_done.start_time_ns >= server.end_time_ns


def test_a_stream_that_fails_below_a_middleware_that_ends_it_is_an_error(spans: Spans) -> None:
    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Any:
            return await call_next(request)

    async def stream(request: Request) -> StreamingResponse:
        async def blocks() -> Any:
            yield b"half"
            raise LookupError("no such luck")

        return StreamingResponse(blocks())

    app = Starlette(routes=[Route("/", stream)], middleware=[Middleware(Passing)])
    with serving(TracingMiddleware(app)) as url:
        assert httpx.get(url).text == "half", "the client can't see it"
        (server,) = wait_for(spans, 1)
    assert (server.status.status_code, server.attributes["error.type"]) == (StatusCode.ERROR, "LookupError")
    assert [event.attributes["exception.message"] for event in server.events] == ["no such luck"]


def test_a_failed_answer_ends_with_its_last_byte_though_work_goes_on(spans: Spans) -> None:
    work_began_ns: list[int] = []

    async def work() -> None:
        work_began_ns.append(time.time_ns())

    async def fail(request: Request) -> PlainTextResponse:
        return PlainTextResponse("sorry", status_code=503, background=BackgroundTask(work))

    with serving(TracingMiddleware(Starlette(routes=[Route("/", fail)]))) as url:
        httpx.get(url)
        (server,) = wait_for(spans, 1)
    assert server.end_time_ns <= work_began_ns[0]


def test_a_client_that_goes_away_ends_the_span_of_its_stream(spans: Spans) -> None:
    async def endless(request: Request) -> StreamingResponse:
        async def body() -> Any:
            while True:
                yield b"again\n" * 1000
                await asyncio.sleep(0.001)

        return StreamingResponse(body())

    with serving(TracingMiddleware(Starlette(routes=[Route("/", endless)]))) as url:
        with httpx.stream("GET", url) as response:
            next(response.iter_raw())
        (server,) = wait_for(spans, 1)
    assert (server.name, server.status.status_code) == ("GET /", StatusCode.UNSET)
    assert server.attributes["http.response.status_code"] == 200


def test_middleware_inside_the_framework_sees_the_route_too(spans: Spans) -> None:
    app = shop()
    app.add_middleware(TracingMiddleware)
    with serving(app) as url:
        httpx.get(f"{url}/items/1")
        server, _ = wait_for(spans, 2)
    assert server.name == "GET /items/{item}"


def test_middleware_installed_twice_makes_one_span(spans: Spans) -> None:
    app = shop()
    app.add_middleware(TracingMiddleware)
    with serving(TracingMiddleware(app)) as url:
        httpx.get(f"{url}/items/1")
        assert [data.name for data in wait_for(spans, 2)] == ["GET /items/{item}", "inside"]


def test_what_is_neither_request_nor_lifespan_is_left_alone() -> None:
    passed: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.extend((scope, receive, send))

    scope, receive, send = {"type": "gopher"}, object(), object()
    asyncio.run(TracingMiddleware(app)(scope, receive, send))  # type: ignore[arg-type]
    assert passed == [scope, receive, send]
    assert scope == {"type": "gopher"}


@pytest.mark.parametrize("last", ["complete", "failed"])
def test_before_the_last_message_of_a_lifespan_what_has_ended_is_sent(last: str) -> None:
    exporter = MemoryExporter()
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=60)
    sent: list[tuple[str, int]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope == {"type": "lifespan"}
        await send({"type": "lifespan.startup.complete"})
        provider.get_tracer("app").start_span("closing the pool").end()
        await send({"type": f"lifespan.shutdown.{last}"})

    async def send(message: Any) -> None:
        sent.append((message["type"], len(exporter.spans)))

    middleware = TracingMiddleware(app)
    asyncio.run(middleware({"type": "lifespan"}, None, send))  # type: ignore[arg-type]
    assert sent == [("lifespan.startup.complete", 0), (f"lifespan.shutdown.{last}", 1)]
    coroutine = middleware({"type": "lifespan"}, None, send)  # type: ignore[arg-type]
    with pytest.raises(StopIteration):
        coroutine.send(None)  # in no loop of asyncio's
    assert sent[2:] == [("lifespan.startup.complete", 1), (f"lifespan.shutdown.{last}", 2)]
    provider.shutdown(60)


def test_unconfigured_process_serves_as_if_nothing_were_there() -> None:
    provider = fasttrace.TracerProvider(exporter="none", sampler="always_off")
    with serving(TracingMiddleware(shop(), tracer=provider.get_tracer("tests"))) as url:
        assert httpx.get(f"{url}/items/1", headers={"traceparent": PARENT}).text == "1"
        assert httpx.get(f"{url}/broken").status_code == 500
    assert provider.shutdown(timeout=60)


async def drive(app: Any, path: str) -> Any:
    """Call an ASGI application without a server; the messages it sent."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    http = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "http_version": "1.1"}
    await app(http, receive, send)
    return sent
