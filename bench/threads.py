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
import queue
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from promises import IMPLEMENTATIONS, Core, Promises, compiled, heading, make_spans, ratio, table

THREADS = (1, 2, 4, 8)
LOOP = "C loop"
# In each thread and sample: below what a staged ring holds, and some milliseconds of work.
SPANS = {"cython": 4_000, "python": 400, "SDK": 200, LOOP: 4_000}
PROMISED = 0.9
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def ours(name: str) -> tuple[Callable[[], None], Callable[[], Any]]:
    core = Core(name)
    return lambda: make_spans(core.tracer, SPANS[name]), core.drain


def theirs() -> tuple[Callable[[], None], Callable[[], Any]]:
    """The SDK with a processor that throws everything away."""
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    tracer = provider.get_tracer("bench")
    return lambda: make_spans(tracer, SPANS["SDK"]), lambda: None


class Crew:
    """Threads that stay, as those of a server do: each keeps to its place in the queue and to its core's caches."""

    def __init__(self) -> None:
        self._work: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(max(THREADS))]
        self._times: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        for number, work in enumerate(self._work):
            threading.Thread(target=self._run, args=(number, work), daemon=True).start()

    def _run(self, number: int, orders: queue.SimpleQueue[Any]) -> None:
        if not GIL and CORES:
            # A sample is over before the scheduler would have spread its threads.
            os.sched_setaffinity(0, {CORES[number % len(CORES)]})
        while True:
            work, barrier = orders.get()
            barrier.wait()
            begin = time.perf_counter_ns()
            work()
            self._times.put((begin, time.perf_counter_ns()))

    def one_after_the_other(self, work: Callable[[], Any]) -> None:
        """Each thread for the first time, so that the first ones have places in the queue of their own."""
        for orders in self._work:
            orders.put((work, threading.Barrier(1)))
            self._times.get(timeout=60)

    def together(self, work: Callable[[], Any], threads: int) -> int:
        """Nanoseconds from the first thread's beginning to the last one's end."""
        barrier = threading.Barrier(threads)
        for orders in self._work[:threads]:
            orders.put((work, barrier))
        times = [self._times.get(timeout=60) for _ in range(threads)]
        return max(end for _, end in times) - min(begin for begin, _ in times)


def loop(crew: Crew, like: Callable[[], None]) -> Callable[[], Any]:
    """A C loop that takes one thread about as long as what it stands beside."""
    spin = compiled("c_loop").spin
    turns = 1_000_000
    share = min(crew.together(like, 1) for _ in range(5)) / min(crew.together(lambda: spin(turns), 1) for _ in range(5))
    return lambda: spin(int(turns * share))


def main() -> int:
    promises = Promises(__doc__, rounds=("samples of each", 60, 20))
    subjects = {name: ours(name) for name in IMPLEMENTATIONS}
    crew = Crew()
    for work, empty in subjects.values():
        crew.one_after_the_other(work)
        empty()
    subjects[LOOP] = loop(crew, subjects["cython"][0]), lambda: None
    if importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk"):
        subjects["SDK"] = theirs()
    samples: dict[tuple[str, int], list[float]] = {(name, count): [] for name in subjects for count in THREADS}
    for turn in range(promises.rounds + 2):
        for name, count in random.sample(list(samples), len(samples)):
            work, empty = subjects[name]
            wall = crew.together(work, count)
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
