"""``fasttrace bench``: what tracing costs on this machine, in ten seconds."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from fasttrace import benchmark

HEADINGS = {"cython": "cython", "python": "python", benchmark.OPENTELEMETRY: "OpenTelemetry SDK"}


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print a table or a JSON object."""
    if not arguments.json and sys.stderr.isatty():
        print(f"measuring for {arguments.seconds:g} s ...", end="\r", file=sys.stderr, flush=True)
    report = benchmark.report(arguments.seconds)
    if arguments.json:
        json.dump(report, sys.stdout, indent=2)
        print()
        return 0
    chosen = report["implementation"]
    print(f"fasttrace {report['version']}, Python {report['python']}, {report['machine']}")
    print(f"A program that is started like this one loads {chosen['name']}: {chosen['reason']}.")
    print()
    _draw([_heading(report), *_rows(report)])
    print()
    for line in _verdict(report):
        print(line)
    return 0


def _heading(report: dict[str, Any]) -> list[str]:
    first, *others = report["subjects"]
    cells = ["CPU, microseconds", HEADINGS[first]]
    for name in others:
        cells += [HEADINGS[name], f"x {HEADINGS[first]}"]
    return cells


def _rows(report: dict[str, Any]) -> list[list[str]]:
    rows = []
    for case in report["cases"]:
        first, *others = report["subjects"]
        cells = [case["name"], _microseconds(case[first])]
        for name in others:
            cells += [_microseconds(case[name]), f"{case[name]['ratio']:.1f}"]
        rows.append(cells)
    return rows


def _microseconds(figure: dict[str, float]) -> str:
    """The median, and half of what lies between the quartiles."""
    return f"{figure['microseconds']:.2f} ±{(figure['high'] - figure['low']) / 2:.2f}"


def _verdict(report: dict[str, Any]) -> list[str]:
    name = report["implementation"]["name"]
    cases = {case["name"]: case[name]["microseconds"] for case in report["cases"]}
    span, request = cases[benchmark.SPAN], cases[benchmark.REQUEST]
    lines = [
        f"With {name} a span costs {span:.2f} us here, a request of 6 spans with 2 attributes each {request:.1f} us:",
        f"at 1,000 requests a second {request / 10:.2g} % of one core, encoded, without sending.",
    ]
    lines += [f"{HEADINGS[absent]} is not measured: {why}" for absent, why in report["absent"].items()]
    lines.append(f"Medians of {report['rounds']} turns of each, ± half of the distance between the quartiles.")
    return lines


def _draw(rows: list[list[str]]) -> None:
    """A table by rich where it is installed, else columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ModuleNotFoundError:
        for name, *figures in rows:
            right = [cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True)]
            print("  ".join([name.ljust(widths[0]), *right]))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if column else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    Console(width=sum(widths) + 3 * len(widths)).print(table)
