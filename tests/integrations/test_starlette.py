"""Starlette and FastAPI, process-wide and one application, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from loopback import Spans, serving, wait_for
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from fasttrace._core.types import StatusCode
from fasttrace.integrations import starlette
from fasttrace.integrations.asgi import TracingMiddleware

try:
    from fastapi import APIRouter, FastAPI, WebSocket

    from fasttrace.integrations import fastapi
except ImportError:
    needs_fastapi = pytest.mark.skip(reason="fastapi is not here")
else:
    needs_fastapi = pytest.mark.skipif(False, reason="fastapi is not here")


async def order(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.path_params["id"])


async def broken(request: Request) -> PlainTextResponse:
    raise LookupError("no such luck")


async def stream(request: Request) -> StreamingResponse:
    return StreamingResponse(iter(["a", "b", "c"]))


def shop() -> Starlette:
    inner = Starlette(routes=[Route("/orders/{id:int}", order)])
    return Starlette(
        routes=[
            Route("/orders/{id}", order),
            Route("/broken", broken),
            Route("/stream", stream),
            Mount("/inner", app=inner),
        ]
    )


@pytest.fixture
def instrumented() -> Iterator[None]:
    yield
    starlette.uninstrument()


def names(spans: Spans, app: Any, paths: list[str], count: int | None = None, **options: Any) -> list[str]:
    with serving(app, **options) as url:
        for path in paths:
            httpx.get(url + path)
        return [span.name for span in wait_for(spans, len(paths) if count is None else count)]


def test_every_application_of_the_process_is_traced_also_one_that_exists(spans: Spans, instrumented: None) -> None:
    before = shop()
    starlette.instrument()
    starlette.instrument()
    for number, app in enumerate((before, shop()), 1):
        assert names(spans, app, ["/orders/7"], number) == ["GET /orders/{id}"] * number


def test_mounted_applications_are_one_request_named_whole(spans: Spans, instrumented: None) -> None:
    starlette.instrument()
    assert names(spans, shop(), ["/inner/orders/7", "/nowhere"]) == ["GET /inner/orders/{id}", "GET"]


def test_one_application_is_traced_and_no_other(spans: Spans) -> None:
    one, other = shop(), shop()
    starlette.instrument(one)
    starlette.instrument(one)
    try:
        assert names(spans, other, ["/orders/7"], 0) == []
        assert names(spans, one, ["/orders/7"]) == ["GET /orders/{id}"]
    finally:
        starlette.uninstrument(one)
        starlette.uninstrument(one)
    assert names(spans, one, ["/orders/7"], 1) == ["GET /orders/{id}"]  # the one from before


def test_an_application_s_own_options_go_before_those_of_the_process(spans: Spans, instrumented: None) -> None:
    starlette.instrument()
    app = shop()
    starlette.instrument(app, skip="/orders/*")
    assert names(spans, app, ["/orders/7", "/stream"], 1) == ["GET /stream"]
    starlette.uninstrument()
    assert names(spans, app, ["/stream"], 2) == ["GET /stream"] * 2
    starlette.uninstrument(app)
    assert names(spans, app, ["/stream"], 2) == ["GET /stream"] * 2


def test_what_was_replaced_is_put_back() -> None:
    original = Starlette.__call__
    starlette.instrument()
    app = shop()
    starlette.instrument(app)
    assert Starlette.__call__ is not original
    starlette.uninstrument()
    starlette.uninstrument(app)
    starlette.uninstrument()
    assert Starlette.__call__ is original


def test_a_middleware_that_is_there_already_makes_the_span(spans: Spans, instrumented: None) -> None:
    starlette.instrument()
    app = shop()
    app.add_middleware(TracingMiddleware)
    assert names(spans, TracingMiddleware(app), ["/orders/7"]) == ["GET /orders/{id}"]


def test_an_exception_is_recorded_once(spans: Spans, instrumented: None) -> None:
    starlette.instrument()
    with serving(shop()) as url:
        assert httpx.get(f"{url}/broken").status_code == 500
        (server,) = wait_for(spans, 1)
    assert (server.name, server.status.status_code) == ("GET /broken", StatusCode.ERROR)
    assert [event.attributes["exception.message"] for event in server.events] == ["no such luck"]


def test_the_application_answers_the_same_with_and_without_it(instrumented: None) -> None:
    def outside() -> list[Any]:
        found: list[Any] = []
        with serving(shop()) as url:
            for path in ("/orders/7", "/stream", "/broken", "/nowhere", "/inner/orders/7"):
                response = httpx.get(url + path)
                headers = [pair for pair in response.headers.multi_items() if pair[0] != "date"]
                found.append((response.status_code, headers, response.content))
        return found

    bare = outside()
    starlette.instrument()
    assert outside() == bare


@needs_fastapi
def test_fastapi_is_named_by_route_with_its_root(spans: Spans) -> None:
    app = FastAPI()
    router = APIRouter(prefix="/v1")

    @router.get("/orders/{number}")
    async def get_order(number: int) -> dict[str, int]:
        return {"number": number}

    @app.websocket("/rooms/{room}")
    async def talk(room: str, socket: WebSocket) -> None:
        await socket.close()

    inner = FastAPI()
    inner.include_router(router)
    app.include_router(router)
    app.mount("/inner", inner)
    fastapi.instrument()
    try:
        paths = ["/v1/orders/7", "/v1/orders/seven", "/inner/v1/orders/7", "/nowhere"]
        found = names(spans, app, paths, root_path="/shop")
        assert names(spans, shop(), ["/orders/7"], 4) == found  # Starlette's applications are not FastAPI's
    finally:
        fastapi.uninstrument()
    assert found == [
        "GET /shop/v1/orders/{number}",
        "GET /shop/v1/orders/{number}",
        "GET /shop/inner/v1/orders/{number}",
        "GET",
    ]


@needs_fastapi
def test_fastapi_beside_starlette_is_traced_once(spans: Spans, instrumented: None) -> None:
    app = FastAPI()
    starlette.instrument()
    fastapi.instrument()
    try:
        assert names(spans, app, ["/docs"]) == ["GET /docs"]
        assert spans()[0].scope.name == "fasttrace.integrations.fastapi"
    finally:
        fastapi.uninstrument()


@needs_fastapi
def test_the_example_of_the_documentation_works(spans: Spans) -> None:
    page = Path(__file__).parents[2] / "docs" / "integrations" / "servers.md"
    example = page.read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    try:
        exec(example.replace("fasttrace.configure", "dict"), names)  # the fixture has configured it
        with serving(names["app"]) as url:
            assert httpx.get(f"{url}/healthz").status_code == 404
            assert httpx.get(f"{url}/orders/7").json() == {"id": 7}
            assert [span.name for span in wait_for(spans, 1)] == ["GET /orders/{id}"]
    finally:
        fastapi.uninstrument()
