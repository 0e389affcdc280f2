"""``fasttrace map``: the services, and who calls whom, as a tree from those that nobody calls."""

from __future__ import annotations

from typing import Any

from fasttrace.local import bars
from fasttrace.local.routes import errors_cell, format_rate
from fasttrace.local.terminal import QUIET, Pen, Text
from fasttrace.local.text import format_duration

MIN_BAR, MAX_BAR = 8, 40
MAX_LINES = 500


class _Line:
    """A service below its caller: the call's figures; a service seen before is named and not opened again."""

    __slots__ = ("figures", "repeated", "service", "tree")

    def __init__(self, service: str, tree: str, figures: dict[str, Any], repeated: bool) -> None:
        self.service = service
        self.tree = tree
        self.figures = figures
        self.repeated = repeated


def render_map(found: dict[str, Any], pen: Pen) -> list[Text]:
    """A line for each service that is asked from outside, and below it one for each call to another."""
    lines = _lines(found, pen.unicode)
    if not lines:
        return []
    names = [f"{line.tree}{line.service}{_again(line)}" for line in lines]
    rates = any(line.figures["rate"] is not None for line in lines)
    middle = pen.width >= 80
    failures = 11 if middle else 7
    figures_width = 9 + (8 if rates else 0) + failures + (9 if middle else 0) + 9
    name_width = min(max([len("service"), *(pen.cells(name) for name in names)]), pen.width - figures_width)
    heading = f"{pen.pad('service', name_width)}{'calls':>9}" + (f"{'rate':>8}" if rates else "")
    heading += f"{'errors':>{failures}}" + (f"{'p50':>9}" if middle else "") + f"{'p95':>9}"
    bar_width = min(MAX_BAR, pen.width - len(heading) - 1)
    slowest = max(line.figures["p95"] or 0 for line in lines)
    drawn = [pen.line((heading, QUIET))]
    for line in lines:
        figures = line.figures
        tree = pen.fit(line.tree, name_width)
        name = pen.fit(f"{line.service}{_again(line)}", name_width - pen.cells(tree))
        blank = " " * (name_width - pen.cells(tree) - pen.cells(name))
        parts = [(tree, QUIET), (name, QUIET if line.repeated else pen.hue(line.service)), (blank, "")]
        parts.append((f"{figures['calls']:>9,}", ""))
        if rates:
            parts.append((f"{format_rate(figures['rate']):>8}", ""))
        parts.append(errors_cell(figures["errors"], figures["calls"], failures))
        if middle:
            parts.append((f"{_duration(figures['p50']):>9}", ""))
        parts.append((f"{_duration(figures['p95']):>9}", "bold"))
        if bar_width >= MIN_BAR and slowest:
            bar = bars.share_bar(figures["p95"] or 0, slowest, bar_width, pen.unicode)
            parts.append((f" {bar}", pen.hue(line.service)))
        drawn.append(pen.line(*parts))
    return drawn


def _again(line: _Line) -> str:
    return " (above)" if line.repeated else ""


def _duration(ns: int | None) -> str:
    return "-" if ns is None else format_duration(ns)


def _lines(found: dict[str, Any], unicode: bool) -> list[_Line]:
    nodes = {node["service"]: node for node in found["nodes"]}
    below: dict[str, list[dict[str, Any]]] = {service: [] for service in nodes}
    called: set[str] = set()
    for edge in sorted(found["edges"], key=lambda edge: (-edge["calls"], edge["to"])):
        if edge["from"] != edge["to"]:
            below.setdefault(edge["from"], []).append(edge)
            called.add(edge["to"])
    lines: list[_Line] = []
    opened: set[str] = set()
    tops = [service for service in nodes if service not in called]
    # What is only reached through a circle has no beginning: the busiest of them serves as one.
    rest = sorted(nodes, key=lambda service: (-nodes[service]["spans"], service))
    for top in [*tops, *rest]:
        if top in opened:
            continue
        node = nodes[top]
        outside = {**node, "calls": node.get("requests", 0)}
        stack: list[tuple[str, str, str, dict[str, Any]]] = [(top, "", "", outside)]
        while stack and len(lines) < MAX_LINES:
            service, tree, indent, figures = stack.pop()
            repeated = service in opened
            opened.add(service)
            leads_on = repeated and bool(below.get(service))
            lines.append(_Line(service, tree, {"rate": None, "p50": None, **figures}, leads_on))
            if repeated:
                continue
            edges = below.get(service, [])
            for place in range(len(edges) - 1, -1, -1):
                last = place == len(edges) - 1
                branch, pipe = (("└→ ", "   ") if last else ("├→ ", "│  ")) if unicode else (
                    ("`> ", "   ") if last else ("|> ", "|  ")
                )  # fmt: skip
                edge = edges[place]
                stack.append((edge["to"], indent + branch, indent + pipe, edge))
    return lines
