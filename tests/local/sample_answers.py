"""Fixed answers of the API, for the pictures that are drawn of them."""

from __future__ import annotations

from typing import Any

import sample_traces as traces
from sample_traces import span

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.local.compare import compare, compare_groups
from fasttrace.local.model import Trace

US, MS, S = 1_000, 1_000_000, 1_000_000_000


def _route(
    service: str, route: str, count: int, errors: int, p50: int, p95: int, p99: int, own: float
) -> dict[str, Any]:
    return {
        "service": service, "route": route, "count": count, "errors": errors, "p50": p50, "p95": p95, "p99": p99,
        "total_ns": count * p50, "self_ns": int(own * count * p50), "rate": count / 100,
    }  # fmt: skip


def routes() -> list[dict[str, Any]]:
    """A shop under load, with names that are long, foreign, or attack."""
    return [
        _route("gateway", "POST /checkout", 1240, 14, 655 * MS, 1310 * MS, 1770 * MS, 0.004),
        _route("gateway", "GET /", 88_210, 0, 900 * US, 4 * MS, 31 * MS, 1.0),
        _route("checkout", "POST /orders", 1240, 14, 642 * MS, 1300 * MS, 1760 * MS, 0.02),
        _route("inventory", "POST /reservations", 1252, 0, 612 * MS, 1280 * MS, 1720 * MS, 0.97),
        _route("payments", "POST /charges", 1238, 3, 1290 * US, 6830 * US, 11 * MS, 0.9),
        _route("shipping-and-returns-eu-west", "GET /shipments/{shipment_id}/labels/{label_id}/download", 7, 7,
               225 * US, 5940 * US, 9660 * US, 0.5),
        _route("evil\x1b[31m", "商品一覧を取得する\u202e", 1, 0, 80 * S, 125 * S, 7200 * S, 0.1),
    ]  # fmt: skip


def service_map() -> dict[str, Any]:
    """Five services, one that two others call, a circle, and one that nothing is known of but its name."""

    def node(service: str, requests: int, errors: int = 0, p95: int | None = None) -> dict[str, Any]:
        return {"service": service, "spans": 9 * requests + 1, "requests": requests, "errors": errors, "p50": p95, "p95": p95,
                "failed": errors, "rate": requests / 100, "self_ns": requests * MS * len(service)}  # fmt: skip

    def edge(caller: str, callee: str, calls: int, errors: int, p50: int, p95: int) -> dict[str, Any]:
        return {
            "from": caller,
            "to": callee,
            "calls": calls,
            "errors": errors,
            "p50": p50,
            "p95": p95,
            "rate": calls / 100,
        }

    return {
        "nodes": [
            node("checkout", 1240, 14, 1300 * MS),
            node("gateway", 89_450, 14, 12 * MS),
            node("inventory", 1252, 0, 1280 * MS),
            node("mailer", 0),
            node("payments", 1238, 3, 7 * MS),
            node("shipping-and-returns-eu-west", 1290, 50, 6 * MS),
            node("chicken", 40, 0, 2 * MS),
            node("egg", 41, 0, 3 * MS),
        ],
        "edges": [
            edge("gateway", "checkout", 1240, 14, 642 * MS, 1300 * MS),
            edge("gateway", "inventory", 12, 0, 40 * MS, 90 * MS),
            edge("checkout", "inventory", 1240, 0, 612 * MS, 1280 * MS),
            edge("checkout", "payments", 1238, 3, 1 * MS, 7 * MS),
            edge("checkout", "shipping-and-returns-eu-west", 1290, 50, 225 * US, 6 * MS),
            edge("inventory", "inventory", 3, 0, 1 * MS, 1 * MS),
            edge("inventory", "payments", 2, 0, 1 * MS, 1 * MS),
            edge("chicken", "egg", 40, 0, 1 * MS, 3 * MS),
            edge("egg", "chicken", 40, 0, 1 * MS, 2 * MS),
        ],
    }


def fast_checkout(stretch: float = 1.0, trace_id: str = "a" * 32) -> list[SpanData]:
    """The checkout of ``sample_traces`` on a good day: no wait, three queries, no failure, a gift card."""
    server, client = SpanKind.SERVER, SpanKind.CLIENT

    def at(ms: float) -> float:
        return ms * stretch

    spans = [
        span(1, 0, 0, at(310), "POST /checkout", "gateway", server, trace_id=trace_id, http__response__status_code=200),
        span(
            2, 1, at(4), at(304), "POST", "gateway", client, trace_id=trace_id, url__full="http://127.0.0.1:8001/orders"
        ),
        span(3, 2, at(9), at(301), "POST /orders", "checkout", server, trace_id=trace_id),
        span(
            4,
            3,
            at(20),
            at(85),
            "POST",
            "checkout",
            client,
            trace_id=trace_id,
            url__full="http://127.0.0.1:8002/reserve",
        ),
        span(5, 4, at(24), at(81), "POST /reserve", "inventory", server, trace_id=trace_id),
        span(
            40,
            3,
            at(90),
            at(200),
            "POST",
            "checkout",
            client,
            trace_id=trace_id,
            url__full="http://127.0.0.1:8003/charge",
        ),
        span(41, 40, at(96), at(195), "POST /charge", "payments", server, trace_id=trace_id),
        span(43, 41, at(98), at(120), "gift card", "payments", trace_id=trace_id),
    ]
    spans += [
        span(10 + n, 5, at(26 + 18 * n), at(42 + 18 * n), "SELECT stock", "inventory", client, trace_id=trace_id)
        for n in range(3)
    ]
    return spans


def two_traces() -> dict[str, Any]:
    """A good checkout and a bad one."""
    return compare(Trace(fast_checkout()), Trace(traces.checkout()))


def two_groups() -> dict[str, Any]:
    """Ten checkouts, and ten that take a fifth longer."""
    before = [Trace(fast_checkout(1 + n / 100, f"{n:032x}")) for n in range(10)]
    after = [Trace(fast_checkout(1.2 + n / 100, f"{n:032x}")) for n in range(10)]
    found = compare_groups(before, after)
    found["a"]["name"], found["b"]["name"] = "20m..10m", "10m.."
    found["routes"] = [
        route("inventory", "POST /reserve", (12_431, 3, 210), (14_022, 91, 1_870), 312_000_000),
        route("checkout", "POST /orders", (12_431, 14, 330), (14_022, 14, 402), 23_400_000),
        route("a service with a long name", "GET /orders/{order_id}/positions/{position}/history", (3, 0, 9), None),
        route("shipping", "POST /shipments", None, (14_019, 2, 73)),
        route("gateway", "POST /checkout", (12_431, 0, 338), (14_022, 0, 330), -2_000_000),
        *(route("payments", f"GET /cards/{letter}", (1, 0, 1), (1, 0, 1), 0) for letter in "abcdefg"),
    ]
    return found


def route(
    service: str, name: str, a: tuple[int, int, int] | None, b: tuple[int, int, int] | None, change: int | None = None
) -> dict[str, Any]:
    """A row of ``compare_sides``: calls, failures and p95 in milliseconds of each side."""
    sides = [None if side is None else dict(zip(("count", "errors", "p95"), side, strict=True)) for side in (a, b)]
    for side in sides:
        if side is not None:
            side["p95"] *= 1_000_000
    return {"service": service, "route": name, "a": sides[0], "b": sides[1], "change": change}
