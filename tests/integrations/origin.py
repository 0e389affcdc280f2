"""A real origin server for the tests of clients: what it was sent, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

CONTEXT = "traceparent"
slow_requests = threading.Semaphore(0)
_failures: dict[str, int] = {}


async def echo(request: Request) -> JSONResponse:
    """What has arrived: method, body, headers but for those of tracing, and these apart."""
    others = sorted((name, value) for name, value in request.headers.items() if name not in (CONTEXT, "host"))
    body = (await request.body()).decode()
    contexts = request.headers.getlist(CONTEXT)
    return JSONResponse(
        {"method": request.method, "body": body, "headers": others, "contexts": contexts},
        headers={"x-answer": "42", "set-cookie": "seen=1", "x-request": request.headers.get("x-request", "")},
    )


async def status(request: Request) -> PlainTextResponse:
    return PlainTextResponse("as asked", status_code=request.path_params["code"])


async def slow(request: Request) -> PlainTextResponse:
    """Answers when nobody waits any more, or after five seconds."""
    slow_requests.release()
    for _ in range(250):
        if await request.is_disconnected():
            break
        await asyncio.sleep(0.02)
    return PlainTextResponse("too late")


async def flaky(request: Request) -> Response:
    """503 for as many requests with this name as asked for, then what ``echo`` says."""
    name, failures = request.path_params["name"], int(request.query_params["failures"])
    _failures[name] = _failures.get(name, 0) + 1
    if _failures[name] <= failures:
        return PlainTextResponse("not yet", status_code=503, headers={"retry-after": "0"})
    return await echo(request)


async def stream(request: Request) -> StreamingResponse:
    async def body() -> Any:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(body())


async def redirect(request: Request) -> RedirectResponse:
    count = int(request.query_params.get("count", 1))
    return RedirectResponse(f"/redirect?count={count - 1}" if count > 1 else "/echo", status_code=302)


async def digest(request: Request) -> Response:
    if request.headers.get("authorization", "").lower().startswith("digest"):
        return await echo(request)
    challenge = 'Digest realm="tests", nonce="abc", qop="auth", algorithm=MD5'
    return PlainTextResponse("who?", status_code=401, headers={"www-authenticate": challenge})


async def trusted(request: Request) -> PlainTextResponse:
    """Says that it keeps the trace."""
    answer = request.headers.get(CONTEXT, "").rpartition("-")[0] + "-01"
    return PlainTextResponse("kept", headers={"traceresponse": answer})


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(socket.headers.get(CONTEXT, ""))
    await socket.send_text(await socket.receive_text())
    await socket.close()


METHODS = ["GET", "POST", "PUT", "BREW"]
APP = Starlette(
    routes=[
        Route("/echo", echo, methods=METHODS),
        Route("/status/{code:int}", status),
        Route("/slow", slow),
        Route("/flaky/{name}", flaky, methods=METHODS),
        Route("/stream", stream),
        Route("/redirect", redirect, methods=METHODS),
        Route("/digest", digest),
        Route("/trusted", trusted),
        WebSocketRoute("/talk", talk),
    ]
)
