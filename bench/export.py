"""Export, the whole bill: ``python bench/export.py [--rounds 3] [--spans 200000] [--check] [--markdown FILE]``.

One process makes spans with 4 attributes as fast as it can and flushes; a receiver in another process counts what
comes. What is compared is the CPU time of the whole process, user and system, all threads, from the first span until
all are delivered, per span that *arrived*. Every subject has a queue in which all spans fit, and a run that loses one
is an error, not a figure. Each run is a process of its own; rounds visit the subjects in random order.

``--check`` exits with 1 when a span, in batches of 512, costs more than 1/PROMISED of the SDK's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import environments
import report
import sink
from subjects import pytracingx

PROMISED = 50
BATCH = 512
LARGER = (2048, 8192, 32768)
# By name: which subject, and how many spans a request has.
SUBJECTS = {
    "OpenTelemetry SDK": ("otel", BATCH),
    "pytracingx": ("pytracingx", BATCH),
    "cython": ("cython", BATCH),
    "python": ("python", BATCH),
    **{f"cython, batches of {size:,}": ("cython", size) for size in LARGER},
}
FLUSH_SECONDS = 600
Started = tuple[Callable[..., Any], Callable[[], Any]]


def ours(endpoint: str, spans: int, batch: int) -> Started:
    from fasttrace import TracerProvider
    from fasttrace.export import OTLPExporter

    provider = TracerProvider(
        exporter=OTLPExporter(endpoint),
        max_queue_spans=spans + 1,
        max_queue_bytes=spans * 1024,
        max_batch_spans=batch,
        max_batch_bytes=max(1 << 20, batch * 1024),
    )
    return provider.get_tracer("bench").start_as_current_span, lambda: provider.flush(FLUSH_SECONDS)


def theirs(endpoint: str, spans: int, batch: int) -> Started:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint, timeout=60)
    processor = BatchSpanProcessor(exporter, max_queue_size=spans + 1, max_export_batch_size=batch)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return (
        provider.get_tracer("bench").start_as_current_span,
        lambda: provider.force_flush(FLUSH_SECONDS * 1000),
    )


def native(endpoint: str, spans: int, batch: int) -> Started:
    import pytracingx as library

    trace_sink = library.TraceSink(
        endpoint=endpoint, protocol="http/protobuf", batch_max_queue=spans + 1, batch_max_export=batch
    )
    library.init(library.Config(service_name="bench", sinks=[trace_sink]))
    return library.start_span, library.force_flush


MAKERS = {"otel": theirs, "pytracingx": native, "cython": ours, "python": ours}


def child(name: str, endpoint: str, spans: int, batch: int) -> None:
    """Make the spans, deliver them, and print what it took, in nanoseconds per span."""
    start, flush = MAKERS[name](endpoint, spans, batch)
    with start("the first one imports what sending needs"):
        pass
    flush()
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.thread_time_ns()
    for _ in range(spans):
        with start("operation") as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/orders/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("retried", False)
    calling = time.thread_time_ns() - begin
    flush()
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    print(json.dumps({"cpu": (user + system) * 1e9, "system": system * 1e9, "calling": calling}))


def measure(
    subjects: dict[str, tuple[str, int]], rounds: int, spans: int, receiver: sink.Sink
) -> dict[str, list[dict[str, float]]]:
    """Samples by subject; raises RuntimeError when spans are lost."""
    pythons = dict.fromkeys(MAKERS, sys.executable)
    try:
        pythons["pytracingx"] = environments.python("pytracingx", pytracingx.REQUIREMENTS)
    except environments.CanNotBeMade as error:
        print(f"pytracingx: skipped, it can't be installed: {error}", file=sys.stderr)
        subjects = {name: value for name, value in subjects.items() if value[0] != "pytracingx"}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name in random.sample(list(subjects), len(subjects)):
            kind, batch = subjects[name]
            arguments = ["--child", kind, receiver.endpoint, str(batch), "--spans", str(spans)]
            environment = {**os.environ, "FASTTRACE_IMPL": kind if kind in ("cython", "python") else "auto"}
            done = subprocess.run(
                [pythons[kind], __file__, *arguments], env=environment, check=True, stdout=subprocess.PIPE
            )
            arrived, requests = receiver.counted()
            if arrived != spans + 1:
                raise RuntimeError(f"{name}: {arrived - 1:,} of {spans:,} spans arrived: this run says nothing")
            sample = {key: value / spans for key, value in json.loads(done.stdout.splitlines()[-1]).items()}
            found[name].append({**sample, "batch": spans / (requests - 1)})
    return found


def table(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """A Markdown table of medians."""
    heads = ("exporter", "spans a request", "CPU per arrived span", "spread", "kernel", "calling thread", "SDK / this")
    rows = []
    for name, samples in found.items():
        middle = {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
        costs = [sample["cpu"] for sample in samples]
        cells = [f"{middle[key]:,.0f} ns" for key in ("cpu", "system", "calling")]
        cells.insert(1, f"±{(max(costs) - min(costs)) / 2 / middle['cpu']:.0%}")
        rows.append((name, f"{middle['batch']:,.0f}", *cells, report.times(ratio(found, name))))
    return report.table(heads, rows)


def ratio(found: dict[str, list[dict[str, float]]], name: str) -> float:
    """How many times a subject's span the SDK's costs, round by round."""
    pairs = zip(found["OpenTelemetry SDK"], found[name], strict=True)
    return statistics.median(stock["cpu"] / own["cpu"] for stock, own in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--spans", type=int, default=200_000, help="spans of each run (default: 200,000)")
    parser.add_argument("--only", help="subjects whose name contains this, and the SDK")
    parser.add_argument("--check", action="store_true", help="exit with 1 when the promised ratio is missed")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, endpoint, batch = arguments.child
        child(name, endpoint, arguments.spans, int(batch))
        return 0
    subjects = {
        name: value for name, value in SUBJECTS.items() if name == "OpenTelemetry SDK" or (arguments.only or "") in name
    }
    with sink.running() as receiver:
        found = measure(subjects, arguments.rounds, arguments.spans, receiver)
    what = f"medians of {arguments.rounds} runs of {arguments.spans:,} spans with 4 attributes, none lost."
    report.give([f"{report.machine()}; {what}", "", *table(found)], arguments.markdown)
    missed = arguments.check and ratio(found, "cython") < PROMISED
    if missed:
        print(f"missed: 1/{ratio(found, 'cython'):.1f} of the SDK's, promised is 1/{PROMISED}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
