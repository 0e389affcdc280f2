"""ASGI behind the middleware; answers with the process's id."""

from __future__ import annotations

import os
from typing import Any

import traced

from fasttrace.integrations.asgi import TracingMiddleware


async def _application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for part in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{part}.complete"})
        return
    with traced.tracer.start_as_current_span(f"inner/{os.getpid()}"):
        body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


application = TracingMiddleware(_application)
