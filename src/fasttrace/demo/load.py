"""Orders, sent to the gateway as fast as asked for, more at a time as the wave rises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx

from fasttrace.demo.inventory import product
from fasttrace.demo.shop import LAST_DRONE_POSTCODE

REQUEST_TIMEOUT_SECONDS = 60.0


class Answer:
    """What came back for one order. ``status`` is 0 when nothing did, ``trace_id`` is "" when it is not known."""

    __slots__ = ("duration_ns", "ended", "error", "status", "trace_id")

    def __init__(self, status: int, duration_ns: int, trace_id: str, error: str = "") -> None:
        self.status: int = status
        self.duration_ns: int = duration_ns
        self.trace_id: str = trace_id
        self.error: str = error
        self.ended: float = time.time()

    @property
    def failed(self) -> bool:
        """Whether the order was not placed."""
        return not 200 <= self.status < 400


def order(number: int) -> dict[str, object]:
    """The order of that number, always the same; now and then one that a drone can't deliver."""
    far = number % 15 == 7
    return {
        "order": number,
        "items": [product(number * 7 + index * 5) for index in range(4 + number % 5)],
        "card": f"4000 0000 0000 {number % 10_000:04d}",
        "postcode": LAST_DRONE_POSTCODE + 22 if far else 1_000 + number * 37 % 8_000,
        "carrier": "drone" if number % 3 == 1 else "van",
    }


async def send(client: httpx.AsyncClient, url: str, number: int) -> Answer:
    """Place one order."""
    start_ns = time.perf_counter_ns()
    try:
        response = await client.post(f"{url}/checkout", json=order(number))
    except httpx.HTTPError as error:
        return Answer(0, time.perf_counter_ns() - start_ns, "", f"{type(error).__name__}: {error}")
    parts = response.headers.get("traceresponse", "").split("-")
    trace_id = parts[1] if len(parts) == 4 else ""
    return Answer(response.status_code, time.perf_counter_ns() - start_ns, trace_id)


async def wave(url: str, requests: int, peak: int, rate: float | None, first: int = 0) -> AsyncIterator[Answer]:
    """Send ``requests`` orders, one at a time at first and ``peak`` at a time in the end; answers as they come."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=peak)
    in_flight: set[asyncio.Task[Answer]] = set()
    next_at = time.monotonic()
    async with httpx.AsyncClient(limits=limits, timeout=REQUEST_TIMEOUT_SECONDS) as client:
        try:
            for index in range(requests):
                allowed = max(1, round(peak * (index + 1) / requests))
                while len(in_flight) >= allowed:
                    done, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield task.result()
                if rate is not None:
                    await asyncio.sleep(max(0.0, next_at - time.monotonic()))
                    next_at = max(next_at, time.monotonic() - 1 / rate) + 1 / rate
                in_flight.add(asyncio.create_task(send(client, url, first + index)))
            while in_flight:
                done, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in in_flight:
                task.cancel()
