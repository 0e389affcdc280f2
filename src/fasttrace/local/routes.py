"""``fasttrace top``: what the services were asked for, and what of it takes the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fasttrace.local import bars
from fasttrace.local.terminal import ERROR, QUIET, Pen, Text
from fasttrace.local.text import format_duration, format_percent, plural

Route = dict[str, Any]

# Name of the order, its heading, and what comes first.
ORDERS: dict[str, Callable[[Route], Any]] = {
    "time": lambda row: row["total_ns"],
    "self": lambda row: row.get("self_ns") or 0,
    "p95": lambda row: row["p95"] or 0,
    "errors": lambda row: (row["errors"], row["errors"] / max(1, row["count"])),
    "calls": lambda row: row["count"],
}
# What does not fit goes in this order.
_OPTIONAL = ("p99", "rate", "p50", "time")
_WIDTHS = {"calls": 8, "rate": 8, "errors": 11, "p50": 9, "p95": 9, "p99": 9, "time": 9, "self": 9}
# A terminal that is this narrow has no room for shares.
_NARROW = 80
MIN_BAR, MAX_BAR = 6, 40


def in_order(routes: Sequence[Route], order: str) -> list[Route]:
    """Routes by what was chosen, the largest first; equal ones by their time in all."""
    key = ORDERS[order]
    return sorted(routes, key=lambda row: (key(row), row["total_ns"]), reverse=True)


def render_routes(routes: Sequence[Route], pen: Pen, order: str, chosen: int | None = None) -> list[Text]:
    """A heading and a line for each route, in the order given; ``chosen`` is the line that is pointed at.

    The bar is the share of what they are ordered by, of the largest (for ``p95``) or of all.
    """
    pen.learn(row["service"] for row in routes)
    widths = {**_WIDTHS, "errors": 7} if pen.width < _NARROW else _WIDTHS
    columns = _columns(routes, pen, order, widths)
    fixed = sum(widths[column] for column in columns)
    longest_service = max([len("service"), *(pen.cells(row["service"]) for row in routes)])
    service_width = min(longest_service, 10 if pen.width < 80 else 16)
    longest_route = max([len("route"), *(pen.cells(row["route"]) for row in routes)])
    room = pen.width - fixed - service_width - 1
    bar_width = min(MAX_BAR, room - min(longest_route, max(20, room // 2)) - 1)
    bar_width = bar_width if bar_width >= MIN_BAR else 0
    route_width = min(longest_route, room - (bar_width + 1 if bar_width else 0))
    heading = [(f"{pen.pad('service', service_width)} {pen.pad('route', route_width)}", QUIET)]
    for column in columns:
        text = f"{column:>{widths[column]}}"
        heading.append((text, "bold" if order == column else QUIET))
    lines = [pen.line(*heading)]
    sizes = [_size(row, order) for row in routes]
    whole = max(sizes, default=0)
    for place, row in enumerate(routes):
        style = "reverse" if place == chosen else ""
        parts = [
            (pen.pad(row["service"], service_width), f"{pen.hue(row['service'])} {style}".strip()),
            (" ", style),
            (pen.pad(row["route"], route_width), style),
        ]
        parts += [_cell(row, column, order, widths[column]) for column in columns]
        if bar_width:
            bar = bars.share_bar(sizes[place], whole, bar_width, pen.unicode)
            parts.append((f" {bar}", pen.hue(row["service"])))
        lines.append(pen.line(*parts))
    return lines


def _size(row: Route, order: str) -> float:
    value = ORDERS[order](row)
    return float(value[0] if isinstance(value, tuple) else value)


def _columns(routes: Sequence[Route], pen: Pen, order: str, widths: dict[str, int]) -> list[str]:
    columns = ["calls", "rate", "errors", "p50", "p95", "p99", "time", "self"]
    for missing, key in (("self", "self_ns"), ("rate", "rate")):
        if not any(row.get(key) is not None for row in routes):
            columns.remove(missing)
    wanted = 26 if pen.width < _NARROW else 44
    for column in _OPTIONAL:
        if pen.width - sum(widths[name] for name in columns) >= wanted:
            break
        if column in columns and column != order:
            columns.remove(column)
    return columns


def _cell(row: Route, column: str, order: str, width: int) -> tuple[str, str]:
    style = "bold" if column == order else ""
    if column == "calls":
        return f"{row['count']:>{width},}", style
    if column == "rate":
        return f"{format_rate(row['rate']):>{width}}", style
    if column == "errors":
        return errors_cell(row["errors"], row["count"], width)
    value = row[{"time": "total_ns", "self": "self_ns"}.get(column, column)]
    return f"{'-' if value is None else format_duration(value):>{width}}", style


def errors_cell(errors: int, calls: int, width: int) -> tuple[str, str]:
    """Failures and, where there is room, their share: ``14   1 %``."""
    if not errors:
        return f"{'-':>{width}}", QUIET
    text = f"{errors:,} {format_percent(errors, calls):>5}"
    return (text if len(text) < width else f"{errors:,}").rjust(width), ERROR


def format_rate(per_second: float | None) -> str:
    """Calls per second, or per minute where that is less than one: ``12/s``, ``3/min``."""
    if per_second is None:
        return "-"
    if per_second >= 9.95:
        return f"{per_second:,.0f}/s"
    if per_second >= 1:
        return f"{per_second:.1f}/s"
    per_minute = 60 * per_second
    return f"{per_minute:.0f}/min" if per_minute >= 1 else "<1/min" if per_minute > 0 else "-"


def routes_title(routes: Sequence[Route], order: str, what: str) -> str:
    """``1,240 requests, 14 errors, 6 routes · by p95 · .fasttrace/spool``."""
    requests = sum(row["count"] for row in routes)
    errors = sum(row["errors"] for row in routes)
    failed = f", {plural(errors, 'error')}" if errors else ""
    return f"{plural(requests, 'request')}{failed}, {plural(len(routes), 'route')} · by {order} · {what}"
