"""Memory for each finished span that waits to be sent: ``python bench/memory.py [--check] [--quick]``.

Fresh processes make 10,000 or 40,000 spans with 4 attributes, which nobody takes out of the queue, and look how much
larger they are than before (resident pages, after a collection of garbage). What one more span costs is the difference
between the two sizes; what is left of 10,000 spans beyond that is there once, whatever waits: the staged ring, code
and data touched for the first time. The encoded size is that of the span in an OTLP request, tag and length included.

``--check`` exits with 1 when a span that waits takes more than 1/10 of the OpenTelemetry SDK's, or, compiled, more than
its encoded size and 80 bytes.
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from promises import Promises, choose, fresh, heading, table

SPANS = 10_000, 40_000
SUBJECTS = ("cython", "python", "SDK")
FOREVER = 3600.0
# By then our thread has moved what was staged to where it waits.
SETTLED_SECONDS = 0.5


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ours(spans: int) -> tuple[Callable[..., Any], Callable[[], int], Callable[[], int]]:
    import fasttrace

    class Counting:
        """Counts the bytes of what it is given."""

        encoded = 0

        def export(self, batch: fasttrace.export.Batch) -> None:
            self.encoded += len(batch.otlp)

        def flush(self, timeout: float) -> bool:
            return True

        def shutdown(self, timeout: float) -> None:
            pass

    exporter = Counting()
    provider = fasttrace.TracerProvider(
        exporter=exporter,
        schedule_delay=FOREVER,
        max_batch_spans=spans + 1,
        max_queue_spans=spans + 1,
        max_queue_bytes=1 << 30,
    )

    def encoded() -> int:
        assert provider.flush(60)
        return exporter.encoded

    return provider.get_tracer("bench").start_as_current_span, lambda: provider.stats()["queued"], encoded


def theirs(spans: int) -> tuple[Callable[..., Any], Callable[[], int], Callable[[], int]]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Counting(SpanExporter):
        spans = 0

        def export(self, spans: Any) -> SpanExportResult:
            self.spans += len(spans)
            return SpanExportResult.SUCCESS

    exporter = Counting()
    processor = BatchSpanProcessor(
        exporter,
        max_queue_size=spans + 1,
        max_export_batch_size=spans + 1,
        schedule_delay_millis=FOREVER * 1000,
    )
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)

    def queued() -> int:
        """All that are exported now were queued until now."""
        processor.force_flush()
        return exporter.spans

    return provider.get_tracer("bench").start_as_current_span, queued, lambda: 0


def child(name: str, spans: int) -> None:
    """Answer with what the process has grown by, and the encoded size of all spans."""
    choose(name)
    start, queued, encoded = (theirs if name == "SDK" else ours)(spans)
    before = resident()
    for number in range(spans):
        with start("GET /orders/{id}") as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/orders/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("order.number", 1_000_000 + number)
    time.sleep(SETTLED_SECONDS)
    grown = resident() - before
    assert queued() == spans, "a span that does not wait voids the sample"
    print(json.dumps([grown, encoded()]))


def main() -> int:
    promises = Promises(__doc__, runs=("processes of each size", 5, 1))
    if promises.child:
        child(promises.child[0], int(promises.child[1]))
        return 0
    if not Path("/proc/self/statm").exists():
        print("skipped, needs /proc")
        return 0
    grown: dict[tuple[str, int], list[int]] = {(name, spans): [] for name in SUBJECTS for spans in SPANS}
    size = {}
    for _ in range(promises.runs):
        for name, spans in random.sample(list(grown), len(grown)):
            found, encoded = fresh(__file__, name, spans)
            grown[name, spans].append(found)
            size[name] = encoded / spans
    few, many = SPANS
    rows, each = [], {}
    for name in SUBJECTS:
        small, large = statistics.median(grown[name, few]), statistics.median(grown[name, many])
        each[name] = (large - small) / (many - few)
        rows.append((name, f"{each[name]:,.0f} B", f"{(small - few * each[name]) / 1024:,.0f} KiB"))
    print(heading())
    table(("", "one more span that waits", "once"), rows)
    print(f"Encoded, a span takes {size['cython']:.0f} B.\n")
    promises.at_least("SDK / cython", each["SDK"] / each["cython"], 10, "x")
    promises.at_least("SDK / python", each["SDK"] / each["python"], 10, "x")
    promises.at_most("cython, beyond the encoded size", each["cython"] - size["cython"], 80, " B")
    return promises.exit_code()


if __name__ == "__main__":
    sys.exit(main())
