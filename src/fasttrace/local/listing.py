"""The list of traces in the terminal: one line each, newest last, as in a log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fasttrace.local.index import Listed
from fasttrace.local.store import Summary
from fasttrace.local.terminal import ERROR, QUIET, Pen, Text
from fasttrace.local.text import format_duration, plural

ID_WIDTH = 10
# Less of the path than this says nothing.
MIN_PATH_WIDTH = 8


def render_list(summaries: Sequence[Summary | Listed], pen: Pen) -> list[Text]:
    """Traces as lines, in the order given, each cut to the pen's width."""
    longest = max((pen.cells(_name(summary)) for summary in summaries), default=0)
    name_width = min(longest, 18 if pen.width < 80 else 40)
    return [render_summary(summary, pen, name_width) for summary in summaries]


def render_summary(summary: Summary | Listed, pen: Pen, name_width: int) -> Text:
    """``12:03:41  200  2.31 s  POST /checkout  gateway→checkout→inventory  26 spans  ✖ 2  4bf92f3577``.

    Where there is not enough room, the path goes first, then the number of spans.
    """
    failed = summary.status == "error" or summary.status.startswith("5")
    time = datetime.fromtimestamp(summary.start_ns / 1e9).strftime("%H:%M:%S")
    left = [
        (f"{time}  ", QUIET),
        (f"{pen.fit(summary.status, 5):>5}  ", ERROR if failed else ""),
        (f"{format_duration(summary.duration_ns):>7}  ", "bold"),
    ]
    right = [
        (f"  {plural(summary.spans, 'span'):>8}", QUIET),
        (f"  ✖ {summary.errors:,}".ljust(5) if summary.errors else " " * 5, ERROR if summary.errors else ""),
        (f"  {summary.trace_id[:ID_WIDTH]}", QUIET),
    ]
    fixed = sum(len(text) for text, _ in left + right)
    if pen.width - fixed < name_width:
        fixed -= len(right.pop(0)[0])
    name_width = min(name_width, pen.width - fixed)
    room = pen.width - fixed - name_width
    path = ("→" if pen.unicode else ">").join(summary.services)
    middle = "  " + pen.pad(path, room - 2) if room - 2 >= MIN_PATH_WIDTH else " " * max(0, room)
    return pen.line(*left, (pen.pad(_name(summary), name_width), ""), (middle, ""), *right)


def _name(summary: Summary | Listed) -> str:
    """The root's name; a question mark before it until the root has been received."""
    return summary.name if summary.complete else f"? {summary.name}"
