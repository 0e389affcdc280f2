"""Server-sent events: one line when something new has been indexed, a comment now and then to see who is gone."""

from __future__ import annotations

import json

from starlette.responses import JSONResponse, Response, StreamingResponse

from fasttrace.local.server.readers import MAX_STREAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from fasttrace.local.server.readers import Readers

HEARTBEAT_SECONDS = 15.0
VERSION_HEADER = b"x-fasttrace-version"


class Dated:
    """Says in every answer of the API which change it has reached at least: a page may listen after it has asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        version = str(scope["app"].state.readers.version).encode()

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (VERSION_HEADER, version)]
            await send(message)

        await self._app(scope, receive, dated)


async def live(request: Request) -> Response:
    """A stream of ``data: {"version": n, "trouble": text, "dropped": spans}``, the first at once.

    503 when too many are open.
    """
    readers: Readers = request.app.state.readers
    if readers.streams >= MAX_STREAMS:
        return JSONResponse({"error": f"{MAX_STREAMS} pages are open already"}, 503, headers={"retry-after": "10"})

    async def stream() -> AsyncIterator[str]:
        readers.streams += 1
        try:
            said = -1
            while not readers.closing:
                if readers.version != said:
                    said = readers.version
                    told = {"version": said, "trouble": readers.trouble, "dropped": readers.dropped}
                    yield f"data: {json.dumps(told)}\n\n"
                elif not await readers.changed(HEARTBEAT_SECONDS):
                    yield ": still here\n\n"
        finally:
            readers.streams -= 1

    return StreamingResponse(stream(), media_type="text/event-stream")
