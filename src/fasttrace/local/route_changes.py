"""The routes of two groups of traces, side by side: ``fasttrace diff``'s second table."""

from __future__ import annotations

from typing import Any

from fasttrace.local.terminal import ERROR, QUIET, Pen, Text
from fasttrace.local.text import format_change, format_duration, plural

SLOWER, FASTER = "yellow", "green"
MAX_ROUTES = 10
_CALLS, _TIME, _CHANGE = 9, 9, 10


def render_route_changes(routes: list[dict[str, Any]], pen: Pen) -> list[Text]:
    """A heading and a line for each route of ``compare_sides``, in its order, the largest difference first.

    All requests of both groups count, also those of traces that are too many to be aligned. ``change`` is that of the
    own time of one request. Without room the numbers of calls are left out.
    """
    shown = routes[:MAX_ROUTES]
    if not shown:
        return []
    pen.learn(row["service"] for row in routes)
    calls = pen.width >= 80
    service_width = min(max(len("service"), *(pen.cells(row["service"]) for row in shown)), 16 if calls else 10)
    room = pen.width - service_width - 1 - 2 * _TIME - _CHANGE - (2 * _CALLS if calls else 0)
    longest = max(len("route"), *(pen.cells(row["route"]) + len(_tail(row)) for row in shown))
    name_width = min(longest, room)
    heading = f"{pen.pad('service', service_width)} {pen.pad('route', name_width)}"
    if calls:
        heading += f"{'calls a':>{_CALLS}}{'calls b':>{_CALLS}}"
    lines = [pen.line((f"{heading}{'p95 a':>{_TIME}}{'p95 b':>{_TIME}}{'change':>{_CHANGE}}", QUIET))]
    for row in shown:
        change, tail = row["change"], _tail(row)
        name = pen.fit(row["route"], name_width - len(tail))
        figures = [f"{_figure(row, side, 'count'):>{_CALLS}}" for side in "ab"] if calls else []
        figures += [f"{_figure(row, side, 'p95'):>{_TIME}}" for side in "ab"]
        changed = "-" if change is None else format_change(change)
        style = SLOWER if change and change > 0 else FASTER if change else QUIET
        lines.append(
            pen.line(
                (pen.pad(row["service"], service_width), pen.hue(row["service"])),
                (f" {name}", ""),
                (tail, ERROR if errors_of(row["b"]) > errors_of(row["a"]) else "bold"),
                (" " * (name_width - pen.cells(name) - len(tail)), ""),
                ("".join(figures), ""),
                (f"{changed:>{_CHANGE}}", style),
            )
        )
    if len(routes) > len(shown):
        lines.append(pen.line((plural(len(routes) - len(shown), "other route"), QUIET)))
    return lines


def _figure(row: dict[str, Any], side: str, name: str) -> str:
    if row[side] is None:
        return "-"
    value: int = row[side][name]
    return f"{value:,}" if name == "count" else format_duration(value)


def errors_of(side: dict[str, int] | None) -> int:
    """The failures of one side, none where it does not have the row."""
    return side["errors"] if side else 0


def failures(row: dict[str, Any]) -> str:
    """`` ✖ 3→91`` where the sides differ in it."""
    a, b = errors_of(row["a"]), errors_of(row["b"])
    return f" ✖ {a}→{b}" if a != b else ""


def _tail(row: dict[str, Any]) -> str:
    """What must not be cut: that only one side has it, and failures where they differ."""
    return (" new" if row["a"] is None else " gone" if row["b"] is None else "") + failures(row)
