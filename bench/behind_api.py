"""Behind the OpenTelemetry API, ours and its SDK's: ``python bench/behind_api.py [--rounds 30] [--check]``.

Each provider has a process of its own, since ours puts its runtime context in place for all; rounds are interleaved.
Both send OTLP/HTTP to a receiver outside of them. CPU time per call, medians, and the median of the rounds' own ratios:

- a span with 4 attributes, made current: of the calling thread
- the same, to the bytes on the wire: of the whole process, until all of it is delivered
- a FastAPI request through the stock instrumentation: what it adds to one without it, of the whole process. With
  OpenTelemetry's no-op provider what is left is the instrumentation's own Python.

``--check`` exits with 1 when ours costs more than 1/12, 1/25 and 1/2 of the SDK's.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import platform
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from children import added, measure, sample
from http_request import asgi_scope

SPAN, WIRE, REQUEST = "span, 4 attributes", "the same, to the wire", "FastAPI request, added"
CALLS = {SPAN: 240, WIRE: 2000, REQUEST: 200}
# A sample of the wire is several flushes: what a cache that another process has emptied costs is not the question.
BLOCKS = {SPAN: 1, WIRE: 4, REQUEST: 1}
PROMISED = {SPAN: 12, WIRE: 25, REQUEST: 2}
SUBJECTS = {SPAN: ("stock", "ours"), WIRE: ("stock", "ours"), REQUEST: ("stock", "ours", "noop", "bare")}


def provider(name: str, endpoint: str) -> Any:
    if name == "ours":
        from fasttrace.export import OTLPExporter
        from fasttrace.opentelemetry import TracerProvider

        return TracerProvider(exporter=OTLPExporter(endpoint))
    if name == "stock":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider as Stock
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        made = Stock()
        made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint), max_queue_size=4096))
        return made
    from opentelemetry.trace import NoOpTracerProvider

    return NoOpTracerProvider()


def request(name: str, provider: Any) -> Callable[[], None]:
    """A request to a FastAPI application, by ASGI alone: no socket, no server."""
    import fastapi

    app = fastapi.FastAPI()

    @app.get("/orders/{number}")
    async def order(number: int) -> dict[str, int]:
        return {"number": number}

    if name != "bare":
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    loop = asyncio.new_event_loop()
    headers = [(b"host", b"shop"), (b"user-agent", b"bench"), (b"accept", b"*/*")]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    def call() -> None:
        loop.run_until_complete(app(asgi_scope("GET", headers), receive, send))

    return call


def child(name: str, endpoint: str) -> None:
    """Answer each case that is asked for with nanoseconds per call."""
    made = provider(name, endpoint)
    flush = getattr(made, "force_flush", lambda: None)
    start = made.get_tracer("bench").start_as_current_span

    def call() -> None:
        with start("operation") as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/orders/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("retried", False)

    calls = {SPAN: call, WIRE: call}
    for line in sys.stdin:
        case = line.rstrip("\n")
        if case not in calls:
            calls[case] = request(name, made)
        sample(calls[case], CALLS[case], flush, BLOCKS[case], thread=case == SPAN)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="samples of each (default: 30)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a promised ratio is missed")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return 0
    subjects = dict(SUBJECTS)
    if not all(map(importlib.util.find_spec, ("fastapi", "opentelemetry.instrumentation.fastapi"))):
        print(f"{REQUEST}: skipped, needs fastapi and opentelemetry-instrumentation-fastapi")
        del subjects[REQUEST]
    found = measure(__file__, subjects, arguments.rounds)
    print(f"CPython {platform.python_version()}, {platform.machine()}\n")
    print("| CPU time | SDK | fasttrace | SDK / fasttrace |\n|---|---|---|---|")
    missed = []
    for case, samples in found.items():
        stock, ours = added(samples, "stock"), added(samples, "ours")
        ratio = statistics.median(one / other for one, other in zip(stock, ours, strict=True))
        print(f"| {case} | {statistics.median(stock):,.0f} ns | {statistics.median(ours):,.0f} ns | {ratio:.1f}x |")
        if ratio < PROMISED[case]:
            missed.append(f"{case}: 1/{ratio:.1f} of the SDK's, promised is 1/{PROMISED[case]}")
    if REQUEST in found:
        own = statistics.median(added(found[REQUEST], "noop"))
        bare = statistics.median(found[REQUEST]["bare"])
        print(f"\nOf that, {own:,.0f} ns are the instrumentation's own; the request without it takes {bare:,.0f} ns.")
    for line in missed if arguments.check else ():
        print("missed:", line, file=sys.stderr)
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
