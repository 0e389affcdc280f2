"""A tail rule's verdict travels between services: forward with later calls, back in the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from loopback import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import fasttrace
from fasttrace.export import MemoryExporter
from fasttrace.integrations.asgi import TracingMiddleware
from fasttrace.integrations.httpx import AsyncTracingTransport, TracingTransport
from fasttrace.sampling import Rule, Rules, tail

RULES = [tail.error(), tail.http_5xx()]


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("as asked", status_code=int(request.query_params.get("status", 200)))


@pytest.fixture
def providers() -> Iterator[Any]:
    made: list[fasttrace.TracerProvider] = []

    def make(**arguments: Any) -> fasttrace.TracerProvider:
        made.append(fasttrace.TracerProvider(exporter=MemoryExporter(), control_file="none", **arguments))
        return made[-1]

    yield make
    for provider in made:
        assert provider.shutdown(20)


def paths(provider: fasttrace.TracerProvider) -> list[str]:
    """What the exported spans of a service asked for, or their names."""
    assert provider.flush(20)
    spans = provider.exporter.spans  # type: ignore[attr-defined]
    return [span.attributes.get("url.path", span.name) for span in spans]


def service(provider: fasttrace.TracerProvider, **options: Any) -> Any:
    shop = Starlette(routes=[Route("/{name}", answer)])
    return TracingMiddleware(shop, tracer=provider.get_tracer("service"), **options)


@pytest.mark.parametrize(("rules", "kept"), [(None, ["/after"]), (RULES, ["/before", "/after"])])
def test_calls_after_an_error_are_kept_by_the_callee_too(providers: Any, rules: Any, kept: list[str]) -> None:
    """Those before it only if the callee still holds its part."""
    caller, callee = providers(tail=RULES), providers(tail=rules)
    tracer = caller.get_tracer("caller")
    with (
        serving(service(callee)) as url,
        httpx.Client(transport=TracingTransport(httpx.HTTPTransport(), tracer=tracer)) as client,
    ):
        with tracer.start_as_current_span("root"):
            client.get(f"{url}/before")
            fasttrace.current_span().set_status(fasttrace.StatusCode.ERROR)
            client.get(f"{url}/after")
        with tracer.start_as_current_span("another"):
            client.get(f"{url}/other")
    assert paths(callee) == kept
    assert paths(caller) == ["GET", "GET", "root"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_answer_may_say_that_the_callee_keeps_its_part(providers: Any, asynchronous: bool) -> None:
    caller, callee = providers(tail=[tail.attribute("never")]), providers(tail=RULES)
    tracer = caller.get_tracer("caller")

    async def ask_async(url: str) -> None:
        transport = AsyncTracingTransport(httpx.AsyncHTTPTransport(), tracer=tracer, trace_response=True)
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get(url)

    def ask(url: str) -> None:
        transport = TracingTransport(httpx.HTTPTransport(), tracer=tracer, trace_response=True)
        with httpx.Client(transport=transport) as client:
            client.get(url)

    with serving(service(callee, trace_response=True)) as url:
        for status in (200, 503):
            with tracer.start_as_current_span(f"root {status}"):
                if asynchronous:
                    import asyncio

                    asyncio.run(ask_async(f"{url}/x?status={status}"))
                else:
                    ask(f"{url}/x?status={status}")
    assert len(paths(callee)) == 1
    assert paths(caller) == ["GET", "root 503"]
    root = caller.exporter.spans[-1]
    assert root.attributes["fasttrace.keep_reason"] == "callee"


def test_an_answer_is_believed_only_when_asked_for_and_for_its_own_trace(providers: Any) -> None:
    caller = providers(tail=[tail.attribute("never")])
    tracer = caller.get_tracer("caller")
    foreign = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def ask(response: str, trusting: bool) -> None:
        def reply(request: httpx.Request) -> httpx.Response:
            own = request.headers["traceparent"].rpartition("-")[0] + "-01"
            return httpx.Response(200, headers={"traceresponse": response or own})

        transport = TracingTransport(httpx.MockTransport(reply), tracer=tracer, trace_response=trusting)
        with httpx.Client(transport=transport) as client, tracer.start_as_current_span("root"):
            client.get("http://callee/")

    for response, trusting in [("", False), (foreign, True), ("nonsense", True), (foreign[:-1] + "0", True)]:
        ask(response, trusting)
    assert paths(caller) == []
    ask("", True)
    assert paths(caller) == ["GET", "root"]


def test_without_the_option_no_answer_says_anything(providers: Any) -> None:
    callee = providers(tail=RULES)
    with serving(service(callee)) as url:
        assert "traceresponse" not in httpx.get(f"{url}/x?status=503").headers
    with serving(service(callee, trace_response=True)) as url:
        assert httpx.get(f"{url}/x?status=503").headers["traceresponse"].endswith("-03")
        assert httpx.get(f"{url}/x").headers["traceresponse"].endswith("-02")


def test_head_rules_see_what_a_request_asks_for(providers: Any) -> None:
    rules = Rules([Rule(attributes={"url.path": "/kept*"}, sample=True)], default=False)
    callee = providers(sampler=rules)
    with serving(service(callee)) as url:
        for path in ("kept-1", "left-out", "kept-2"):
            httpx.get(f"{url}/{path}")
    assert paths(callee) == ["/kept-1", "/kept-2"]


def test_5xx_of_requests_that_are_left_out_are_counted(providers: Any) -> None:
    from fasttrace.sampling import Incident

    callee = providers(sampler=0.0, incident=Incident(error_ratio=1.0, min_requests=1000))
    with serving(service(callee)) as url:
        for status in (200, 404, 500, 503):
            httpx.get(f"{url}/x?status={status}")
    window = callee.recorder.window()
    assert (window["requests"], window["errors"]) == (4, 2)
