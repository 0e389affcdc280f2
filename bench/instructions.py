"""Instructions per call of the hot cases, since times are noisy: ``python bench/instructions.py``.

Counted by ``valgrind --tool=callgrind``: one process runs every case so many and twice so many times, and the
difference is the calls' alone. A call of ``getppid``, which nothing else here makes, tells callgrind to write down what
it has and to begin at nought. Instructions say nothing about cache misses, and valgrind's clock is a system call, of
which the kernel's part is not counted.

    python bench/instructions.py [--check] [--write] [--markdown FILE]

``--check`` exits with 1 when the compiled core takes more than 3 % over ``instructions.json``, which has the counts by
Python and processor; ``--write`` writes those of this one anew. Compare like with like: they depend on the compiler.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report
from subjects import floor, ours

HOT = (
    "span",
    "span, 4 attributes",
    "span, 4 attributes and an event",
    "span with an exception",
    "child",
    "request of 6 spans",
    "unsampled root",
    "unsampled child",
    "set_attribute",
    "extract",
    "inject",
)
# How many calls once is.
CALLS = {"cython": 100, "python": 20, "floor": 100}
SUBJECTS = tuple(CALLS)
TOLERANCE = 0.03
MAXIMA = Path(__file__).parent / "instructions.json"
Counts = dict[str, dict[str, int]]


def child() -> None:
    """Run the cases, each warmed up, with a mark before and after; valgrind watches."""
    for subject in (ours.make("cython"), ours.make("python"), floor.make()):
        for case in HOT:
            if case not in subject.loops:
                continue
            loop = subject.loops[case]
            once = CALLS[subject.name]
            for calls in (once, once, 2 * once):
                subject.drain()
                gc.collect()
                os.getppid()
                loop(range(calls))
                os.getppid()


def count(folder: Path) -> Counts:
    """Instructions of one call, by case and subject."""
    output = folder / "callgrind.out"
    marks = [f"--dump-before={name}" for name in ("getppid", "__getppid")]
    command = ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={output}", *marks]
    built = str(Path(floor.compiled().__file__).parent)  # building is nothing that is counted
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": built}
    subprocess.run([*command, sys.executable, __file__, "--child"], check=True, env=environment)
    # One before the first mark, then what is between two: loops and what is between them, in turn.
    found = [_total(Path(f"{output}.{number}")) for number in range(2, len(list(folder.iterdir())), 2)]
    counts: Counts = {case: {} for case in HOT}
    loops = iter(found)
    for name in SUBJECTS:
        for case in HOT:
            if name == "floor" and case in ("extract", "inject"):
                continue
            _warm, once, twice = next(loops), next(loops), next(loops)
            counts[case][name] = round((twice - once) / CALLS[name])
    assert next(loops, None) is None, "callgrind wrote more than there were loops"
    return counts


def _total(dump: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", dump.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    assert found is not None, f"{dump} has no sum"
    return int(found[1])


def key() -> str:
    return f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}-{platform.machine()}"


def table(counts: Counts) -> list[str]:
    """A Markdown table."""
    rows = []
    for case, found in counts.items():
        cells = [f"{found[name]:,}" if name in found else "–" for name in SUBJECTS]
        over = report.times(found["cython"] / found["floor"] if "floor" in found else None, 2)
        rows.append((case, *cells, over))
    return report.table(("instructions", *SUBJECTS, "cython / floor"), rows)


def failures(counts: Counts, maxima: dict[str, int]) -> list[str]:
    """The cases that take more than they may."""
    return [
        f"{case}: {found['cython']:,} instructions, {maxima[case]:,} are allowed"
        for case, found in counts.items()
        if found["cython"] > maxima[case] * (1 + TOLERANCE)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 when a case takes more than 3 %% over its maximum"
    )
    parser.add_argument("--write", action="store_true", help=f"write {MAXIMA.name}")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child()
        return 0
    if shutil.which("valgrind") is None:
        print("skipped, needs valgrind")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        counts = count(Path(folder))
    report.give([f"{report.machine()}.", "", *table(counts)], arguments.markdown)
    known = json.loads(MAXIMA.read_text(encoding="utf-8")) if MAXIMA.exists() else {}
    if arguments.write:
        known[key()] = {case: found["cython"] for case, found in counts.items()}
        MAXIMA.write_text(json.dumps(dict(sorted(known.items())), indent=4) + "\n", encoding="utf-8")
    maxima = known.get(key())
    if maxima is None:
        print(f"{MAXIMA.name} has nothing for {key()}: nothing to compare with")
        return 0
    missed = failures(counts, maxima) if arguments.check else []
    for line in missed:
        print("missed:", line, file=sys.stderr)
    for case, found in counts.items():
        if found["cython"] < maxima[case] * (1 - TOLERANCE):
            print(f"{case}: {found['cython']:,} instead of {maxima[case]:,}: keep it with --write")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
