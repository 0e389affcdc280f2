"""Spans in 1, 2, 4 and 8 threads at once, with the GIL and without it: ``python bench/threads.py [--check] [--quick]``.

Every thread makes so many spans with 4 attributes, with one tracer that all share; they start together. The wall time
from the first that begins to the last that ends, for a span; and how much more the threads get done together than one
alone, beside a plain C loop that shares nothing and holds no GIL, of the same length: rounds are interleaved, so that
both see the same machine. Nothing is dropped: the queue is emptied between the samples.

``--check`` exits with 1 when, without a GIL and on 2 cores or more, 2 threads do not scale at least 0.9 times as well
as the C loop. With a GIL nothing can scale, and nothing is promised but what the table says.
"""

from __future__ import annotations

import importlib.util
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from promises import IMPLEMENTATIONS, Core, Promises, compiled, heading, ratio, table

THREADS = (1, 2, 4, 8)
LOOP = "C loop"
# In each thread and sample: below what a staged ring holds, and some milliseconds of work.
SPANS = {"cython": 4_000, "python": 400, "SDK": 200, LOOP: 4_000}
PROMISED = 0.9
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def span_maker(tracer: Any, spans: int) -> Callable[[], None]:
    def make() -> None:
        for number in range(spans):
            with tracer.start_as_current_span("GET /orders/{id}") as span:
                span.set_attribute("http.request.method", "POST")
                span.set_attribute("http.route", "/orders/{id}")
                span.set_attribute("http.response.status_code", 200)
                span.set_attribute("order.number", number)

    return make


def ours(name: str) -> tuple[Callable[[], None], Callable[[], Any]]:
    core = Core(name)
    return span_maker(core.tracer, SPANS[name]), core.drain


def theirs() -> tuple[Callable[[], None], Callable[[], Any]]:
    """The SDK with a processor that throws everything away."""
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    return span_maker(provider.get_tracer("bench"), SPANS["SDK"]), lambda: None


def together(work: Callable[[], Any], threads: int) -> int:
    """Nanoseconds from the first thread's beginning to the last one's end."""
    barrier = threading.Barrier(threads)
    times: list[tuple[int, int]] = []

    def run(number: int) -> None:
        if not GIL and CORES:
            # A sample is over before the scheduler would have spread its threads.
            os.sched_setaffinity(0, {CORES[number % len(CORES)]})
        barrier.wait()
        begin = time.perf_counter_ns()
        work()
        times.append((begin, time.perf_counter_ns()))

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(times) == threads
    return max(end for _, end in times) - min(begin for begin, _ in times)


def loop(like: Callable[[], None]) -> Callable[[], Any]:
    """A C loop that takes one thread about as long as what it stands beside."""
    spin = compiled("c_loop").spin
    turns = 1_000_000
    share = min(together(like, 1) for _ in range(5)) / min(together(lambda: spin(turns), 1) for _ in range(5))
    return lambda: spin(int(turns * share))


def main() -> int:
    promises = Promises(__doc__, rounds=("samples of each", 60, 20))
    subjects = {name: ours(name) for name in IMPLEMENTATIONS}
    subjects[LOOP] = loop(subjects["cython"][0]), lambda: None
    if importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk"):
        subjects["SDK"] = theirs()
    samples: dict[tuple[str, int], list[float]] = {(name, count): [] for name in subjects for count in THREADS}
    for turn in range(promises.rounds + 2):
        for name, count in random.sample(list(samples), len(samples)):
            work, empty = subjects[name]
            wall = together(work, count)
            empty()
            if turn >= 2:  # the first turns warm up
                samples[name, count].append(wall / count / SPANS[name])
    print(heading())
    rows = []
    for name in subjects:
        cells = []
        for count in THREADS:
            gained = ratio(samples[name, 1], samples[name, count])
            cells.append(f"{statistics.median(samples[name, count]):,.0f} ns ({gained:.2f}x)")
        rows.append((name, *cells))
    table(("a span, wall", *(f"{count} thread{'s'[: count > 1]}" for count in THREADS)), rows)
    if not GIL:
        scales = ratio(samples["cython", 1], samples["cython", 2]) / ratio(samples[LOOP, 1], samples[LOOP, 2])
        if (os.cpu_count() or 1) >= 2:
            promises.at_least("2 threads, cython, of how the C loop scales", scales, PROMISED, "x")
    return promises.exit_code()


if __name__ == "__main__":
    sys.exit(main())
