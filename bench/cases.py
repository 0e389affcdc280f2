"""What is measured, the same source for every subject: our two implementations, the C floor, the OpenTelemetry SDK.

A case is a function that is called many times; a subject makes the case's function for itself. Nothing
wraps the subject's own calls.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Operation = Callable[[], Any]

CASES = (
    "span",
    "span, 4 attributes",
    "span, 4 attributes and an event",
    "request of 6 spans",
    "unsampled root",
    "unsampled child",
    "extract and inject",
)
# What a request between services brings: traceparent among eleven others.
REQUEST_HEADERS = {
    "host": "checkout.example",
    "user-agent": "client/1.0",
    "accept": "application/json",
    "accept-encoding": "gzip",
    "connection": "keep-alive",
    "content-length": "512",
    "content-type": "application/json",
    "authorization": "Bearer token",
    "x-request-id": "6f1c9a3e",
    "x-forwarded-for": "10.0.0.7",
    "x-forwarded-proto": "https",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
# How many spans one call makes; samples stay below every queue's depth.
SPANS_PER_CALL = {"request of 6 spans": 6}


def asgi_scope(method: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """One request as an ASGI server hands it to an application; a new one each time, for applications write into it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/orders/7",
        "raw_path": b"/orders/7",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1234),
        "server": ("checkout.example", 80),
    }


def build_floor() -> Any:
    """The C floor, compiled next to its source's cache on first use; None without a compiler."""
    import pyximport

    folder = Path(__file__).parent / "floor"
    sys.path.insert(0, str(folder))
    importers = pyximport.install(build_dir=str(folder / "build"), language_level=3)
    try:
        return import_module("c_floor")
    finally:
        pyximport.uninstall(*importers)


def span_cases(start: Callable[..., Any], unsampled: Callable[..., Any] | None) -> dict[str, Operation]:
    """The cases on one subject's ``start_as_current_span``, sampled and unsampled."""

    def span() -> None:
        with start("operation"):
            pass

    def four() -> None:
        with start("operation") as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/orders/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("retried", False)

    def event() -> None:
        with start("operation") as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/orders/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("retried", False)
            span.add_event("cache miss")

    def request() -> None:
        with start("POST /checkout") as root:
            root.set_attribute("http.request.method", "POST")
            root.set_attribute("http.response.status_code", 200)
            with start("create order") as order:
                order.set_attribute("order.items", 3)
                order.set_attribute("customer.kind", "returning")
                with start("SELECT stock") as stock:
                    stock.set_attribute("db.system.name", "postgresql")
                    stock.set_attribute("db.rows", 3)
                with start("INSERT order") as insert:
                    insert.set_attribute("db.system.name", "postgresql")
                    insert.set_attribute("db.rows", 1)
            with start("charge") as charge:
                charge.set_attribute("payment.method", "credit_card")
                charge.set_attribute("payment.amount", 12.5)
            with start("publish") as publish:
                publish.set_attribute("messaging.system", "kafka")
                publish.set_attribute("messaging.batch.message_count", 1)

    cases: dict[str, Operation] = {
        "span": span,
        "span, 4 attributes": four,
        "span, 4 attributes and an event": event,
        "request of 6 spans": request,
    }
    if unsampled is not None:

        def root() -> None:
            with unsampled("operation"):
                pass

        cases["unsampled root"] = root
        cases["unsampled child"] = root
    return cases


class Subject:
    """One thing that is measured: its cases, what surrounds the unsampled child, and its way to the bytes.

    ``drain()`` turns what is queued into encoded requests and gives the thread CPU nanoseconds that it took.
    """

    def __init__(self, name: str, cases: dict[str, Operation], unsampled: Any, drain: Callable[[], int]) -> None:
        self.name = name
        self.cases = cases
        self.unsampled = unsampled
        self.drain = drain


def ours(name: str) -> Subject:
    """fasttrace's core, ``cython`` or ``python``: everything up to the encoded record in the ring."""
    from fasttrace import _core, propagation
    from fasttrace._core.layout import THRESHOLD_NEVER

    implementation, _reason, modules = _core.load(name)
    assert implementation == name
    ring_module, span_module, otlp = modules["ring"], modules["span"], modules["otlp"]
    ring = ring_module.Ring()
    recorder = span_module.Recorder(ring)
    recorder.consumer_running = True
    scope = _core.InstrumentationScope("bench")
    tracer = span_module.Tracer(scope, recorder)
    # Unsampled below an unsampled parent, as ParentBased has it.
    off = span_module.Recorder(ring_module.Ring(), thresholds=(THRESHOLD_NEVER, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER))
    unsampled = span_module.Tracer(scope, off)

    resource, scopes = otlp.encode_attributes({"service.name": "bench"}), [(otlp.encode_scope(scope), "")]

    def drain() -> int:
        dropped = sum(value for key, value in recorder.counters().items() if key.startswith("dropped_"))
        assert not dropped, "a dropped span voids the sample"
        begin = time.thread_time_ns()
        while records := ring.take(512, 1 << 20):
            otlp.assemble(records, resource, scopes)
            ring.release(otlp.count_records(records), len(records))
        return time.thread_time_ns() - begin

    cases = span_cases(tracer.start_as_current_span, unsampled.start_as_current_span)
    # The public functions belong to the implementation in use; of the other one its half in the core is measured.
    headers: Any = propagation if name == _core.IMPL else modules["headers"]
    extract = headers.extract if headers is propagation else headers.extract_w3c
    inject = headers.inject if headers is propagation else headers.inject_w3c
    cases["extract and inject"] = lambda: inject({}, extract(REQUEST_HEADERS))
    return Subject(name, cases, unsampled.start_as_current_span, drain)


def floor() -> Subject:
    """The C floor; it has no attributes, so its cases are the bare blocks."""
    make = build_floor().Floor

    def span() -> None:
        with make("operation"):
            pass

    def request() -> None:
        with make("POST /checkout"):
            with make("create order"):
                with make("SELECT stock"):
                    pass
                with make("INSERT order"):
                    pass
            with make("charge"):
                pass
            with make("publish"):
                pass

    cases: dict[str, Operation] = dict.fromkeys(CASES, span)
    cases["request of 6 spans"] = request
    cases["extract and inject"] = lambda: {"traceparent": REQUEST_HEADERS.get("traceparent")}
    return Subject("floor", cases, make, lambda: 0)


def opentelemetry() -> Subject:
    """The OpenTelemetry SDK with its batch processor and an exporter that encodes as the OTLP exporter does."""
    from opentelemetry import propagate
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

    class Encoding(SpanExporter):
        spent = 0

        def export(self, spans: Any) -> SpanExportResult:
            begin = time.thread_time_ns()
            encode_spans(spans).SerializeToString()
            self.spent += time.thread_time_ns() - begin
            return SpanExportResult.SUCCESS

    exporter = Encoding()
    processor = BatchSpanProcessor(exporter)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    start = provider.get_tracer("bench").start_as_current_span
    unsampled = TracerProvider(ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    unsampled.add_span_processor(BatchSpanProcessor(Encoding()))
    unsampled_start = unsampled.get_tracer("bench").start_as_current_span

    def drain() -> int:
        processor.force_flush()
        spent, exporter.spent = exporter.spent, 0
        return spent

    cases = span_cases(start, unsampled_start)
    cases["extract and inject"] = lambda: propagate.inject({}, propagate.extract(REQUEST_HEADERS))
    return Subject("otel", cases, unsampled_start, drain)
