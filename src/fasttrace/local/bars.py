"""One bar on the time axis: half a cell is the smallest thing drawn."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from fasttrace.local.layout import Row
from fasttrace.local.text import format_duration
from fasttrace.local.waits import is_pool_wait

NONE, OFF_PATH, ON_PATH = 0, 1, 2

_UNICODE = {
    (NONE, NONE): " ",
    (OFF_PATH, NONE): "╴",
    (NONE, OFF_PATH): "╶",
    (OFF_PATH, OFF_PATH): "─",
    (ON_PATH, NONE): "╸",
    (NONE, ON_PATH): "╺",
    (ON_PATH, ON_PATH): "━",
    (OFF_PATH, ON_PATH): "╼",
    (ON_PATH, OFF_PATH): "╾",
}
_ASCII = {NONE: " ", OFF_PATH: "-", ON_PATH: "="}
_WAIT = {True: {OFF_PATH: "░", ON_PATH: "▒"}, False: {OFF_PATH: ":", ON_PATH: "%"}}


class Axis:
    """The time from ``start_ns`` to ``end_ns`` on ``width`` cells."""

    __slots__ = ("end_ns", "start_ns", "width")

    def __init__(self, start_ns: int, end_ns: int, width: int) -> None:
        self.start_ns: int = start_ns
        self.end_ns: int = end_ns
        self.width: int = width

    def halves(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """The half cells [first, last) that an interval covers, at least one, inside the axis."""
        span_ns = max(1, self.end_ns - self.start_ns)
        cells = 2 * self.width
        first = min(cells - 1, (start_ns - self.start_ns) * cells // span_ns)
        last = -((self.start_ns - end_ns) * cells // span_ns)
        return first, max(first + 1, min(cells, last))

    def scale(self) -> str:
        """The axis itself: 0 on the left, round times between, the full time on the right."""
        total_ns = self.end_ns - self.start_ns
        labels = [" "] * self.width
        full = format_duration(total_ns)
        _write(labels, 0, "0")
        _write(labels, self.width - len(full), full)
        step = _round_step(total_ns, self.width)
        tick, free = step, 3
        while step and tick < total_ns:
            text = format_tick(tick, step, total_ns)
            at = tick * self.width // total_ns
            if at >= free and at + len(text) < self.width - len(full) - 1:
                _write(labels, at, text)
                free = at + len(text) + 2
            tick += step
        return "".join(labels)


def _write(labels: list[str], at: int, text: str) -> None:
    for offset, char in enumerate(text):
        if 0 <= at + offset < len(labels):
            labels[at + offset] = char


def _round_step(total_ns: int, width: int) -> int:
    """A step of 1, 2 or 5 times a power of ten that leaves each label about 10 cells."""
    if total_ns <= 0:
        return 0
    rough = max(1.0, total_ns * 10 / width)
    power: int = 10 ** int(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough or factor == 10)


def format_tick(ns: int, step_ns: int, total_ns: int) -> str:
    """A round time in the unit of the total, without superfluous digits: ``0.5 s``, ``20 ms``."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if total_ns >= size:
            return f"{ns / size:.1f} {unit}" if step_ns % size else f"{ns // size} {unit}"
    return f"{ns} ns"


def path_owners(rows: Sequence[Row], axis: Axis) -> list[Row | None]:
    """For each half cell the row that holds most of the critical path there: drawn bold in one row only."""
    size = max(1, axis.end_ns - axis.start_ns)
    cells = 2 * axis.width
    owners: list[Row | None] = [None] * cells
    most = [0] * cells
    for row in rows:
        held: dict[int, int] = {}
        for node in row.nodes:
            for start_ns, end_ns in node.path:
                for cell in range(*axis.halves(start_ns, end_ns)):
                    low = axis.start_ns + cell * size // cells
                    high = axis.start_ns + (cell + 1) * size // cells
                    held[cell] = held.get(cell, 0) + min(end_ns, high) - max(start_ns, low)
        for cell, time_ns in held.items():
            if time_ns > most[cell]:
                owners[cell], most[cell] = row, time_ns
    return owners


def draw(row: Row, axis: Axis, owners: Sequence[Row | None], unicode: bool) -> list[tuple[str, bool]]:
    """A row's bar as cells (character, on the critical path); blank for a parent that was not received."""
    halves = [NONE] * (2 * axis.width)
    waiting = bool(row.nodes) and is_pool_wait(row.first.span)
    for node in row.nodes:
        first, last = axis.halves(node.start_ns, node.end_ns)
        # What is too short for the scale is bold when it is on the path at all.
        short = last - first <= 2 and 2 * node.path_time_ns >= node.duration_ns > 0
        for half in range(first, last):
            if short or owners[half] is row:
                halves[half] = ON_PATH
            elif halves[half] == NONE:
                halves[half] = OFF_PATH
    cells = []
    for left, right in zip(halves[::2], halves[1::2], strict=True):
        strongest = max(left, right)
        if strongest == NONE:
            char = " "
        elif waiting:
            char = _WAIT[unicode][strongest]
        else:
            char = _UNICODE[left, right] if unicode else _ASCII[strongest]
        cells.append((char, strongest == ON_PATH))
    return cells


def share_bar(part: float, whole: float, width: int, unicode: bool) -> str:
    """A horizontal bar for a share, in eighths of a cell, or ``#`` without Unicode."""
    share = min(1.0, part / whole) if whole > 0 else 0.0
    if not unicode:
        return "#" * round(share * width)
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def glyphs(unicode: bool) -> Sequence[str]:
    """The signs of the legend: on the path, off the path, waiting."""
    return ("━", "─", "▒") if unicode else ("=", "-", "%")
