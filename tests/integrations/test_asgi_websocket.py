"""WebSockets through the ASGI middleware: real connections, one span for each."""

from __future__ import annotations

from typing import Any

import pytest
from loopback import Spans, serving, wait_for
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import fasttrace
from fasttrace import metrics
from fasttrace._core.types import SpanKind, StatusCode
from fasttrace.integrations.asgi import TracingMiddleware

pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Broken(Exception):
    pass


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            with fasttrace.get_tracer("tests").start_as_current_span("answer"):
                await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass


async def refuse(socket: WebSocket) -> None:
    await socket.close()


async def fail(socket: WebSocket) -> None:
    await socket.accept()
    raise Broken("no such luck")


async def leave(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close(int(socket.path_params["code"]))


def rooms() -> Starlette:
    return Starlette(
        routes=[
            WebSocketRoute("/rooms/{room}", echo),
            WebSocketRoute("/refuse", refuse),
            WebSocketRoute("/fail", fail),
            WebSocketRoute("/leave/{code}", leave),
        ]
    )


def address(url: str, path: str) -> str:
    return url.replace("http", "ws", 1) + path


def test_a_connection_is_one_span_from_its_request_to_its_close(spans: Spans) -> None:
    with serving(TracingMiddleware(rooms(), capture_headers=["sec-websocket-version"], trace_response=True)) as url:
        with connect(address(url, "/rooms/7?token=abc"), additional_headers={"traceparent": PARENT}) as client:
            for text in ("one", "two"):
                client.send(text)
                assert client.recv(timeout=20) == text
            answer = client.response
            assert answer is not None and answer.headers["traceresponse"][3:35] == PARENT[3:35]
        server, *answers = wait_for(spans, 4)  # the third answer waits for what is not sent any more
    assert (server.name, server.kind) == ("GET /rooms/{room}", SpanKind.SERVER)
    assert (server.trace_id, server.parent_span_id) == (PARENT[3:35], PARENT[36:52])
    assert {answer.parent_span_id for answer in answers} == {server.span_id}
    assert server.end_time_ns >= answers[-1].end_time_ns
    expected = {
        "http.request.method": "GET",
        "http.response.status_code": 101,
        "http.route": "/rooms/{room}",
        "http.request.header.sec-websocket-version": ("13",),
        "network.protocol.name": "websocket",
        "url.path": "/rooms/7",
        "url.query": "token=REDACTED",
        "url.scheme": "ws",
        "websocket.close.code": 1000,
    }
    found = {key: tuple(value) if isinstance(value, list) else value for key, value in server.attributes.items()}
    assert expected.items() <= found.items()
    assert server.status.status_code == StatusCode.UNSET


def test_a_connection_is_no_request_whose_duration_counts(spans: Spans) -> None:
    with serving(TracingMiddleware(rooms(), durations=True)) as url:
        with connect(address(url, "/leave/1000")):
            pass
        wait_for(spans, 1)
    assert metrics.request_durations_text() == ""


def test_a_refused_connection_is_403_and_no_error(spans: Spans) -> None:
    with serving(TracingMiddleware(rooms())) as url:
        with pytest.raises(InvalidStatus):
            connect(address(url, "/refuse"))
        (server,) = wait_for(spans, 1)
    assert server.attributes["http.response.status_code"] == 403
    assert server.status.status_code == StatusCode.UNSET


def test_an_exception_is_recorded_once_and_reaches_the_server(spans: Spans) -> None:
    with serving(TracingMiddleware(rooms())) as url:
        with connect(address(url, "/fail")) as client, pytest.raises(ConnectionClosedError):
            client.recv(timeout=20)
        (server,) = wait_for(spans, 1)
    assert server.status.status_code == StatusCode.ERROR
    assert [event.attributes["exception.message"] for event in server.events] == ["no such luck"]
    assert server.attributes["error.type"].endswith("Broken")


@pytest.mark.parametrize(("code", "status"), [(1000, StatusCode.UNSET), (1011, StatusCode.ERROR)])
def test_the_close_code_of_the_application_is_recorded(spans: Spans, code: int, status: StatusCode) -> None:
    with serving(TracingMiddleware(rooms())) as url:
        with connect(address(url, f"/leave/{code}")) as client:
            while client.protocol.close_code is None:
                try:
                    client.recv(timeout=20)
                except Exception:
                    break
        (server,) = wait_for(spans, 1)
    assert server.attributes["websocket.close.code"] == code
    assert server.status.status_code == status


def test_an_unsampled_connection_hands_on_its_decision() -> None:
    seen: list[Any] = []

    async def talk(socket: WebSocket) -> None:
        seen.append(fasttrace.inject({}))
        await socket.accept()
        await socket.close()

    provider = fasttrace.TracerProvider(exporter="memory", sampler="always_off")
    app = Starlette(routes=[WebSocketRoute("/", talk)])
    with serving(TracingMiddleware(app, tracer=provider.get_tracer("tests"))) as url:
        with connect(address(url, "/"), additional_headers={"traceparent": PARENT[:-1] + "0"}):
            pass
    assert seen[0]["traceparent"].startswith(PARENT[:36]) and seen[0]["traceparent"].endswith("-00")
    assert provider.shutdown(60)
