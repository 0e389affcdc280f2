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


def flood(tracer: fasttrace.Tracer, count: int) -> tuple[list[int], float]:
    """Make so many spans at the wanted pace: the nanoseconds of every ``end()``, and the seconds it took."""
    clock = time.perf_counter_ns
    times = [0] * count
    pause = 1_000_000_000 // SPANS_PER_SECOND
    begin = due = clock()
    for number in range(count):
        span = tracer.start_span("GET /orders/{id}", attributes=ATTRIBUTES)
        before = clock()
        span.end()
        times[number] = clock() - before
        due += pause
        while clock() < due:
            pass
    return times, (clock() - begin) / 1e9


def percentile(times: list[int], share: float) -> int:
    return sorted(times)[int(len(times) * share)]


def main() -> None:
    arguments = options(__doc__.split("\n", 1)[0])
    report = Report("flood", arguments)
    count = max(20_000, int(SPANS_PER_SECOND * SECONDS * arguments.scale))

    free = fasttrace.TracerProvider(exporter=NullExporter(), service_name="flood")
    flood(free.get_tracer("flood"), 10_000)
    times, seconds = flood(free.get_tracer("flood"), count)
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
    times.clear()
    gc.collect()
    before = resident_bytes()
    bound = provider.settings.max_queue_bytes
    times, seconds = flood(tracer, count)
    grown = resident_bytes() - before - 32 * count  # the list of the times, and the numbers in it
    blocked = percentile(times, 0.99)
    stats = provider.stats()
    report.figure("blocked: spans per second", int(count / seconds))
    report.figure("blocked: p50 of end(), ns", percentile(times, 0.5))
    report.figure("blocked: p99 of end(), ns", blocked)
    report.figure("blocked: p99.9 of end(), ns", percentile(times, 0.999))
    report.figure("queued bytes", stats["queued_bytes"])
    report.figure("resident memory grew by", grown)
    report.holds(f"p99 of end() is {blocked / unblocked:.2f}x the unblocked one, 5x at most", blocked <= 5 * unblocked)
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
