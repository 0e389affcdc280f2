"""Ours, the C floor and the OpenTelemetry SDK, interleaved in one run: ``python bench/compare.py``.

CPU time, three ways: of the calling thread; "to the bytes", with what it takes to turn the finished spans into one
encoded request (here the drain of the ring and the request's framing, there the batch processor's export with the
official encoder on its own thread); and of the whole process until then. Medians over the rounds. A ratio is the
median of the rounds' own ratios: the samples of a round are taken within milliseconds, so that a clock that changes
its pace changes both. Read the ratios: absolute times depend on the machine, its neighbours and how the interpreter
was built.

    python bench/compare.py [--rounds 30] [--only TEXT] [--check] [--markdown FILE]

``--check`` exits with 1 when a ratio of ``PROMISED`` is missed, or the pure-Python core is slower than the SDK.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import cases
import report
from subjects import floor, otel, ours


class Promise(NamedTuple):
    """The SDK costs at least so many times as much, to the bytes; the floor's at most so many times are spent."""

    sdk_311: float
    sdk_later: float
    floor: float | None = None


PROMISED = {
    "span": Promise(40, 30, 1.6),
    "span, 4 attributes and an event": Promise(40, 30, 1.9),
    "request of 6 spans": Promise(40, 30, 1.6),
    "unsampled root": Promise(25, 25, 1.2),
    "unsampled child": Promise(50, 50, 0.6),
    "extract": Promise(12, 12),
    "inject": Promise(13, 10),
}
BATCH_RECORDS = 2000  # the SDK's queue holds 2,048


class Sample(NamedTuple):
    """Nanoseconds for one call."""

    calling: float
    to_the_bytes: float
    process: float


Results = dict[str, dict[str, list[Sample]]]


def sample(subject: cases.Subject, case: str) -> Sample:
    """One subject's time for a case, after it was emptied."""
    calls = cases.calls(case)
    subject.drain()
    gc.collect(0)
    begin = time.process_time_ns()
    calling = subject.loops[case](range(calls))
    drained = subject.drain()
    process = time.process_time_ns() - begin
    return Sample(calling / calls, (calling + drained) / calls, process / calls)


def measure(subjects: Iterable[cases.Subject], only: str, rounds: int) -> Results:
    """Samples by case and subject; each round visits the subjects in random order."""
    results: Results = {}
    for case in filter(lambda case: only in case, cases.CASES):
        able = [subject for subject in subjects if case in subject.loops]
        results[case] = {subject.name: [] for subject in able}
        for turn in range(rounds + 2):
            for subject in random.sample(able, len(able)):
                taken = sample(subject, case)
                if turn >= 2:  # the first turns warm up
                    results[case][subject.name].append(taken)
    return results


def ratio(results: Results, case: str, of: str, to: str, part: str = "calling") -> float | None:
    """The median of the ratios of two subjects, round by round; None where one of them lacks the case."""
    samples = results[case]
    if of not in samples or to not in samples:
        return None
    pairs = zip(samples[of], samples[to], strict=True)
    return statistics.median(getattr(one, part) / getattr(other, part) for one, other in pairs)


def ratios(results: Results) -> list[str]:
    """A Markdown table of ratios."""
    rows = []
    for case in results:
        stock = [ratio(results, case, "otel", "cython", part) for part in Sample._fields]
        pure = [ratio(results, case, "otel", "python", part) for part in ("calling", "to_the_bytes")]
        bottom = [ratio(results, case, "cython", name) for name in ("floor", "bare floor")]
        cells = [report.times(value) for value in (*stock, *pure)] + [report.times(value, 2) for value in bottom]
        rows.append((case, *cells))
    heads = (
        "case",
        "SDK / cython",
        "to the bytes",
        "process",
        "SDK / python",
        "to the bytes",
        "cython / floor",
        "/ bare floor",
    )
    return report.table(heads, rows)


def figures(results: Results) -> list[str]:
    """A Markdown table of nanoseconds of the calling thread: medians and half the quartiles' distance."""
    names = ("cython", "python", "floor", "otel")
    rows = []
    for case, samples in results.items():
        cells = [report.spread([one.calling for one in samples[name]]) if name in samples else "–" for name in names]
        rows.append((case, *cells))
    return report.table(("calling thread", "cython", "python", "floor", "SDK"), rows)


def rates(subjects: Iterable[cases.Subject], rounds: int) -> list[str]:
    """A Markdown table: how many finished spans a second leave the queue as requests of at most 512, on one core."""
    found: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for _ in range(rounds):
        for subject in subjects:
            subject.drain()
            subject.loops["span, 4 attributes"](range(BATCH_RECORDS))
            found[subject.name].append(BATCH_RECORDS / subject.drain() * 1e9)
    rows = [[f"{statistics.median(values):,.0f}" for values in found.values()]]
    return report.table([f"drain and batch, {name}" for name in found], rows)


def failures(results: Results) -> list[str]:
    """The promised ratios that this run does not show."""
    missed = []
    for case, promise in PROMISED.items():
        share = promise.sdk_311 if sys.version_info[:2] == (3, 11) else promise.sdk_later
        found = ratio(results, case, "otel", "cython", "to_the_bytes") or 0.0
        if found < share:
            missed.append(f"{case}: 1/{found:.1f} of the OpenTelemetry SDK, promised is 1/{share}")
        over = ratio(results, case, "cython", "floor")
        if promise.floor is not None and over is not None and over > promise.floor:
            missed.append(f"{case}: {over:.2f} times the floor, promised is {promise.floor}")
    for case in results:
        found = ratio(results, case, "otel", "python", "to_the_bytes") or 0.0
        if found < 1:
            missed.append(f"{case}: the pure-Python core takes {1 / found:.2f} times as long as the OpenTelemetry SDK")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="samples of each case and subject (default: 30)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a promised ratio is missed")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()
    subjects = [ours.make("cython"), ours.make("python"), floor.make("floor"), floor.make("bare floor"), otel.make()]
    results = measure(subjects, arguments.only, arguments.rounds)
    lines = [
        f"{report.machine()}; medians of {arguments.rounds} interleaved samples.",
        "",
        *ratios(results),
        "",
        *figures(results),
        "",
        *rates([subject for subject in subjects if "floor" not in subject.name], 10),
    ]
    report.give(lines, arguments.markdown)
    missed = failures(results) if arguments.check else []
    for line in missed:
        print("missed:", line, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
