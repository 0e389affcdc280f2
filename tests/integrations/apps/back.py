"""The service that keeps the orders, and has a worker charge for them."""

from __future__ import annotations

import logging
import os

from log_lines import log_to_stdout
from sqlalchemy import create_engine, text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tasks import charge

log_to_stdout()
engine = create_engine(f"sqlite:///{os.environ['DATABASE']}")
with engine.begin() as connection:
    connection.execute(text("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)"))


def create(request: Request) -> JSONResponse:
    order = int(request.path_params["order"])
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders VALUES (:id)"), {"id": order})
    logging.getLogger("back").info("order %s", order)
    return JSONResponse({"task": charge.delay(order).id})


app = Starlette(routes=[Route("/orders/{order:int}", create, methods=["POST"])])
