"""httpx with and without tracing: the same answers, plus one span each and the headers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from loopback import Spans, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Route

import fasttrace
from fasttrace._core.types import SpanKind, StatusCode
from fasttrace.integrations.httpx import AsyncTracingTransport, TracingTransport, instrument, uninstrument


async def headers(request: Request) -> JSONResponse:
    return JSONResponse(
        {"traceparent": request.headers.get("traceparent"), "all": request.headers.getlist("traceparent")}
    )


async def status(request: Request) -> PlainTextResponse:
    return PlainTextResponse("as asked", status_code=request.path_params["code"])


slow_requests = threading.Semaphore(0)


async def slow(request: Request) -> PlainTextResponse:
    slow_requests.release()
    await asyncio.sleep(5)
    return PlainTextResponse("too late")


async def stream(request: Request) -> StreamingResponse:
    async def body() -> Any:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(body())


async def redirect(request: Request) -> RedirectResponse:
    return RedirectResponse("/headers")


APP = Starlette(
    routes=[
        Route("/headers", headers),
        Route("/status/{code:int}", status),
        Route("/slow", slow),
        Route("/stream", stream),
        Route("/redirect", redirect),
    ]
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(APP) as base:
        yield base


@pytest.fixture
def everywhere() -> Iterator[None]:
    instrument()
    yield
    uninstrument()


def sync_get(url: str, **options: Any) -> httpx.Response:
    with httpx.Client() as client:
        return client.get(url, **options)


def async_get(url: str, **options: Any) -> httpx.Response:
    async def call() -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(url, **options)

    return asyncio.run(call())


both = pytest.mark.parametrize("get", [sync_get, async_get], ids=["sync", "async"])
Get = Callable[..., httpx.Response]


@both
def test_request_is_a_client_span_and_its_context_is_sent(spans: Spans, everywhere: None, url: str, get: Get) -> None:
    response = get(f"{url}/headers")
    (span,) = spans()
    assert response.json()["all"] == [f"00-{span.trace_id}-{span.span_id}-03"]
    assert (span.name, span.kind) == ("GET", SpanKind.CLIENT)
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": f"{url}/headers",
        "server.address": "127.0.0.1",
        "server.port": response.url.port,
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    assert span.status.status_code == StatusCode.UNSET


@both
def test_span_is_a_child_of_what_is_current(spans: Spans, everywhere: None, url: str, get: Get) -> None:
    with fasttrace.get_tracer("tests").start_as_current_span("outer"):
        get(f"{url}/headers")
    outer, client = spans()
    assert (client.trace_id, client.parent_span_id) == (outer.trace_id, outer.span_id)


@both
@pytest.mark.parametrize("code", [404, 500, 503])
def test_4xx_and_5xx_are_errors_of_the_client(spans: Spans, everywhere: None, url: str, get: Get, code: int) -> None:
    assert get(f"{url}/status/{code}").status_code == code
    (span,) = spans()
    assert span.status.status_code == StatusCode.ERROR
    assert span.attributes["error.type"] == str(code)


@both
def test_url_shows_no_password_and_no_query_value(spans: Spans, everywhere: None, url: str, get: Get) -> None:
    get(url.replace("//", "//user:hunter2@") + "/headers?token=s3cret&flag&x=%20#part")
    (span,) = spans()
    assert span.attributes["url.full"] == f"{url}/headers?token=REDACTED&flag&x=REDACTED"


@both
def test_timeout_is_recorded_and_raised(spans: Spans, everywhere: None, url: str, get: Get) -> None:
    with pytest.raises(httpx.ReadTimeout):
        get(f"{url}/slow", timeout=httpx.Timeout(30, read=0.1))
    (span,) = spans()
    assert span.attributes["error.type"] == "httpx.ReadTimeout"
    assert span.status.status_code == StatusCode.ERROR
    assert [event.attributes["exception.type"] for event in span.events] == ["httpx.ReadTimeout"]
    assert "http.response.status_code" not in span.attributes


@both
def test_refused_connection_is_recorded_and_raised(spans: Spans, everywhere: None, get: Get) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, but nobody listens
        with pytest.raises(httpx.ConnectError):
            get(f"http://127.0.0.1:{bound.getsockname()[1]}/")
    (span,) = spans()
    assert span.attributes["error.type"] == "httpx.ConnectError"


def test_cancelled_request_ends_its_span_and_is_no_error(spans: Spans, everywhere: None, url: str) -> None:
    async def call() -> None:
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(client.get(f"{url}/slow"))
            while not slow_requests.acquire(blocking=False):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    while slow_requests.acquire(blocking=False):
        pass  # those of tests before
    asyncio.run(call())
    (span,) = spans()
    assert span.status.status_code == StatusCode.UNSET
    assert [event.name for event in span.events] == ["cancelled"]


def test_streamed_body_is_untouched_and_not_waited_for(spans: Spans, everywhere: None, url: str) -> None:
    with httpx.Client() as client, client.stream("GET", f"{url}/stream") as response:
        (span,) = spans()
        assert span.attributes["http.response.status_code"] == 200
        assert "".join(response.iter_text()) == "0\n1\n2\n"
    assert len(spans()) == 1


def test_async_stream_may_be_left_unread(spans: Spans, everywhere: None, url: str) -> None:
    async def call() -> None:
        async with httpx.AsyncClient() as client, client.stream("GET", f"{url}/stream") as response:
            assert response.status_code == 200

    asyncio.run(call())
    assert len(spans()) == 1


@both
def test_redirect_is_two_requests_with_a_header_each(spans: Spans, everywhere: None, url: str, get: Get) -> None:
    response = get(f"{url}/redirect", follow_redirects=True)
    first, second = spans()
    assert first.attributes["http.response.status_code"] == 307
    assert response.json()["all"] == [f"00-{second.trace_id}-{second.span_id}-03"]


def test_instrument_is_idempotent_and_undone(spans: Spans, url: str) -> None:
    before = (httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request)
    instrument()
    instrument()
    sync_get(f"{url}/headers")
    assert len(spans()) == 1
    uninstrument()
    uninstrument()
    assert (httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request) == before
    sync_get(f"{url}/headers")
    assert len(spans()) == 1


def test_clients_that_exist_are_traced_too(spans: Spans, url: str) -> None:
    with httpx.Client() as client:
        instrument()
        try:
            client.get(f"{url}/headers")
        finally:
            uninstrument()
    assert len(spans()) == 1


def test_one_client_alone_can_be_traced(spans: Spans, url: str) -> None:
    with httpx.Client() as traced, httpx.Client() as other:
        instrument(traced)
        instrument(traced)
        assert traced.get(f"{url}/headers").json()["traceparent"]
        assert other.get(f"{url}/headers").json()["traceparent"] is None
        assert len(spans()) == 1
        uninstrument(traced)
        uninstrument(traced)
        assert traced.get(f"{url}/headers").json()["traceparent"] is None
    assert len(spans()) == 1


def test_client_and_process_traced_together_make_one_span(spans: Spans, everywhere: None, url: str) -> None:
    async def call() -> None:
        async with httpx.AsyncClient() as client:
            instrument(client)
            await client.get(f"{url}/headers")

    asyncio.run(call())
    assert len(spans()) == 1


def test_transports_can_be_wrapped_by_hand(spans: Spans) -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, text=request.headers["traceparent"]))
    with httpx.Client(transport=TracingTransport(answer)) as client:
        assert spans()[:0] == [] and client.get("http://127.0.0.1:9/").text.startswith("00-")

    async def call() -> str:
        async with httpx.AsyncClient(transport=AsyncTracingTransport(answer)) as client:
            return (await client.get("http://127.0.0.1:9/")).text

    assert asyncio.run(call()).startswith("00-")
    assert len(spans()) == 2


@both
def test_unsampled_request_sends_its_decision_along(url: str, get: Get, everywhere: None) -> None:
    fasttrace.configure(service_name="tests", exporter="none", sampler="always_off")
    try:
        assert get(f"{url}/headers").json()["traceparent"].endswith(("-00", "-02"))
    finally:
        fasttrace.shutdown(timeout=5)
