"""A flood against an exporter that is blocked: the application does not notice, memory stays at the bound.

At full scale 50,000 spans a second for 10 seconds. ``end()`` is timed one by one, first with an exporter that takes
everything, then with one that blocks; the ratio of the two p99 is what counts, since machines differ. The pure-Python
core is asked for as much as it can do.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from array import array

from common import Report, options

import fasttrace
from fasttrace.export import Batch, NullExporter

SPANS_PER_SECOND = 50_000
SECONDS = 10
ATTRIBUTES = {"http.request.method": "GET", "http.route": "/orders/{id}", "customer": 4711, "premium": True}
# What the process may grow by beyond the queue: the ring, one batch, and what malloc holds on to.
SLACK_BYTES = 12 * 1024 * 1024


class Blocked:
    """An exporter that does not come back until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()
        self.spans = 0

    def export(self, batch: Batch) -> None:
        self.entered.set()
        self.released.wait()
        self.spans += len(batch)

    def flush(self, timeout: float) -> bool:
        return True

    def shutdown(self, timeout: float) -> None:
        pass


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def flood(tracer: fasttrace.Tracer, times: array[int]) -> float:
    """Make a span for each element of ``times``, at the wanted pace: the seconds it took, and each ``end()`` in ns."""
    clock = time.perf_counter_ns
    pause = 1_000_000_000 // SPANS_PER_SECOND
    begin = due = clock()
    for number in range(len(times)):
        span = tracer.start_span("GET /orders/{id}", attributes=ATTRIBUTES)
        before = clock()
        span.end()
        times[number] = clock() - before
        due += pause
        while clock() < due:
            pass
    return (clock() - begin) / 1e9


def percentile(times: array[int], share: float) -> int:
    return sorted(times)[int(len(times) * share)]


def main() -> None:
    arguments = options(__doc__.split("\n", 1)[0], counters_only="print the ratio of the p99, but do not judge it")
    report = Report("flood", arguments)
    count = max(20_000, int(SPANS_PER_SECOND * SECONDS * arguments.scale))

    free = fasttrace.TracerProvider(exporter=NullExporter(), service_name="flood")
    flood(free.get_tracer("flood"), array("q", bytes(8 * 10_000)))
    times = array("q", bytes(8 * count))
    seconds = flood(free.get_tracer("flood"), times)
    unblocked = percentile(times, 0.99)
    report.figure("unblocked: spans per second", int(count / seconds))
    report.figure("unblocked: p50 of end(), ns", percentile(times, 0.5))
    report.figure("unblocked: p99 of end(), ns", unblocked)
    free.shutdown(20)

    gate = Blocked()
    provider = fasttrace.TracerProvider(exporter=gate, service_name="flood", schedule_delay=0.01)
    tracer = provider.get_tracer("flood")
    tracer.start_span("first").end()
    gate.entered.wait()
    gc.collect()
    before = resident_bytes()
    bound = provider.settings.max_queue_bytes
    seconds = flood(tracer, times)
    grown = resident_bytes() - before
    blocked = percentile(times, 0.99)
    stats = provider.stats()
    report.figure("blocked: spans per second", int(count / seconds))
    report.figure("blocked: p50 of end(), ns", percentile(times, 0.5))
    report.figure("blocked: p99 of end(), ns", blocked)
    report.figure("blocked: p99.9 of end(), ns", percentile(times, 0.999))
    report.figure("queued bytes", stats["queued_bytes"])
    report.figure("resident memory grew by", grown)
    ratio = blocked / unblocked
    report.holds(f"p99 of end() is {ratio:.2f}x the unblocked one, 5x at most", ratio <= 5 or arguments.counters_only)
    report.holds(
        f"memory stays at the bound of {bound:,} bytes", stats["queued_bytes"] <= bound and grown <= bound + SLACK_BYTES
    )
    report.holds("the queue holds 10,000 spans and no more", stats["queued"] == 10_000)
    report.balance(stats)

    gate.released.set()
    report.holds("all that waited is delivered once the exporter goes on", provider.flush(60))
    stats = provider.stats()
    report.holds("the exporter saw what the accounts say", gate.spans == stats["exported"])
    report.balance(stats)
    provider.shutdown(5)
    report.end()


if __name__ == "__main__":
    main()
