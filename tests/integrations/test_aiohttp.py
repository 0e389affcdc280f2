"""aiohttp's client: what is its own; the rest is in test_clients.py."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import origin
import pytest
from loopback import Spans, serving, shown

import fasttrace
from fasttrace._core.types import StatusCode

aiohttp = pytest.importorskip("aiohttp")
traced = pytest.importorskip("fasttrace.integrations.aiohttp")
instrument, uninstrument = traced.instrument, traced.uninstrument


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(origin.APP) as base:
        yield base


@pytest.fixture
def everywhere() -> Iterator[None]:
    instrument()
    yield
    uninstrument()


def run(call: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
    async def with_session() -> Any:
        async with aiohttp.ClientSession(**options) as session:
            return await call(session)

    return asyncio.run(with_session())


async def contexts(session: Any, url: str) -> list[str]:
    async with session.get(f"{url}/echo") as response:
        found: list[str] = json.loads(await response.text())["contexts"]
        return found


def test_cancelled_request_ends_its_span_and_is_no_error(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> None:
        task = asyncio.create_task(session.get(f"{url}/slow"))
        while not origin.slow_requests.acquire(blocking=False):
            await asyncio.sleep(0.01)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task

    while origin.slow_requests.acquire(blocking=False):
        pass
    run(call)
    (span,) = spans()
    assert span.status.status_code == StatusCode.UNSET
    assert [event.name for event in span.events] == ["cancelled"]


def test_total_timeout_is_an_error(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await session.get(f"{url}/slow", timeout=aiohttp.ClientTimeout(total=0.1))

    run(call)
    (span,) = spans()
    assert span.attributes["error.type"] == "TimeoutError"
    assert span.status.status_code == StatusCode.ERROR


def test_span_ends_before_a_streamed_body_is_read(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> list[bytes]:
        async with session.get(f"{url}/stream") as response:
            assert len(await asyncio.to_thread(spans)) == 1
            return [line async for line in response.content]

    assert run(call) == [b"0\n", b"1\n", b"2\n"]
    assert len(spans()) == 1


def test_streamed_request_body_is_sent_as_it_comes(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> Any:
        async def body() -> Any:
            for part in (b"a", b"b"):
                yield part
                await asyncio.sleep(0.01)

        async with session.post(f"{url}/echo", data=body()) as response:
            return json.loads(await response.text())

    assert run(call)["body"] == "ab"
    assert len(spans()) == 1


def test_websocket_is_a_span_of_its_handshake(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> list[str]:
        async with session.ws_connect(f"{url}/talk") as socket:
            context = await socket.receive_str()
            assert len(await asyncio.to_thread(spans)) == 1
            await socket.send_str("hello")
            return [context, await socket.receive_str()]

    context, answer = run(call)
    (span,) = spans()
    assert answer == "hello"
    assert context == f"00-{span.trace_id}-{span.span_id}-03"
    assert span.attributes["http.response.status_code"] == 101
    assert span.status.status_code == StatusCode.UNSET


def test_raise_for_status_has_the_status(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> None:
        with pytest.raises(aiohttp.ClientResponseError):
            await session.get(f"{url}/status/503?token=s3cret", raise_for_status=True)
        with pytest.raises(aiohttp.TooManyRedirects):
            await session.get(f"{url}/redirect?count=3&token=s3cret", max_redirects=1)

    run(call)
    span, *redirected = spans()
    assert "s3cret" not in shown(span, *redirected)
    assert [data.attributes["error.type"] for data in redirected[-1:]] == ["aiohttp.client_exceptions.TooManyRedirects"]
    assert span.attributes["http.response.status_code"] == 503
    assert span.attributes["error.type"] == "503", "as without raise_for_status"
    assert span.status.status_code == StatusCode.ERROR


def test_template_names_the_span(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> None:
        async with session.get(f"{url}/status/204", trace_request_ctx={"url.template": "/status/{code}"}):
            pass

    run(call)
    (span,) = spans()
    assert (span.name, span.attributes["url.template"]) == ("GET /status/{code}", "/status/{code}")


def test_template_is_not_that_of_where_a_redirect_leads(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> None:
        async with session.get(f"{url}/redirect", trace_request_ctx={"url.template": "/{how}"}):
            pass

    run(call)
    assert [span.name for span in spans()] == ["GET /{how}", "GET"]


def test_one_session_alone_can_be_traced(spans: Spans, url: str) -> None:
    shared: list[Any] = [aiohttp.TraceConfig()]

    async def call(session: Any) -> None:
        async with aiohttp.ClientSession(trace_configs=shared) as one:
            instrument(one)
            instrument(one)
            assert len(await contexts(one, url)) == 1
            assert await contexts(session, url) == []
            uninstrument(one)
            uninstrument(one)
            assert await contexts(one, url) == []

    run(call, trace_configs=shared)
    assert len(spans()) == 1
    assert len(shared) == 1


def test_sessions_that_exist_are_traced_too_and_forgotten_after(spans: Spans, url: str) -> None:
    async def call(session: Any) -> None:
        before = session._request.__func__
        instrument()
        try:
            assert len(await contexts(session, url)) == 1
        finally:
            uninstrument()
        assert session._request.__func__ is before
        assert await contexts(session, url) == []
        assert session.trace_configs == []

    run(call)
    assert len(spans()) == 1


def test_configurations_of_the_application_come_first_and_may_fail(spans: Spans, everywhere: None, url: str) -> None:
    seen: list[str] = []

    async def on_start(session: Any, ctx: Any, params: Any) -> None:
        seen.append(params.headers.get("traceparent", ""))

    async def on_end(session: Any, ctx: Any, params: Any) -> None:
        raise LookupError("theirs")

    theirs = aiohttp.TraceConfig()
    theirs.on_request_start.append(on_start)
    theirs.on_request_end.append(on_end)

    async def call(session: Any) -> None:
        with pytest.raises(LookupError, match="theirs"):
            await session.get(f"{url}/echo")

    run(call, trace_configs=[theirs])
    (span,) = spans()
    assert seen == [""]
    assert span.attributes["error.type"] == "LookupError"


def test_request_sent_again_on_a_new_connection_says_so(spans: Spans, everywhere: None) -> None:
    """The server ends a kept connection just when the next request comes: aiohttp sends it again."""
    listener = socket.create_server(("127.0.0.1", 0))
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    def serve() -> None:
        first, _ = listener.accept()
        first.recv(65536)
        first.sendall(answer)
        first.recv(65536)
        first.close()
        second, _ = listener.accept()
        second.recv(65536)
        second.sendall(answer)
        second.close()

    thread = threading.Thread(target=serve)
    thread.start()

    async def call(session: Any) -> None:
        for _ in range(2):
            async with session.get(f"http://127.0.0.1:{listener.getsockname()[1]}/") as response:
                assert await response.text() == "ok"

    run(call)
    thread.join(10)
    listener.close()
    first, second = spans()
    assert first.events == []
    assert [(event.name, event.attributes) for event in second.events] == [
        ("http.resend", {"http.request.resend_count": 1})
    ]


def test_concurrent_requests_have_their_own_spans(spans: Spans, everywhere: None, url: str) -> None:
    async def call(session: Any) -> list[list[str]]:
        with fasttrace.get_tracer("tests").start_as_current_span("outer"):
            return await asyncio.gather(*(contexts(session, url) for _ in range(5)))

    sent = {context for (context,) in run(call)}
    outer, *clients = spans()
    assert sent == {f"00-{span.trace_id}-{span.span_id}-03" for span in clients}
    assert {span.parent_span_id for span in clients} == {outer.span_id}
