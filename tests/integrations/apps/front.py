"""The service that customers see."""

from __future__ import annotations

import logging
import os

import httpx
from log_lines import log_to_stdout
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

log_to_stdout()


async def checkout(request: Request) -> JSONResponse:
    order = request.path_params["order"]
    logging.getLogger("front").info("checkout %s", order)
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{os.environ['BACK']}/orders/{order}")
    return JSONResponse(answer.json(), answer.status_code)


app = Starlette(routes=[Route("/checkout/{order}", checkout)])
