"""Fixed traces for the tests: one wall clock, readable ids, no randomness."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fasttrace._core.types import Event, SpanData, SpanKind, Status, StatusCode

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
BASE_NS = 1_795_435_421_220_000_000
MS = 1_000_000


def span(
    number: int,
    parent: int | str = 0,
    start_ms: float = 0,
    end_ms: float = 0,
    name: str = "work",
    service: str = "shop",
    kind: SpanKind = SpanKind.INTERNAL,
    error: str | None = None,
    events: list[Event] | None = None,
    trace_id: str = TRACE_ID,
    **attributes: Any,
) -> SpanData:
    """A span with the id ``number``; times are milliseconds from a fixed instant; ``__`` in keys stands for a dot."""
    data = SpanData()
    data.trace_id = trace_id
    data.span_id = f"{number:016x}"
    data.parent_span_id = parent if isinstance(parent, str) else f"{parent:016x}" if parent else ""
    data.name = name
    data.kind = kind
    data.start_time_ns = BASE_NS + round(start_ms * MS)
    data.end_time_ns = BASE_NS + round(end_ms * MS)
    data.attributes = {key.replace("__", "."): value for key, value in attributes.items()}
    data.events = events or []
    data.resource = {"service.name": service}
    if error is not None:
        data.status = Status(StatusCode.ERROR, error)
    return data


def event(at_ms: float, name: str, **attributes: Any) -> Event:
    """An event at so many milliseconds from the fixed instant."""
    return Event(
        name, BASE_NS + round(at_ms * MS), {key.replace("__", "."): value for key, value in attributes.items()}
    )


def checkout() -> list[SpanData]:
    """A slow checkout: five services, a wait for the database pool, twelve like queries, a retried failure."""
    server, client = SpanKind.SERVER, SpanKind.CLIENT
    wait: dict[str, Any] = {
        "db__client__connection__pool__name": "inventory.db",
        "db__client__connection__max": 4,
        "db__client__connection__pending_requests": 31,
    }
    query: dict[str, Any] = {
        "db__system__name": "sqlite",
        "db__query__text": "SELECT quantity FROM stock WHERE item = ?",
    }
    spans = [
        span(1, 0, 0, 2310, "POST /checkout", "gateway", server, http__response__status_code=200),
        span(2, 1, 4, 2304, "POST", "gateway", client, url__full="http://127.0.0.1:8001/orders"),
        span(3, 2, 9, 2301, "POST /orders", "checkout", server, http__response__status_code=200),
        span(4, 3, 20, 1985, "POST", "checkout", client, url__full="http://127.0.0.1:8002/reserve"),
        span(5, 4, 24, 1981, "POST /reserve", "inventory", server),
        span(6, 5, 26, 1736, "wait for db pool", "inventory", **wait),
    ]
    for index in range(12):
        start = 1740 + 18 * index
        spans.append(span(10 + index, 5, start, start + 16.5, "SELECT stock", "inventory", client, **query))
    exception = event(
        2250, "exception", exception__type="CarrierUnavailable", exception__message="drones do not fly to 9021"
    )
    spans += [
        span(30, 5, 1958, 1979, "UPDATE stock", "inventory", client, db__query__text="UPDATE stock ..."),
        span(40, 3, 1990, 2200, "POST", "checkout", client, url__full="http://127.0.0.1:8003/charge"),
        span(41, 40, 1996, 2195, "POST /charge", "payments", server),
        span(42, 41, 2000, 2190, "authorise card", "payments", events=[event(2001, "card checked", network="visa")]),
        span(50, 3, 2203, 2258, "POST", "checkout", client, error="", url__full="http://127.0.0.1:8004/shipments",
             http__response__status_code=503),
        span(51, 50, 2207, 2255, "POST /shipments", "shipping", server, error="", http__response__status_code=503,
             events=[exception]),
        span(52, 3, 2262, 2295, "POST", "checkout", client, url__full="http://127.0.0.1:8004/shipments"),
        span(53, 52, 2266, 2291, "POST /shipments", "shipping", server),
    ]  # fmt: skip
    return spans


def damaged() -> list[SpanData]:
    """All that can be wrong at once: orphans, a cycle, a repeated id, clocks that differ, text that attacks."""
    return [
        span(1, 0, 0, 100, "GET /report", "web", SpanKind.SERVER),
        span(2, 1, -5, 40, "load \x1b[31mrows\x1b[0m", "billing"),
        span(2, 1, 41, 60, "load rows again", "billing"),
        span(3, "9c1e000000000001", 50, 90, "render", "web"),
        span(4, "9c1e000000000001", 91, 95, "send", "web"),
        span(5, 6, 10, 30, "chicken", "farm"),
        span(6, 5, 12, 20, "egg", "farm"),
        span(7, 1, 70, 65, "clock stepped", "web"),
        span(8, 1, 80, 99, "größe \u202eabc 商品一覧を取得する", "web"),
    ]


NAMES = st.sampled_from(["GET /", "SELECT stock", "wait for db pool"])
SERVICES = st.sampled_from(["web", "shop", "db"])


@st.composite
def any_spans(draw: st.DrawFn) -> list[SpanData]:
    """Any shape: few ids, so that there are duplicates, cycles, self-parents, orphans and equal times."""
    return [
        span(
            draw(st.integers(1, 12)),
            draw(st.integers(0, 14)),
            draw(st.integers(0, 40)),
            draw(st.integers(0, 40)),
            draw(NAMES),
            draw(SERVICES),
            error=draw(st.sampled_from([None, None, "failed"])),
        )
        for _ in range(draw(st.integers(1, 40)))
    ]
