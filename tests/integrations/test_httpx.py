"""httpx: what is its own; the rest is in test_clients.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import origin
import pytest
from loopback import Spans, serving

from fasttrace._core.types import StatusCode
from fasttrace.integrations.httpx import AsyncTracingTransport, TracingTransport, instrument, uninstrument

OPTIONS: Any = {"verify": False, "trust_env": False}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(origin.APP) as base:
        yield base


@pytest.fixture
def everywhere() -> Iterator[None]:
    instrument()
    yield
    uninstrument()


def sync_get(url: str, **options: Any) -> httpx.Response:
    with httpx.Client(**OPTIONS) as client:
        return client.get(url, **options)


def async_get(url: str, **options: Any) -> httpx.Response:
    async def call() -> httpx.Response:
        async with httpx.AsyncClient(**OPTIONS) as client:
            return await client.get(url, **options)

    return asyncio.run(call())


both = pytest.mark.parametrize("get", [sync_get, async_get], ids=["sync", "async"])
Get = Callable[..., httpx.Response]


@both
def test_template_names_the_span(spans: Spans, everywhere: None, url: str, get: Get) -> None:
    get(f"{url}/status/204", extensions={"url.template": "/status/{code}"})
    (span,) = spans()
    assert (span.name, span.attributes["url.template"]) == ("GET /status/{code}", "/status/{code}")


@both
def test_template_is_not_that_of_where_a_redirect_leads(spans: Spans, everywhere: None, url: str, get: Get) -> None:
    get(f"{url}/redirect", extensions={"url.template": "/{how}"}, follow_redirects=True)
    assert [span.name for span in spans()] == ["GET /{how}", "GET"]


@both
def test_digest_authentication_sends_again(spans: Spans, everywhere: None, url: str, get: Get) -> None:
    response = get(f"{url}/digest", auth=httpx.DigestAuth("user", "hunter2"))
    first, second = spans()
    assert [span.attributes["http.response.status_code"] for span in (first, second)] == [401, 200]
    assert second.attributes["http.request.resend_count"] == 1
    assert response.json()["contexts"] == [f"00-{second.trace_id}-{second.span_id}-03"]


def test_cancelled_request_ends_its_span_and_is_no_error(spans: Spans, everywhere: None, url: str) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(**OPTIONS) as client:
            task = asyncio.create_task(client.get(f"{url}/slow"))
            while not origin.slow_requests.acquire(blocking=False):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    while origin.slow_requests.acquire(blocking=False):
        pass  # those of tests before
    asyncio.run(call())
    (span,) = spans()
    assert span.status.status_code == StatusCode.UNSET
    assert [event.name for event in span.events] == ["cancelled"]


def test_streamed_body_is_untouched_and_not_waited_for(spans: Spans, everywhere: None, url: str) -> None:
    with httpx.Client(**OPTIONS) as client, client.stream("GET", f"{url}/stream") as response:
        (span,) = spans()
        assert span.attributes["http.response.status_code"] == 200
        assert "".join(response.iter_text()) == "0\n1\n2\n"
    assert len(spans()) == 1


def test_async_stream_may_be_left_unread(spans: Spans, everywhere: None, url: str) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(**OPTIONS) as client, client.stream("GET", f"{url}/stream") as response:
            assert response.status_code == 200

    asyncio.run(call())
    assert len(spans()) == 1


def test_instrument_replaces_methods_and_puts_them_back(everywhere: None) -> None:
    replaced = (httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request)
    instrument()
    assert (httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request) == replaced
    assert asyncio.iscoroutinefunction(httpx.AsyncHTTPTransport.handle_async_request)
    uninstrument()
    before = (httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request)
    assert [function.__wrapped__ for function in replaced] == list(before)  # type: ignore[attr-defined]


def test_clients_that_exist_are_traced_too(spans: Spans, url: str) -> None:
    with httpx.Client(**OPTIONS) as client:
        instrument()
        try:
            client.get(f"{url}/echo")
        finally:
            uninstrument()
    assert len(spans()) == 1


def test_one_client_alone_can_be_traced(spans: Spans, url: str) -> None:
    with httpx.Client(**OPTIONS) as traced, httpx.Client(**OPTIONS) as other:
        instrument(traced)
        instrument(traced)
        assert len(traced.get(f"{url}/echo").json()["contexts"]) == 1
        assert other.get(f"{url}/echo").json()["contexts"] == []
        assert len(spans()) == 1
        uninstrument(traced)
        uninstrument(traced)
        assert traced.get(f"{url}/echo").json()["contexts"] == []
    assert len(spans()) == 1


def test_client_and_process_traced_together_make_one_span(spans: Spans, everywhere: None, url: str) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(**OPTIONS) as client:
            instrument(client)
            await client.get(f"{url}/echo")

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


def test_threads_have_their_own_spans(spans: Spans, everywhere: None, url: str) -> None:
    sent: list[str] = []
    with httpx.Client(**OPTIONS) as client:
        threads = [
            threading.Thread(target=lambda: sent.extend(client.get(f"{url}/echo").json()["contexts"])) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(sent) == sorted(f"00-{span.trace_id}-{span.span_id}-03" for span in spans())
