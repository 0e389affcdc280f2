"""Plain ASGI applications under uvicorn, and those that trace themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from loopback import Spans, serving, wait_for
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fasttrace.integrations import starlette
from fasttrace.integrations import uvicorn as integration
from fasttrace.integrations.asgi import TracingMiddleware


async def plain(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})


def classic(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Length", "7")])
    return [b"classic"]


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("shop")


def shop() -> Starlette:
    return Starlette(routes=[Route("/orders/{id}", answer)])


@pytest.fixture
def instrumented() -> Iterator[None]:
    integration.instrument(skip="/healthz")
    integration.instrument()
    yield
    integration.uninstrument()
    integration.uninstrument()


def scopes(spans: Spans, app: Any, **options: Any) -> list[tuple[str, str]]:
    """Names and origins of the spans of one request and one health check."""
    with serving(app, **options) as url:
        httpx.get(f"{url}/healthz")
        httpx.get(f"{url}/orders/7")
        return [(span.name, span.scope.name.rpartition(".")[2]) for span in wait_for(spans, 1)]


def test_a_plain_application_is_traced(spans: Spans, instrumented: None) -> None:
    assert scopes(spans, plain) == [("GET", "uvicorn")]


def test_a_wsgi_application_is_traced_too(spans: Spans, instrumented: None) -> None:
    with pytest.warns(DeprecationWarning, match="WSGI"):
        assert scopes(spans, classic, interface="wsgi") == [("GET", "uvicorn")]


def test_a_route_is_seen_from_outside(spans: Spans, instrumented: None) -> None:
    assert scopes(spans, shop()) == [("GET /orders/{id}", "uvicorn")]


def test_the_client_is_the_one_that_the_proxy_says(spans: Spans, instrumented: None) -> None:
    with serving(plain, forwarded_allow_ips="127.0.0.1") as url:
        httpx.get(url, headers={"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"})
        (server,) = wait_for(spans, 1)
    assert (server.attributes["client.address"], server.attributes["url.scheme"]) == ("198.51.100.7", "https")


def test_an_application_that_traces_itself_does_so_with_its_own_options(spans: Spans, instrumented: None) -> None:
    inside = shop()
    inside.add_middleware(TracingMiddleware, skip="/healthz")
    for number, app in enumerate((TracingMiddleware(plain, skip="/healthz"), inside), 1):
        with serving(app) as url:
            httpx.get(f"{url}/orders/7")
            httpx.get(f"{url}/healthz")
            assert {span.scope.name for span in wait_for(spans, number)} == {"fasttrace.integrations.asgi"}


def test_a_framework_that_is_instrumented_goes_before_the_server(spans: Spans, instrumented: None) -> None:
    starlette.instrument(skip="/healthz")
    try:
        assert scopes(spans, shop()) == [("GET /orders/{id}", "starlette")]
    finally:
        starlette.uninstrument()


def test_nothing_is_replaced_in_the_end() -> None:
    load = uvicorn.Config.load
    integration.instrument()
    config = uvicorn.Config(plain)
    integration.instrument(config)
    integration.uninstrument(config)
    integration.uninstrument()
    assert uvicorn.Config.load is load
    config.load()
    assert not isinstance(config.loaded_app, TracingMiddleware)
