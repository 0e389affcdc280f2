"""Django's own handlers under WSGI and ASGI, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from loopback import Spans, serving, serving_wsgi, wait_for

pytest.importorskip("django")

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path

import fasttrace
from fasttrace._core.types import SpanKind, StatusCode
from fasttrace.integrations import django as integration

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def order(request: Any, number: int) -> HttpResponse:
    with fasttrace.get_tracer("tests").start_as_current_span("inside"):
        return HttpResponse(f"order {number}")


async def async_order(request: Any, number: int) -> HttpResponse:
    return order(request, number)


def broken(request: Any) -> HttpResponse:
    raise LookupError("no such luck")


def stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"a", b"b", b"c"]))


def unavailable(request: Any) -> HttpResponse:
    return HttpResponse("later", status=503)


def file(request: Any) -> FileResponse:
    return FileResponse(open(__file__, "rb"))


async def endless(request: Any) -> StreamingHttpResponse:
    async def body() -> Any:
        while True:
            yield b"again\n" * 1000
            await asyncio.sleep(0.001)

    return StreamingHttpResponse(body())


_orders = [path("<int:number>/", order), path("async/<int:number>/", async_order)]
urlpatterns = [
    path("orders/", include(_orders)),
    re_path(r"^articles/(?P<number>[0-9]{4})/$", order),
    re_path(r"^api/", include([re_path(r"^items/(?P<number>[^/.]+)\^/$", order)])),
    path("broken/", broken),
    path("stream/", stream),
    path("unavailable/", unavailable),
    path("file/", file),
    path("endless/", endless),
]

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], LOGGING_CONFIG=None, SECRET_KEY="x")
    django.setup(set_prefix=False)


def served(kind: str) -> AbstractContextManager[str]:
    return serving_wsgi(WSGIHandler()) if kind == "wsgi" else serving(ASGIHandler(), lifespan="off")


both = pytest.mark.parametrize("kind", ["wsgi", "asgi"])


@pytest.fixture
def instrumented() -> Iterator[None]:
    integration.instrument()
    integration.instrument()
    yield
    integration.uninstrument()
    integration.uninstrument()


@pytest.fixture
def get(spans: Spans, instrumented: None) -> Callable[..., Any]:
    """One request, and the spans that it made."""

    def request(kind: str, path: str, count: int = 1) -> Any:
        with served(kind) as url:
            response = httpx.get(url + path, headers={"traceparent": PARENT})
            return response, wait_for(spans, count)

    return request


@both
@pytest.mark.parametrize(
    ("address", "route"),
    [
        ("/orders/7/", "/orders/<int:number>/"),
        ("/orders/async/7/", "/orders/async/<int:number>/"),
        ("/articles/2024/", "/articles/(?P<number>[0-9]{4})/"),
        ("/api/items/7%5E/", r"/api/items/(?P<number>[^/.]+)\^/"),
    ],
)
def test_request_is_named_by_its_route(get: Callable[..., Any], kind: str, address: str, route: str) -> None:
    response, (server, inside) = get(kind, address + "?access_token=x", 2)
    assert response.status_code == 200
    assert (server.name, server.kind, server.attributes["http.route"]) == (f"GET {route}", SpanKind.SERVER, route)
    assert (server.trace_id, server.parent_span_id) == (PARENT[3:35], PARENT[36:52])
    assert inside.parent_span_id == server.span_id
    assert server.attributes["url.path"] == unquote(address)
    assert server.attributes["url.query"] == "access_token=REDACTED"


@both
def test_route_of_an_application_below_a_prefix_begins_with_it(spans: Spans, instrumented: None, kind: str) -> None:
    def below(environ: dict[str, Any], start_response: Any) -> Any:
        environ["SCRIPT_NAME"] = "/shop"
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/shop")
        return WSGIHandler()(environ, start_response)

    with serving_wsgi(below) if kind == "wsgi" else serving(ASGIHandler(), lifespan="off", root_path="/shop") as url:
        prefix = "/shop" if kind == "wsgi" else ""  # uvicorn's own is not in the request line
        assert httpx.get(f"{url}{prefix}/orders/7/").text == "order 7"
    server, _ = wait_for(spans, 2)
    assert server.attributes["url.path"] == "/shop/orders/7/"
    assert server.attributes["http.route"] == "/shop/orders/<int:number>/"


@both
def test_exceptions_that_django_answers_are_recorded_once(get: Callable[..., Any], kind: str) -> None:
    response, (server,) = get(kind, "/broken/")
    assert response.status_code == 500
    assert (server.name, server.status.status_code) == ("GET /broken/", StatusCode.ERROR)
    assert [event.attributes["exception.message"] for event in server.events] == ["no such luck"]


@both
@pytest.mark.parametrize(("address", "code"), [("/unavailable/", StatusCode.ERROR), ("/nowhere", StatusCode.UNSET)])
def test_5xx_is_an_error_and_4xx_is_none(get: Callable[..., Any], kind: str, address: str, code: StatusCode) -> None:
    response, (server,) = get(kind, address)
    assert server.attributes["http.response.status_code"] == response.status_code
    assert server.status.status_code == code
    assert server.name == ("GET /unavailable/" if response.status_code == 503 else "GET")


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators:Warning")
@both
def test_streams_and_files_end_with_their_last_byte(get: Callable[..., Any], kind: str) -> None:
    response, _ = get(kind, "/stream/")
    assert response.text == "abc"
    if kind == "wsgi":
        response, (_, server) = get(kind, "/file/", 2)
        assert response.content.startswith(b'"""Django')
        assert server.name == "GET /file/"


@pytest.mark.skipif(django.VERSION < (5,), reason="Django 4 does not notice")
def test_a_client_that_goes_away_is_no_error(spans: Spans, instrumented: None) -> None:
    with served("asgi") as url:
        with httpx.stream("GET", f"{url}/endless/") as response:
            next(response.iter_raw())
        (server,) = wait_for(spans, 1)
    assert (server.name, server.status.status_code) == ("GET /endless/", StatusCode.UNSET)


@both
def test_one_application_is_traced_and_no_other(spans: Spans, kind: str) -> None:
    one, other = (WSGIHandler(), WSGIHandler()) if kind == "wsgi" else (ASGIHandler(), ASGIHandler())
    serve: Any = serving_wsgi if kind == "wsgi" else serving
    resolve = BaseHandler.resolve_request
    integration.instrument(one, skip=["/unavailable*"])
    try:
        for application in (other, one):
            with serve(application) as url:
                httpx.get(f"{url}/unavailable/")
                httpx.get(f"{url}/broken/")
        assert [span.name for span in wait_for(spans, 1)] == ["GET /broken/"]
    finally:
        integration.uninstrument(one)
    assert BaseHandler.resolve_request is resolve


@both
def test_the_application_answers_the_same_with_and_without_it(kind: str) -> None:
    def outside() -> list[Any]:
        found: list[Any] = []
        with served(kind) as url:
            for address in ("/orders/7/", "/orders/async/7/", "/broken/", "/nowhere", "/unavailable/"):
                response = httpx.get(url + address)
                headers = [pair for pair in response.headers.multi_items() if pair[0] != "date"]
                found.append((response.status_code, headers, response.content))
        return found

    bare = outside()
    integration.instrument()
    try:
        assert outside() == bare
    finally:
        integration.uninstrument()
