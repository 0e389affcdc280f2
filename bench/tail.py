"""What tail rules cost: requests of 6 spans with 4 attributes each, with and without them: ``python bench/tail.py``.

Thread CPU time per span, medians over interleaved rounds: of the calling thread, and with what the background thread
does: without rules it takes the records from the ring and frames a request; with them it moves them to the store, which
judges, keeps or evicts them, and frames what is kept. The store is full, so that every new trace evicts an old one.

    python bench/tail.py [--rounds 30] [--check]

``--check`` exits with 1 when a span with tail rules, kept or held, costs more than 1.5 times one without.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

RULES = (("latency", 1, 2_000_000_000), ("error", 2), ("http_5xx", 3), ("exception", 4))
STORE_BYTES = 2 * 1024 * 1024
CALLS = 40
SPANS = 6
PROMISED = 1.5


def request(start: Callable[..., Any], status: int) -> None:
    """One request; a status of 500 or above makes the rules keep it."""

    def four(span: Any) -> None:
        span.set_attribute("http.request.method", "POST")
        span.set_attribute("http.route", "/orders/{id}")
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("retried", False)

    with start("POST /checkout") as root:
        four(root)
        with start("create order") as order:
            four(order)
            with start("SELECT stock") as span:
                four(span)
            with start("INSERT order") as span:
                four(span)
        with start("charge") as span:
            four(span)
        with start("publish") as span:
            four(span)


class Subject:
    """One way of sampling: ``call()`` makes a request, ``drain()`` does the background thread's part."""

    def __init__(self, implementation: str, *, tail: bool, status: int) -> None:
        from fasttrace import _core
        from fasttrace._core.layout import THRESHOLD_NEVER

        modules = _core.load(implementation)[2]
        self._otlp, self._ring = modules["otlp"], modules["ring"].Ring()
        recorder = modules["span"].Recorder(self._ring)
        recorder.consumer_running = True
        self._store: Any = None
        if tail:
            recorder.thresholds = (THRESHOLD_NEVER, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER)
            recorder.tail_rules = RULES
            recorder.record_unsampled = True
            self._store = modules["store"].Store(
                max_bytes=STORE_BYTES, reasons=(None, "a", "b", "c", "d") + (None,) * 27
            )
        scope = _core.InstrumentationScope("bench")
        start = modules["span"].Tracer(scope, recorder).start_as_current_span
        self.call = lambda: request(start, status)
        self._framing = (self._otlp.encode_attributes({"service.name": "b"}), [(self._otlp.encode_scope(scope), "")])

    def drain(self) -> None:
        """From the ring to framed requests."""
        ring, otlp, store = self._ring, self._otlp, self._store
        while records := ring.take(512, 1 << 20):
            if store is not None:
                store.add(records, time.monotonic_ns())
            else:
                otlp.assemble(records, *self._framing)
            ring.release(otlp.count_records(records), len(records))
        if store is not None:
            store.settle(time.monotonic_ns())
            while records := store.take(512, 1 << 20):
                otlp.assemble(records, *self._framing)


def measure(subjects: dict[str, Subject], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Nanoseconds per span, of the calling thread and in all, by subject."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for subject in subjects.values():
        for _ in range(60):  # fills the store
            for _ in range(CALLS):
                subject.call()
            subject.drain()
    for _ in range(rounds):
        for name in random.sample(list(subjects), len(subjects)):
            subject = subjects[name]
            gc.collect(0)
            begin = time.thread_time_ns()
            for _ in range(CALLS):
                subject.call()
            called = time.thread_time_ns()
            subject.drain()
            done = time.thread_time_ns()
            found[name].append(((called - begin) / CALLS / SPANS, (done - begin) / CALLS / SPANS))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="samples of each subject (default: 30)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when the promised ratio is missed")
    arguments = parser.parse_args()
    missed = False
    print("| core | spans | calling thread | in all | in all / without rules |\n|---|---|---|---|---|")
    for implementation in ("cython", "python"):
        subjects = {
            "without rules": Subject(implementation, tail=False, status=200),
            "held, then evicted": Subject(implementation, tail=True, status=200),
            "kept": Subject(implementation, tail=True, status=503),
        }
        found = measure(subjects, arguments.rounds)
        plain = found["without rules"]
        for name, samples in found.items():
            calling, total = (statistics.median(part) for part in zip(*samples, strict=True))
            ratio = statistics.median(one[1] / other[1] for one, other in zip(samples, plain, strict=True))
            print(f"| {implementation} | {name} | {calling:,.0f} ns | {total:,.0f} ns | {ratio:.2f}x |")
            if ratio > PROMISED and implementation == "cython":
                missed = True
                print(f"missed: {name}: {ratio:.2f}x, promised is {PROMISED}x", file=sys.stderr)
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
