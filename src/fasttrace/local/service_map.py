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
    """A service below its caller: the call's figures, where it is first named with its own time.

    ``again`` is a service that is opened elsewhere.
    """

    __slots__ = ("again", "figures", "service", "tree")

    def __init__(self, service: str, tree: str, figures: dict[str, Any], again: bool) -> None:
        self.service = service
        self.tree = tree
        self.figures = figures
        self.again = again


def render_map(found: dict[str, Any], pen: Pen) -> list[Text]:
    """A line for each service that is asked from outside, and below it one for each call to another.

    ``self`` and the bar are the time that a service takes itself, whoever calls it, where it is first named.
    """
    lines = _lines(found, pen.unicode)
    if not lines:
        return []
    pen.learn(line.service for line in lines)
    names = [f"{line.tree}{line.service}{_again(line)}" for line in lines]
    columns = _columns(lines, pen)
    name_width = min(max([len("service"), *(pen.cells(name) for name in names)]), pen.width - sum(columns.values()))
    heading = pen.pad("service", name_width) + "".join(f"{name:>{width}}" for name, width in columns.items())
    bar_width = min(MAX_BAR, pen.width - len(heading) - 1)
    most = max(line.figures.get("self_ns") or 0 for line in lines)
    drawn = [pen.line((heading, QUIET))]
    for line in lines:
        figures = line.figures
        tree = pen.fit(line.tree, name_width)
        name = pen.fit(f"{line.service}{_again(line)}", name_width - pen.cells(tree))
        blank = " " * (name_width - pen.cells(tree) - pen.cells(name))
        parts = [(tree, QUIET), (name, QUIET if line.again else pen.hue(line.service)), (blank, "")]
        for column, width in columns.items():
            if column == "errors":
                parts.append(errors_cell(figures["errors"], figures["calls"], width))
            else:
                parts.append((f"{_cell(figures, column):>{width}}", "bold" if column == "self" else ""))
        own = figures.get("self_ns")
        if bar_width >= MIN_BAR and own:
            parts.append((f" {bars.share_bar(own, most, bar_width, pen.unicode)}", pen.hue(line.service)))
        drawn.append(pen.line(*parts))
    return drawn


def _columns(lines: list[_Line], pen: Pen) -> dict[str, int]:
    """The columns that there is room for, and their widths."""
    columns = {"calls": 9, "rate": 8, "errors": 7 if pen.width < 80 else 11, "p50": 9, "p95": 9, "self": 9}
    if pen.width < 80 or all(line.figures["rate"] is None for line in lines):
        del columns["rate"]
    if pen.width < 100:
        del columns["p50"]
    return columns


def _cell(figures: dict[str, Any], column: str) -> str:
    if column == "calls":
        return f"{figures['calls']:,}"
    if column == "rate":
        return format_rate(figures["rate"])
    value = figures.get("self_ns" if column == "self" else column)
    return "-" if value is None else format_duration(value)


def _again(line: _Line) -> str:
    return " (again)" if line.again else ""


def _lines(found: dict[str, Any], unicode: bool) -> list[_Line]:
    """Depth first, the busiest call first; a service is opened where it is called most, and named elsewhere."""
    nodes = {node["service"]: node for node in found["nodes"]}
    below: dict[str, list[dict[str, Any]]] = {service: [] for service in nodes}
    home: dict[str, str] = {}
    for edge in sorted(found["edges"], key=lambda edge: (-edge["calls"], edge["to"])):
        if edge["from"] != edge["to"]:
            below.setdefault(edge["from"], []).append(edge)
            home.setdefault(edge["to"], edge["from"])
    lines: list[_Line] = []
    opened: set[str] = set()
    tops = [service for service in nodes if service not in home]
    # What is only reached through a circle has no beginning: the busiest of them serves as one.
    rest = sorted(nodes, key=lambda service: (-nodes[service]["spans"], service))
    for top in [*tops, *rest]:
        if top in opened:
            continue
        node = nodes[top]
        outside = {**node, "calls": node.get("requests", 0), "errors": node.get("failed", node["errors"])}
        stack: list[tuple[str, str | None, str, str, dict[str, Any]]] = [(top, None, "", "", outside)]
        while stack and len(lines) < MAX_LINES:
            service, caller, tree, indent, figures = stack.pop()
            edges = below.get(service, [])
            opens = service not in opened and caller in (None, home.get(service))
            own = nodes.get(service, {}).get("self_ns") if opens else None
            line = _Line(
                service, tree, {"rate": None, "p50": None, **figures, "self_ns": own}, bool(edges) and not opens
            )
            lines.append(line)
            if not opens:
                continue
            opened.add(service)
            for place in range(len(edges) - 1, -1, -1):
                last = place == len(edges) - 1
                branch = ("└→ " if last else "├→ ") if unicode else ("`> " if last else "|> ")
                pipe = "   " if last else "│  " if unicode else "|  "
                stack.append((edges[place]["to"], service, indent + branch, indent + pipe, edges[place]))
    return lines
