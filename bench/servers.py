"""What tracing adds to an ASGI request, ours and OpenTelemetry's: ``python bench/servers.py [--rounds 30] [--check]``.

A request to a bare application, by ASGI alone: no socket, no server, no framework. OpenTelemetry is
opentelemetry-instrumentation-asgi on the stock SDK with its batch processor, as it comes, and without its spans for
each receive and send ("lean"). Both send OTLP/HTTP to a receiver outside of them; each has a process of its own, rounds
are interleaved. CPU time of the whole process per request until all of it is delivered, less that of the same request
without tracing: medians, and the median of the rounds' own ratios.

A request of 5 spans has four of the application's own below the server's.

``--check`` exits with 1 when ours adds more than 1/10, with every request sampled and with one in a hundred; of 5 spans
more than 1/15 with every request sampled.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from children import added, measure, sample
from http_request import REQUEST_HEADERS, asgi_scope

RATIOS = {
    "100 % sampled": 1.0,
    "1 % sampled": 0.01,
    "100 %, and durations": 1.0,
    "5 spans, 100 %": 1.0,
    "5 spans, 1 %": 0.01,
}
PROMISED = {
    "100 % sampled": 10,
    "1 % sampled": 10,
    "100 %, and durations": 10,
    "5 spans, 100 %": 15,
    "5 spans, 1 %": 10,
}
SUBJECTS = ("bare", "ours", "stock", "lean")
LEAN = {"exclude_spans": ["receive", "send"]}
CALLS, BLOCKS = 250, 4
HEADERS = [(name.encode(), value.encode()) for name, value in REQUEST_HEADERS.items() if name != "traceparent"]


async def application(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def traced(start: Callable[..., Any]) -> Any:
    """The application with four spans of its own."""

    async def application_of_four(scope: Any, receive: Any, send: Any) -> None:
        with start("create order") as order:
            order.set_attribute("order.items", 3)
            with start("SELECT stock") as stock:
                stock.set_attribute("db.system.name", "postgresql")
            with start("INSERT order") as insert:
                insert.set_attribute("db.system.name", "postgresql")
        with start("charge") as charge:
            charge.set_attribute("payment.method", "credit_card")
        await application(scope, receive, send)

    return application_of_four


def request(app: Any) -> Callable[[], None]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    def call() -> None:
        try:
            app(asgi_scope("POST", HEADERS), receive, send).send(None)
        except StopIteration:
            return
        raise RuntimeError("nothing here waits")

    return call


def ours(endpoint: str, case: str) -> tuple[Any, Callable[[], Any]]:
    import fasttrace
    from fasttrace.export import OTLPExporter
    from fasttrace.integrations.asgi import TracingMiddleware

    provider = fasttrace.TracerProvider(exporter=OTLPExporter(endpoint), sampler=RATIOS[case])
    tracer = provider.get_tracer("bench")
    app = traced(tracer.start_as_current_span) if "5 spans" in case else application
    return TracingMiddleware(app, tracer=tracer, durations="durations" in case), lambda: provider.flush(60)


def theirs(endpoint: str, case: str, **options: Any) -> tuple[Any, Callable[[], Any]]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(ParentBased(TraceIdRatioBased(RATIOS[case])))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint), max_queue_size=4096))
    app = traced(provider.get_tracer("bench").start_as_current_span) if "5 spans" in case else application
    return OpenTelemetryMiddleware(app, tracer_provider=provider, **options), provider.force_flush


def child(name: str, endpoint: str) -> None:
    """Answer each case that is asked for with nanoseconds per request."""
    made: dict[str, tuple[Callable[[], None], Callable[[], Any]]] = {}
    for line in sys.stdin:
        case = line.rstrip("\n")
        if case not in made:
            if name == "bare":
                app, flush = application, lambda: None
            elif name == "ours":
                app, flush = ours(endpoint, case)
            else:
                app, flush = theirs(endpoint, case, **(LEAN if name == "lean" else {}))
            made[case] = request(app), flush
        call, flush = made[case]
        sample(call, CALLS, flush, BLOCKS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="samples of each (default: 30)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a promised ratio is missed")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return 0
    if importlib.util.find_spec("opentelemetry.instrumentation.asgi") is None:
        print("skipped, needs opentelemetry-instrumentation-asgi")
        return 0
    found = measure(__file__, dict.fromkeys(RATIOS, SUBJECTS), arguments.rounds)
    print(f"CPython {platform.python_version()}, {platform.machine()}\n")
    print("| added to a request | OpenTelemetry | lean | fasttrace | OpenTelemetry / fasttrace | lean / fasttrace |")
    print("|---|---|---|---|---|---|")
    missed = []
    for case, samples in found.items():
        figures = {name: added(samples, name) for name in SUBJECTS[1:]}
        ratios = {
            name: statistics.median(one / other for one, other in zip(figures[name], figures["ours"], strict=True))
            for name in ("stock", "lean")
        }
        stock, lean, own = (statistics.median(figures[name]) for name in ("stock", "lean", "ours"))
        row = f"{stock:,.0f} ns | {lean:,.0f} ns | {own:,.0f} ns | {ratios['stock']:.1f}x | {ratios['lean']:.1f}x"
        print(f"| {case} | {row} |")
        if ratios["stock"] < PROMISED[case]:
            missed.append(f"{case}: 1/{ratios['stock']:.1f} of OpenTelemetry's, promised is 1/{PROMISED[case]}")
    print(f"\nThe request without it takes {statistics.median(next(iter(found.values()))['bare']):,.0f} ns.")
    for line in missed if arguments.check else ():
        print("missed:", line, file=sys.stderr)
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
