"""Flask, process-wide and one application, on a real server."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from loopback import Spans, serving, serving_wsgi, wait_for

pytest.importorskip("flask")

from flask import Flask, Response, stream_with_context
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import fasttrace
from fasttrace._core.types import SpanKind, StatusCode
from fasttrace.export import MemoryExporter
from fasttrace.integrations import flask
from fasttrace.integrations.asgi import TracingMiddleware as AsgiMiddleware
from fasttrace.integrations.wsgi import TracingMiddleware

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def shop() -> Flask:
    app = Flask("shop")

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        with fasttrace.get_tracer("tests").start_as_current_span("inside"):
            return f"order {number}"

    @app.get("/broken")
    def broken() -> str:
        raise LookupError("no such luck")

    @app.get("/stream")
    def stream() -> Response:
        def blocks() -> Iterator[str]:
            for number in range(3):
                fasttrace.get_tracer("tests").start_span("block").end()
                yield f"{number}\n"

        return Response(stream_with_context(blocks()))

    @app.get("/unavailable")
    def unavailable() -> tuple[str, int]:
        return "later", 503

    return app


@pytest.fixture
def instrumented() -> Iterator[None]:
    flask.instrument()
    flask.instrument()
    yield
    flask.uninstrument()
    flask.uninstrument()


def test_request_is_named_by_its_rule(spans: Spans, instrumented: None) -> None:
    with serving_wsgi(shop()) as url:
        assert httpx.get(f"{url}/orders/7?code=1234", headers={"traceparent": PARENT}).text == "order 7"
        server, inside = wait_for(spans, 2)
    assert (server.name, server.kind) == ("GET /orders/<int:number>", SpanKind.SERVER)
    assert (server.trace_id, inside.parent_span_id) == (PARENT[3:35], server.span_id)
    assert server.attributes["http.route"] == "/orders/<int:number>"
    assert (server.attributes["url.path"], server.attributes["url.query"]) == ("/orders/7", "code=REDACTED")


def test_exceptions_that_flask_answers_are_recorded(spans: Spans, instrumented: None) -> None:
    with serving_wsgi(shop()) as url:
        assert httpx.get(f"{url}/broken").status_code == 500
        (server,) = wait_for(spans, 1)
    assert (server.name, server.status.status_code) == ("GET /broken", StatusCode.ERROR)
    assert [event.attributes["exception.message"] for event in server.events] == ["no such luck"]
    assert server.attributes["error.type"] == "500"


def test_exceptions_that_flask_lets_through_are_recorded_once(spans: Spans, instrumented: None) -> None:
    app = shop()
    app.testing = True
    with pytest.raises(LookupError, match="no such luck"):
        app.test_client().get("/broken")
    (server,) = spans()
    assert server.name == "GET /broken"
    assert [event.name for event in server.events] == ["exception"]


def test_5xx_is_an_error_and_an_unknown_path_has_no_route(spans: Spans, instrumented: None) -> None:
    with serving_wsgi(shop()) as url:
        httpx.get(f"{url}/unavailable")
        httpx.get(f"{url}/nowhere/at/all")
        unavailable, nowhere = wait_for(spans, 2)
    assert unavailable.status.status_code == StatusCode.ERROR
    assert (nowhere.name, nowhere.status.status_code) == ("GET", StatusCode.UNSET)


def test_a_stream_is_part_of_its_request(spans: Spans, instrumented: None) -> None:
    with serving_wsgi(shop()) as url:
        assert httpx.get(f"{url}/stream").text == "0\n1\n2\n"
        server, *blocks = wait_for(spans, 4)
    assert {block.parent_span_id for block in blocks} == {server.span_id}
    assert server.end_time_ns >= blocks[-1].end_time_ns


def test_what_others_have_wrapped_of_it_is_traced_once(spans: Spans, instrumented: None) -> None:
    fixed = shop()
    fixed.wsgi_app = ProxyFix(fixed.wsgi_app)  # type: ignore[method-assign]
    mounted = DispatcherMiddleware(Flask("root"), {"/shop": shop().wsgi_app})
    for app, path in ((fixed, "/orders/7"), (ProxyFix(shop().wsgi_app), "/orders/7"), (mounted, "/shop/orders/7")):
        with serving_wsgi(app) as url:
            httpx.get(url + path)
    found = [span.name for span in wait_for(spans, 6) if span.name != "inside"]
    assert found == ["GET /orders/<int:number>", "GET /orders/<int:number>", "GET /shop/orders/<int:number>"]


def _wsgi_middleware() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Starlette's is deprecated, and what FastAPI's users have
        return importlib.import_module("starlette.middleware.wsgi").WSGIMiddleware


@pytest.mark.parametrize("bridge", [_wsgi_middleware, lambda: importlib.import_module("asgiref.wsgi").WsgiToAsgi])
def test_below_an_asgi_application_it_is_one_request_with_its_route(
    spans: Spans, instrumented: None, bridge: Callable[[], Any]
) -> None:
    routing = pytest.importorskip("starlette.routing")
    inner = shop()

    @inner.get("/asks")
    def asks() -> bytes:
        return inner.test_client().get("/unavailable").data

    app = AsgiMiddleware(routing.Router(routes=[routing.Mount("/shop", app=bridge()(inner))]))
    with serving(app, lifespan="off") as url:
        assert httpx.get(f"{url}/shop/orders/7").text == "order 7"
        server, inside = wait_for(spans, 2)
        assert (server.name, server.kind) == ("GET /shop/orders/<int:number>", SpanKind.SERVER)
        assert (server.attributes["http.route"], inside.parent_span_id) == ("/shop/orders/<int:number>", server.span_id)
        assert httpx.get(f"{url}/shop/broken").status_code == 500
        broken = wait_for(spans, 3)[2]
        assert broken.name == "GET /shop/broken"
        assert [event.attributes["exception.message"] for event in broken.events] == ["no such luck"]
        assert httpx.get(f"{url}/shop/asks").text == "later"
    asking, asked = wait_for(spans, 5)[3:]
    assert [asking.name, asked.name] == ["GET /shop/asks", "GET /unavailable"]


def test_below_an_asgi_application_that_records_nothing_nothing_is_recorded(spans: Spans, instrumented: None) -> None:
    class AllButTheFirst:
        seen = 0

        def should_sample(self, trace_id: int, name: str) -> Any:
            self.seen += 1
            return SimpleNamespace(decision="DROP" if self.seen == 1 else "RECORD_AND_SAMPLE")

    sampler = AllButTheFirst()
    exporter = MemoryExporter()
    fasttrace.configure(service_name="tests", exporter=exporter, sampler=sampler)
    app = AsgiMiddleware(_wsgi_middleware()(shop()), skip={"/orders/7"})
    with serving(app, lifespan="off") as url:
        assert httpx.get(url + "/unavailable").status_code == 503
        assert httpx.get(url + "/orders/7").text == "order 7"
    assert fasttrace.flush(timeout=60)
    assert (sampler.seen, exporter.spans) == (1, [])


def test_one_application_is_traced_and_no_other(spans: Spans) -> None:
    one, other = shop(), shop()
    flask.instrument(one, skip=lambda environ: environ["PATH_INFO"] == "/unavailable")
    try:
        for app in (one, other):
            assert app.test_client().get("/orders/7").data == b"order 7"
            assert app.test_client().get("/unavailable").data == b"later"
        assert [span.name for span in spans() if span.kind == SpanKind.SERVER] == ["GET /orders/<int:number>"]
    finally:
        flask.uninstrument(one)
    assert "_fasttrace_server" not in vars(one)


def test_the_plain_middleware_knows_the_rule_too(spans: Spans) -> None:
    app = shop()
    app.wsgi_app = TracingMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    assert app.test_client().get("/orders/7").data == b"order 7"
    assert [span.name for span in spans()] == ["GET /orders/<int:number>", "inside"]


def test_the_application_answers_the_same_with_and_without_it() -> None:
    def outside() -> list[Any]:
        found: list[Any] = []
        with serving_wsgi(shop()) as url:
            for path in ("/orders/7", "/stream", "/broken", "/nowhere", "/unavailable"):
                response = httpx.get(url + path)
                headers = [pair for pair in response.headers.multi_items() if pair[0] != "date"]
                found.append((response.status_code, headers, response.content))
        return found

    before, (call, wsgi_app) = outside(), (Flask.__call__, Flask.wsgi_app)
    flask.instrument()
    try:
        assert outside() == before
    finally:
        flask.uninstrument()
    assert (Flask.__call__, Flask.wsgi_app) == (call, wsgi_app)
