"""The first service: plain ASGI, asks the next one by httpx. ``fasttrace run`` traces both."""

from __future__ import annotations

import os
from typing import Any

import httpx


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(os.environ["NEXT_HOP"])
    await send({"type": "http.response.start", "status": answer.status_code, "headers": []})
    await send({"type": "http.response.body", "body": answer.content})
