"""What 3 nested spans add to each of 1,000 asyncio tasks: ``python bench/tasks.py [--check] [--quick]``.

All tasks are alive at once, and each gives way to the others inside its innermost span, so every one has a context of
its own. CPU time of the whole process until the finished spans are encoded requests, for the OpenTelemetry SDK by its
batch processor, with a queue that loses nothing, and the encoder of its OTLP exporter; less what the same tasks take
without spans. One process for each subject, rounds interleaved: medians, and the median of the rounds' own ratios.

``--check`` exits with 1 when ours adds more than 1/20 of what the SDK adds.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from children import added, measure, sample
from promises import Promises, choose, compiled, heading, ratio, table

TASKS = 1000
SUBJECTS = ("bare", "floor", "cython", "python", "SDK")
CASE = f"3 spans in each of {TASKS:,} tasks"


# What starts a span, what brings those that have ended to bytes, and the provider.
Subject = tuple[Callable[..., Any], Callable[[], Any], Any]


def ours() -> Subject:
    import fasttrace

    class Encoding:
        """Everything but the network."""

        def export(self, batch: fasttrace.export.Batch) -> None:
            assert batch.otlp

        def flush(self, timeout: float) -> bool:
            return True

        def shutdown(self, timeout: float) -> None:
            pass

    provider = fasttrace.TracerProvider(exporter=Encoding())

    def flush() -> None:
        assert provider.flush(60)
        assert not any(provider.stats()["dropped"].values()), "a dropped span voids the sample"

    return provider.get_tracer("bench").start_as_current_span, flush, provider


def theirs() -> Subject:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Encoding(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Encoding(), max_queue_size=10_000))
    return provider.get_tracer("bench").start_as_current_span, provider.force_flush, provider


def subject(name: str) -> Subject:
    if name == "bare":
        nothing = nullcontext()
        return lambda _: nothing, lambda: None, None
    if name == "floor":
        return compiled("c_floor").Floor, lambda: None, None
    return theirs() if name == "SDK" else ours()


def child(name: str) -> None:
    """Answer with the nanoseconds for all tasks, as often as asked."""
    choose(name)
    start, flush, _ = subject(name)

    async def bare() -> None:
        await asyncio.sleep(0)

    async def traced() -> None:
        with start("GET /orders/{id}"), start("load order"), start("SELECT order"):
            await asyncio.sleep(0)

    work = bare if name == "bare" else traced

    async def all_of_them() -> None:
        await asyncio.gather(*[work() for _ in range(TASKS)])

    gc.freeze()
    with asyncio.Runner() as runner:
        for _ in sys.stdin:
            sample(lambda: runner.run(all_of_them()), 1, flush, 1)


def main() -> int:
    promises = Promises(__doc__, rounds=("samples of each", 20, 10))
    if promises.child:
        child(promises.child[0])
        return 0
    samples = measure(__file__, {CASE: SUBJECTS}, promises.rounds)[CASE]
    print(heading())
    sdk = added(samples, "SDK")
    rows = []
    for name in SUBJECTS[1:]:
        own = added(samples, name)
        rows.append((name, f"{statistics.median(own) / TASKS:,.0f} ns", f"1/{ratio(sdk, own):.1f}"))
    table(("", "added to a task", "of the SDK's"), rows)
    print(f"A task without spans takes {statistics.median(samples['bare']) / TASKS:,.0f} ns.\n")
    promises.at_least("SDK / cython", ratio(sdk, added(samples, "cython")), 20, "x")
    promises.at_least("SDK / python", ratio(sdk, added(samples, "python")), 1, "x")
    return promises.exit_code()


if __name__ == "__main__":
    sys.exit(main())
