"""What the programs that each guard a few promises share: their options, tables, fresh processes, the answer.

``--check`` leaves with 1 when a promise is missed. ``--quick`` is the reduced form for CI, of some seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

IMPLEMENTATIONS = ("cython", "python")


class Promises:
    """Options, then what was found of each promise, then the exit code.

    ``counts`` are the program's own numbers: name, help, default and what ``--quick`` makes of it; they become
    attributes. A program that starts itself again with ``--child`` finds what it was given in ``child``.
    """

    def __init__(self, doc: str | None, **counts: tuple[str, int, int]) -> None:
        assert doc is not None
        parser = argparse.ArgumentParser(description=doc.splitlines()[0])
        parser.add_argument("--check", action="store_true", help="exit with 1 when a promise is missed")
        parser.add_argument("--quick", action="store_true", help="the reduced form for CI")
        parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
        for name, (text, full, _) in counts.items():
            parser.add_argument(f"--{name}", type=int, help=f"{text} (default: {full:,})")
        arguments = parser.parse_args()
        self.quick: bool = arguments.quick
        self.child: list[str] | None = arguments.child
        self._check: bool = arguments.check
        self._missed: list[str] = []
        for name, (_, full, reduced) in counts.items():
            given = getattr(arguments, name)
            setattr(self, name, given if given is not None else reduced if self.quick else full)

    def at_most(self, what: str, found: float, bound: float, unit: str = "") -> None:
        """``found`` is promised to be no larger."""
        self._hold(found <= bound, f"{what}: {found:,.2f}{unit}, promised is at most {bound:,g}{unit}")

    def at_least(self, what: str, found: float, bound: float, unit: str = "") -> None:
        """``found`` is promised to be no smaller."""
        self._hold(found >= bound, f"{what}: {found:,.2f}{unit}, promised is at least {bound:,g}{unit}")

    def _hold(self, kept: bool, line: str) -> None:
        print("kept:  " if kept else "missed:", line)
        if not kept:
            self._missed.append(line)

    def exit_code(self) -> int:
        """1 when something is missed and ``--check`` was given."""
        for line in self._missed if self._check else ():
            print("missed:", line, file=sys.stderr)
        return 1 if self._missed and self._check else 0


def heading() -> str:
    """The interpreter and the machine, in one line."""
    gil = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", without a GIL"
    return f"CPython {platform.python_version()}{gil}, {platform.machine()}, {os.cpu_count()} cores\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """The median of the ratios, round by round: samples of a round are taken close together."""
    return statistics.median(one / other for one, other in zip(of, to, strict=True))


def fresh(script: str, *arguments: object) -> Any:
    """What a new process of this program answers: JSON on its standard output."""
    command = [sys.executable, script, "--child", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


@cache
def compiled(module: str) -> Any:
    """A module of the folder ``floor``, built beside its source on first use."""
    import pyximport
    import setuptools  # noqa: F401 - Pythons since 3.12 have no distutils but its

    folder = Path(__file__).parent / "floor"
    sys.path.insert(0, str(folder))
    importers = pyximport.install(build_dir=str(folder / "build"), language_level=3)
    try:
        return import_module(module)
    finally:
        pyximport.uninstall(*importers)


class Core:
    """One implementation's tracer, and the way of its spans to encoded requests, on the calling thread."""

    def __init__(self, name: str) -> None:
        from fasttrace import _core

        implementation, _reason, modules = _core.load(name)
        assert implementation == name
        scope = _core.InstrumentationScope("bench")
        self._otlp = modules["otlp"]
        self._ring = modules["ring"].Ring(1 << 20, 1 << 30)
        self._recorder = modules["span"].Recorder(self._ring)
        self._recorder.consumer_running = True
        self._recorder.pin()  # as that of the process
        self._framing = self._otlp.encode_attributes({"service.name": "bench"}), [(self._otlp.encode_scope(scope), "")]
        self.tracer = modules["span"].Tracer(scope, self._recorder)

    def drain(self) -> None:
        """Bring what has ended to bytes; a dropped span voids the sample."""
        dropped = {key: value for key, value in self._recorder.counters().items() if key.startswith("dropped_")}
        assert not any(dropped.values()), dropped
        while records := self._ring.take(512, 1 << 20):
            self._otlp.assemble(records, *self._framing)
            self._ring.release(self._otlp.count_records(records), len(records))


def make_spans(tracer: Any, count: int) -> None:
    """So many spans with 4 attributes.

    It stands in a module, and its tracer is an argument: CPython 3.13 without a GIL has threads meet at each use of a
    constant of the program itself, and at each look at a variable of a function around.
    """
    for number in range(count):
        with tracer.start_as_current_span("GET /orders/{id}") as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/orders/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("order.number", number)


def choose(name: str) -> None:
    """Load one of our implementations, before fasttrace is imported; nothing for the names of others."""
    if name in IMPLEMENTATIONS:
        os.environ["FASTTRACE_IMPL"] = name
