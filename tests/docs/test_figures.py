"""The README's figures are those that docs/performance.md has from the programs that measured them."""

from __future__ import annotations

import re

from manual import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What it costs")[2].partition("\n## ")[0]
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def rows(table: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {line[0]: line[1:] for line in lines[2:]}


def measured(command: str) -> str:
    """What a program printed on Debian's CPython 3.11."""
    found = re.search(rf"<!-- debian-3\.11: {re.escape(command)}.*?-->\n(.*?)<!-- end -->", PERFORMANCE, re.DOTALL)
    assert found is not None, command
    return found[1]


def microseconds(cell: str) -> str:
    """``2,150 ns ±2%`` as the README has it: ``2.1 µs``."""
    value = int(cell.split(" ns")[0].replace(",", "")) / 1000
    return f"{value:.2f} µs" if value < 1 else f"{value:.1f} µs" if value < 9.95 else f"{value:.0f} µs"


def test_spans_cost_what_was_measured() -> None:
    table = rows("| calling thread |" + measured("compare.py").partition("| calling thread |")[2])
    shown = rows(README)
    assert len(shown) >= 4
    for case, figures in shown.items():
        cython, python, floor, sdk = map(microseconds, table[case])
        assert figures == [cython, sdk, python, floor], case


def test_export_costs_what_was_measured() -> None:
    table = rows(measured("export.py"))
    figures = re.findall(r"[\d.]+ µs", README.partition("Sent to a collector")[2])
    assert figures[:2] == [microseconds(table["cython"][1]), microseconds(table["OpenTelemetry SDK"][1])]
