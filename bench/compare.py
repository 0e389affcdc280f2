"""Ours, the C floor and the OpenTelemetry SDK, interleaved in one run: ``python bench/compare.py``.

Thread CPU time: of the calling thread, and, "to the bytes", with what it takes to turn the finished spans into one
encoded request (here the drain of the ring and the request's framing, there the batch processor's export with the
official encoder on its own thread). Medians over the rounds. A ratio is the median of the rounds' own ratios:
the samples of a round are taken within milliseconds, so that a clock that changes its pace changes both. Read the
ratios: absolute times depend on the machine, its neighbours and how the interpreter was built.

    python bench/compare.py [--rounds 30] [--check] [--markdown FILE]

``--check`` exits with 1 when a span with 4 attributes, to the bytes, costs more than 1/25 of the SDK's, or extracting
and injecting a traceparent more than 1/10.
"""

from __future__ import annotations

import argparse
import gc
import platform
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import cases

CALLS = 240
PROMISED_SHARE = {"span, 4 attributes": 25, "extract and inject": 10}


# Nanoseconds for one call: of the calling thread, and to the bytes.
Sample = tuple[float, float]


def sample(subject: cases.Subject, operation: cases.Operation, calls: int) -> Sample:
    """Thread CPU nanoseconds for one call, over so many."""
    repeat = range(calls)
    begin = time.thread_time_ns()
    for _ in repeat:
        operation()
    spent = time.thread_time_ns() - begin
    return spent / calls, (spent + subject.drain()) / calls


def measure(subjects: list[cases.Subject], rounds: int) -> dict[str, dict[str, list[Sample]]]:
    """Samples by case and subject; each round visits the subjects in random order."""
    results: dict[str, dict[str, list[Sample]]] = {case: {s.name: [] for s in subjects} for case in cases.CASES}
    for case in cases.CASES:
        for turn in range(rounds + 2):
            for subject in random.sample(subjects, len(subjects)):
                subject.drain()
                gc.collect(0)
                calls = CALLS // cases.SPANS_PER_CALL.get(case, 1)
                if case == "unsampled child":
                    with subject.unsampled("root"):
                        nanoseconds = sample(subject, subject.cases[case], calls)
                else:
                    nanoseconds = sample(subject, subject.cases[case], calls)
                if turn >= 2:  # the first turns warm up
                    results[case][subject.name].append(nanoseconds)
    return results


def table(results: dict[str, dict[str, list[Sample]]]) -> list[str]:
    """A Markdown table: medians in nanoseconds, their spread, and the ratios."""
    lines = [
        "| case | cython | python | floor | SDK | SDK / cython | to the bytes | SDK / python | cython / floor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case, samples in results.items():
        calling = {name: [value for value, _ in values] for name, values in samples.items()}
        medians = {name: statistics.median(values) for name, values in calling.items()}
        cells = []
        for name in ("cython", "python", "floor", "otel"):
            quartiles = statistics.quantiles(calling[name], n=4)
            spread = (quartiles[2] - quartiles[0]) / 2 / medians[name]
            cells.append(f"{medians[name]:,.0f} ns ±{spread:.0%}")
        ratios = [
            f"{ratio(samples, 'otel', 'cython'):.1f}x",
            f"{ratio(samples, 'otel', 'cython', TO_THE_BYTES):.1f}x",
            f"{ratio(samples, 'otel', 'python'):.1f}x",
            f"{ratio(samples, 'cython', 'floor'):.2f}x",
        ]
        lines.append(f"| {case} | " + " | ".join(cells + ratios) + " |")
    return lines


CALLING_THREAD, TO_THE_BYTES = 0, 1


def ratio(samples: dict[str, list[Sample]], of: str, to: str, part: int = CALLING_THREAD) -> float:
    """The median of the ratios of two subjects, round by round."""
    return statistics.median(one[part] / other[part] for one, other in zip(samples[of], samples[to], strict=True))


def failures(results: dict[str, dict[str, list[Sample]]]) -> list[str]:
    """The promised ratios that this run does not show."""
    missed = []
    for case, share in PROMISED_SHARE.items():
        found = ratio(results[case], "otel", "cython", TO_THE_BYTES)
        if found < share:
            missed.append(f"{case}: 1/{found:.1f} of the OpenTelemetry SDK, promised is 1/{share}")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="samples of each case and subject (default: 30)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a promised ratio is missed")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    subjects: list[Any] = [cases.ours("cython"), cases.ours("python"), cases.floor(), cases.opentelemetry()]
    results = measure(subjects, arguments.rounds)
    import fasttrace

    lines = [
        f"fasttrace {fasttrace.__version__}, CPython {platform.python_version()}, {platform.machine()}",
        f"Thread CPU time of the calling thread, medians of {arguments.rounds} interleaved samples.",
        "",
        *table(results),
    ]
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    missed = failures(results) if arguments.check else []
    for line in missed:
        print("missed:", line, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
