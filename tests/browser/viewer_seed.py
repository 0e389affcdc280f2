"""Traces for a browser, written by the real exporter: a shop with errors and hostile texts, and ones of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fasttrace
from fasttrace.export import SpoolExporter

MS = 1_000_000
BASE_NS = 1_795_435_421_220_000_000
HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>{{7*7}}${alert(1)} javascript:alert(1)'


class Shop:
    """Providers of several services that write to one spool."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.providers: dict[str, Any] = {}

    def span(self, service: str, name: str, parent: Any, start_ms: float, end_ms: float, **options: Any) -> Any:
        """A span that has ended; ``parent`` None begins a trace."""
        if service not in self.providers:
            exporter = SpoolExporter(self.directory)
            self.providers[service] = fasttrace.TracerProvider(
                service_name=service, exporter=exporter, max_queue_spans=1_000_000, max_queue_bytes=1 << 30
            )
        tracer = self.providers[service].get_tracer("tests")
        error = options.pop("error", None)
        events = options.pop("events", ())
        span = tracer.start_span(
            name, context=parent or fasttrace.Context(), start_time=BASE_NS + round(start_ms * MS), **options
        )
        for at_ms, event, attributes in events:
            span.add_event(event, attributes, BASE_NS + round(at_ms * MS))
        if error:
            span.set_status(fasttrace.StatusCode.ERROR, error)
        span.end(BASE_NS + round(end_ms * MS))
        return span

    def close(self) -> None:
        for provider in self.providers.values():
            assert provider.shutdown(timeout=60)
        self.providers.clear()


def orders(shop: Shop) -> dict[str, str]:
    """A few fast orders, a slow one with an error and a log record, and a hostile one; trace ids by what they are."""
    server, client = fasttrace.SpanKind.SERVER, fasttrace.SpanKind.CLIENT
    ids = {}
    for number in range(6):
        at = 1000.0 * number
        root = shop.span("gateway", "GET /orders", None, at, at + 20 + number, kind=server,
                         attributes={"http.route": "/orders", "http.response.status_code": 200})  # fmt: skip
        shop.span("inventory", "SELECT stock", root, at + 2, at + 12, kind=client)
        ids[f"fast{number}"] = f"{root.get_span_context().trace_id:032x}"
    at = 10_000.0
    root = shop.span("gateway", "POST /checkout", None, at, at + 2310, kind=server,
                     attributes={"http.route": "/checkout", "http.response.status_code": 503})  # fmt: skip
    call = shop.span("gateway", "POST", root, at + 4, at + 2300, kind=client,
                     attributes={"url.full": "http://127.0.0.1:8002/reserve"})  # fmt: skip
    reserve = shop.span("inventory", "POST /reserve", call, at + 10, at + 2290, kind=server, error="no stock left",
                        events=[(at + 2200, "log", {"log.severity": "ERROR", "log.message": "pool exhausted"})],
                        attributes={"http.route": "/reserve"})  # fmt: skip
    for number in range(12):
        start = at + 20 + 100 * number
        shop.span("inventory", "SELECT stock", reserve, start, start + 90, kind=client,
                  attributes={"db.query.text": "SELECT quantity FROM stock WHERE item = ?"})  # fmt: skip
    ids["slow"] = f"{root.get_span_context().trace_id:032x}"
    ids["error_span"] = f"{reserve.get_span_context().span_id:016x}"
    at = 20_000.0
    root = shop.span(HOSTILE, HOSTILE, None, at, at + 50, error=HOSTILE, attributes={HOSTILE: HOSTILE, "n": float("nan"), "big": 2**60 + 1},
                     events=[(at + 1, HOSTILE, {"exception.message": HOSTILE, "__proto__": HOSTILE})])  # fmt: skip
    shop.span(
        HOSTILE, "\u202eevil\u0000\x1b[31m", root, at + 1, at + 5, attributes={"constructor": "x", "__proto__": "y"}
    )
    ids["hostile"] = f"{root.get_span_context().trace_id:032x}"
    return ids


def large(shop: Shop, spans: int) -> str:
    """A trace of so many spans, three levels deep under each of its requests, no two neighbours alike."""
    root = shop.span("gateway", "batch", None, 30_000, 30_000 + spans)
    made = 1
    while made < spans:
        at = 30_000.0 + made
        handler = shop.span("orders", f"handle {made % 97}", root, at, at + 9, attributes={"order.id": made})
        made += 1
        for number in range(min(9, spans - made)):
            shop.span("inventory", f"SELECT {(made + number) % 13}", handler, at + number, at + number + 0.9,
                      error="deadlock" if (made + number) % 1000 == 0 else None,
                      attributes={"db.query.text": "SELECT quantity FROM stock WHERE item = ?", "rows": number})  # fmt: skip
        made += min(9, spans - made)
    return f"{root.get_span_context().trace_id:032x}"
