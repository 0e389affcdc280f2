"""Half an hour at the highest rate that the machine takes: memory and cost stay flat, every span arrives.

One thread makes requests of 6 spans as fast as it can, and pauses only while the queue is more than half full; what ends
goes by OTLP/HTTP to a receiver in another process, which counts. At full scale 30 minutes; ``--scale 0.005`` are 9 seconds.
The time is cut into 30 parts: of each the CPU time of the whole process for a span, and the resident memory at its end.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import Report, options

import fasttrace
from fasttrace.export import OTLPExporter

SECONDS = 1800
PARTS = 30
# Requests between two looks at the clock and the queue.
BLOCK = 50
# The last third beside the first one, without the very first part.
FLAT_COST = 1.25
SLACK_BYTES = 4 * 1024 * 1024


def resident() -> int:
    """Bytes of this process in memory; 0 where that can't be known."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def request(tracer: fasttrace.Tracer, number: int) -> None:
    """A request of 6 spans; each is different from the one before."""
    with tracer.start_as_current_span("POST /checkout", kind=fasttrace.SpanKind.SERVER) as root:
        root.set_attribute("http.request.method", "POST")
        root.set_attribute("order.number", number)
        for step in ("create order", "SELECT stock", "INSERT order", "charge", "publish"):
            with tracer.start_as_current_span(step) as span:
                span.set_attribute("order.step", step)
                span.set_attribute("order.key", f"order-{number}")
        if number % 100 == 0:
            root.add_event("audited", {"number": number})


def main() -> None:
    arguments = options(__doc__.split("\n", 1)[0], counters_only="leave out what depends on the machine: the cost")
    report = Report("soak", arguments)
    here = Path(__file__).parent
    sink = subprocess.Popen(
        [sys.executable, str(here / "sink.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout is not None
    endpoint = f"http://127.0.0.1:{int(sink.stdout.readline())}/v1/traces"
    provider = fasttrace.TracerProvider(exporter=OTLPExporter(endpoint), service_name="soak")
    tracer = provider.get_tracer("soak")
    half = provider.stats()["max_queue_spans"] // 2
    seconds = SECONDS * arguments.scale / PARTS
    costs, sizes, rates = [], [], []
    number = 0
    for _ in range(PARTS):
        before, begin, used = number, time.monotonic(), time.process_time()
        while time.monotonic() - begin < seconds:
            for _ in range(BLOCK):
                request(tracer, number)
                number += 1
            while provider.stats()["queued"] > half:
                time.sleep(0.001)
        made = 6 * (number - before)
        costs.append((time.process_time() - used) / made * 1e9)
        rates.append(made / (time.monotonic() - begin))
        sizes.append(resident())
    delivered = provider.flush(60)
    stats = provider.stats()
    provider.shutdown(10)
    found = json.loads(sink.communicate()[0])
    third = PARTS // 3
    early, late = statistics.median(costs[1:third]), statistics.median(costs[-third:])
    report.figure("spans", stats["started"])
    report.figure("spans a second, median", int(statistics.median(rates)))
    report.figure("nanoseconds of CPU for a span, first third", int(early))
    report.figure("nanoseconds of CPU for a span, last third", int(late))
    report.figure("resident after the first third, bytes", sizes[third - 1])
    report.figure("resident at the end, bytes", sizes[-1])
    report.balance(stats)
    report.holds("everything was delivered in time, nothing dropped", delivered and not any(stats["dropped"].values()))
    report.holds(f"all that was made arrived, in {found['requests']:,} requests", found["spans"] == 6 * number)
    if not arguments.counters_only:
        report.holds(f"the cost is flat: x {late / early:.2f}", late / early <= FLAT_COST)
    report.holds(
        f"memory is flat: {sizes[-1] - sizes[third - 1]:+,} bytes", sizes[-1] - sizes[third - 1] <= SLACK_BYTES
    )
    report.end()


if __name__ == "__main__":
    main()
