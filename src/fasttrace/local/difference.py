"""``fasttrace diff``: two traces, or two groups of them, and what of the second takes longer."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from fasttrace.local import bars
from fasttrace.local.route_changes import FASTER, SLOWER, errors_of, failures, render_route_changes
from fasttrace.local.terminal import ERROR, QUIET, Pen, Text
from fasttrace.local.text import clean, format_change, format_duration, format_percent, named, plural

# A row that changed by less than this share of the largest change is counted, not shown.
MIN_CHANGE_SHARE = 0.02
MIN_BAR, MAX_BAR = 8, 30
_TIME, _CHANGE = 9, 10

Found = dict[str, Any]


def render_difference(found: Found, pen: Pen) -> list[Text]:
    """Both sides in brief, a line for each place in the trees that changed, and a sentence.

    Times of a row are its own, without what is below it, so that the
    changes add up; rows that stay the same are shown only where something below them changed. Of two groups the routes
    of all their traces follow.
    """
    shown = _changed(found)
    lines = [*_heads(found, pen), pen.line()]
    if shown:
        lines += _table(found, shown, pen)
        hidden = len(found["rows"]) - len(shown)
        if hidden:
            lines.append(pen.line((f"{plural(hidden, 'other row')} as before, or nearly", QUIET)))
        lines.append(pen.line())
    if found.get("routes"):
        lines += [*render_route_changes(found["routes"], pen), pen.line()]
    return lines + [pen.line((line, "bold")) for line in wrap(pen.text(sentence(found)), pen.width)]


def sentence(found: Found) -> str:
    """What has changed, in words: how much, and what the largest part of it is."""
    change, before = found["change"], found["a"]["duration_ns"]
    if not before and not change:
        return "Neither takes any time."
    what = "takes as long as a" if not change else f"is {format_duration(abs(change))} {_word(change)}"
    share = f" ({_share(change, before)})" if before and change else ""
    largest = [
        row for row in (found["rows"][place] for place in found["largest"]) if _sign(row["change"]) == _sign(change)
    ]
    if not largest or not change:
        return f"b {what}{share}."
    first = largest[0]
    new = ", which is new" if first["a"] is None else ", which is gone" if first["b"] is None else ""
    part = "most of it" if 2 * first["change"] / change >= 1 else "the largest part"
    return (
        f"b {what}{share}: {part} is {clean(first['service'])} {named(first['name'])}, "
        f"{format_change(first['change'])}{new}."
    )


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _word(change: int) -> str:
    return "slower" if change > 0 else "faster"


def _share(change: int, before: int) -> str:
    if change > before:
        return f"{(before + change) / before:.3g} times as long"
    return f"{'+' if change > 0 else '-'}{format_percent(abs(change), before)}"


def _least(found: Found) -> int:
    """The smallest change that is one."""
    return max(1, int(MIN_CHANGE_SHARE * max((abs(row["change"]) for row in found["rows"]), default=0)))


def _changed(found: Found) -> list[int]:
    """The rows worth a line, and those above them; in tree order."""
    rows = found["rows"]
    least = _least(found)
    shown: set[int] = set()
    above: list[int] = []
    for place, row in enumerate(rows):
        del above[row["depth"] :]
        above.append(place)
        one_sided = row["a"] is None or row["b"] is None
        if abs(row["change"]) >= least or one_sided or errors_of(row["a"]) != errors_of(row["b"]):
            shown.update(above)
    return sorted(shown)


def _heads(found: Found, pen: Pen) -> Iterator[Text]:
    heads = [found[sign] for sign in "ab"]
    titles = [f"{head['name']}  {head['trace_id'][:10]}" if "trace_id" in head else head["name"] for head in heads]
    columns = [_figures(head)[: 3 if pen.width < 80 else 4] for head in heads]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    errors = [_failures(head) for head in heads]
    room = pen.width - 3 - sum(widths) - 2 * len(widths) - max(map(len, errors))
    title_width = min(room, max(map(pen.cells, titles)))
    for sign, title, figures, failed in zip("ab", titles, columns, errors, strict=True):
        padded = "".join(f"  {figure:>{width}}" for figure, width in zip(figures, widths, strict=True))
        yield pen.line((f"{sign}  ", "bold"), (pen.pad(title, title_width), ""), (padded, "bold"), (failed, ERROR))


def _figures(head: dict[str, Any]) -> list[str]:
    if "trace_id" in head:
        return [format_duration(head["duration_ns"]), plural(head["spans"], "span")]
    times = [f"{key} {format_duration(head[key])}" for key in ("p50", "p95")]
    return [plural(head["traces"], "trace"), *times, f"mean {format_duration(head['duration_ns'])}"]


def _failures(head: dict[str, Any]) -> str:
    if not head["errors"]:
        return ""
    return f"  {plural(head['errors'], 'error')}" if "trace_id" in head else f"  {head['errors']:,} failed"


def _table(found: Found, shown: list[int], pen: Pen) -> Iterator[Text]:
    rows = [found["rows"][place] for place in shown]
    pen.learn(row["service"] for row in found["rows"])
    least = _least(found)
    step = 2 if pen.width >= 80 else 1
    service_width = min(max(len("service"), *(pen.cells(row["service"]) for row in rows)), 10 if pen.width < 80 else 16)
    fixed = service_width + 1 + 2 * _TIME + _CHANGE
    longest = max(step * row["depth"] + pen.cells(_title(row)) + len(_tail(found, row)) for row in rows)
    bar_width = min(MAX_BAR, pen.width - fixed - min(longest, 36) - 1)
    bar_width = bar_width if bar_width >= MIN_BAR else 0
    name_width = min(max(longest, 11), pen.width - fixed - (bar_width + 1 if bar_width else 0))
    heading = f"{pen.pad('service', service_width)} {pen.pad('own time of', name_width)}"
    yield pen.line((f"{heading}{'a':>{_TIME}}{'b':>{_TIME}}{'change':>{_CHANGE}}", QUIET))
    most = max(abs(row["change"]) for row in rows) or 1
    for row in rows:
        change = row["change"]
        style = QUIET if abs(change) < least else SLOWER if change > 0 else FASTER
        failed = errors_of(row["b"]) > errors_of(row["a"])
        tail = _tail(found, row)
        indent = min(step * row["depth"], name_width // 3)
        name = pen.fit(_title(row), name_width - indent - len(tail))
        figures = QUIET if style == QUIET else ""
        parts = [
            (pen.pad(row["service"], service_width), pen.hue(row["service"])),
            (" " * (1 + indent), ""),
            (name, "red" if failed else ""),
            (tail, ERROR if failed else "bold"),
            (" " * (name_width - indent - len(tail) - pen.cells(name)), ""),
            (f"{_own(row['a']):>{_TIME}}{_own(row['b']):>{_TIME}}", figures),
            (f"{format_change(change):>{_CHANGE}}", f"bold {style}" if abs(change) >= 0.25 * most else style),
        ]
        if bar_width:
            bar = bars.share_bar(abs(change), most, bar_width, pen.unicode)
            if not pen.unicode:
                bar = bar.replace("#", "+" if change > 0 else "-")
            parts.append((f" {bar}", style))
        yield pen.line(*parts)


def _title(row: dict[str, Any]) -> str:
    """The name; an arrow before outgoing calls tells them from the requests that they become."""
    return f"→ {row['name']}" if row["outgoing"] else str(row["name"])


def _own(side: dict[str, int] | None) -> str:
    return "-" if side is None else format_duration(side["self"])


def _tail(found: Found, row: dict[str, Any]) -> str:
    """What must not be cut: spans for each trace where there are several or their number differs; failures."""
    a, b = (row[sign] and row[sign]["spans"] / found[sign].get("traces", 1) for sign in "ab")
    if a is None or b is None:
        tail = " new" if a is None else " gone"
    elif abs(a - b) >= 0.2 * max(a, b):
        tail = f" ×{_number(a)}→{_number(b)}"
    else:
        tail = f" ×{_number(b)}" if b >= 1.5 else ""
    return tail + failures(row)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 or value == int(value) else f"{value:.1f}" if value >= 0.05 else "<0.1"
