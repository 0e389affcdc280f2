"""gateway, checkout, payments and shipping: small, honest services."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import fasttrace
from fasttrace.integrations.httpx import instrument

tracer: fasttrace.Tracer = fasttrace.get_tracer(__name__)

# What a drone reaches from the warehouse.
LAST_DRONE_POSTCODE = 8_999


class CarrierUnavailable(Exception):
    """The carrier does not go there."""


def _app(path: str, handler: Any, peers: dict[str, str]) -> Starlette:
    """A service with one route and a client for each of its peers."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        instrument()
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=64)
        clients = {name: httpx.AsyncClient(base_url=url, limits=limits, timeout=60) for name, url in peers.items()}
        app.state.clients = clients
        try:
            yield
        finally:
            await asyncio.gather(*(client.aclose() for client in clients.values()))
            fasttrace.shutdown(timeout=3)

    return Starlette(routes=[Route(path, handler, methods=["POST"])], lifespan=lifespan)


def gateway(peers: dict[str, str]) -> Starlette:
    """The front door: hands the order on, and tells the caller the trace."""

    async def checkout(request: Request) -> JSONResponse:
        answer = await request.app.state.clients["checkout"].post("/orders", json=await request.json())
        ours: dict[str, str] = fasttrace.inject({})
        headers = {"traceresponse": ours.get("traceparent", "")}
        return JSONResponse(answer.json(), status_code=answer.status_code, headers=headers)

    return _app("/checkout", checkout, peers)


def checkout(peers: dict[str, str]) -> Starlette:
    """Reserve, charge, ship: one after the other, as each needs the one before."""

    async def orders(request: Request) -> JSONResponse:
        order = await request.json()
        clients = request.app.state.clients
        reserved = await clients["inventory"].post("/reservations", json={"items": order["items"]})
        reserved.raise_for_status()
        with tracer.start_as_current_span("price order") as span:
            total = sum(950 + sku % 400 for sku in reserved.json()["reserved"])
            span.set_attribute("order.total_cents", total)
        charged = await clients["payments"].post("/charges", json={"card": order["card"], "cents": total})
        charged.raise_for_status()
        shipment = {"postcode": order["postcode"], "carrier": order["carrier"]}
        shipped = await clients["shipping"].post("/shipments", json=shipment)
        if shipped.status_code == 503:
            fasttrace.current_span().add_event("carrier changed", {"from": order["carrier"], "to": "van"})
            shipped = await clients["shipping"].post("/shipments", json={**shipment, "carrier": "van"})
        shipped.raise_for_status()
        return JSONResponse({"order": order["order"], "cents": total, "days": shipped.json()["days"]}, status_code=201)

    return _app("/orders", orders, peers)


def payments(peers: dict[str, str]) -> Starlette:
    """Charges a card; the signature is real work."""

    @tracer.start_as_current_span("authorise card")
    def authorise(card: str, cents: int) -> str:
        fasttrace.current_span().set_attribute("payment.cents", cents)
        return hashlib.pbkdf2_hmac("sha256", card.encode(), cents.to_bytes(8, "big"), 3_000).hex()

    async def charges(request: Request) -> JSONResponse:
        body = await request.json()
        signature = await asyncio.to_thread(authorise, body["card"], body["cents"])
        return JSONResponse({"authorisation": signature[:16]}, status_code=201)

    return _app("/charges", charges, peers)


def shipping(peers: dict[str, str]) -> Starlette:
    """Finds a carrier; drones do not reach every postcode."""

    @tracer.start_as_current_span("choose route")
    def days(carrier: str, postcode: int) -> int:
        if carrier == "drone" and postcode > LAST_DRONE_POSTCODE:
            raise CarrierUnavailable(f"no drone flies to {postcode}")
        return 1 if carrier == "drone" else 2 + postcode % 3

    async def shipments(request: Request) -> JSONResponse:
        body = await request.json()
        try:
            return JSONResponse({"days": days(body["carrier"], body["postcode"])}, status_code=201)
        except CarrierUnavailable as error:
            return JSONResponse({"error": str(error)}, status_code=503)

    return _app("/shipments", shipments, peers)
