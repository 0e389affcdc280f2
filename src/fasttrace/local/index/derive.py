"""What follows from all spans of a trace: its line in the list, and where its requests entered services."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from fasttrace.local.index.schema import ENTERS, FAILED, PART_BITS

Row = tuple[int, int, int | None, int, int, int, int, int]
_COLUMNS = "s.trace, s.id, s.parent, s.start, s.duration, s.service, s.flags, s.shape"


def derive(database: sqlite3.Connection, touched: Iterable[int], new: dict[int, bytes]) -> None:
    """Write anew what follows from the spans of the traces ``touched``; ``new`` are those without a row, by number."""
    database.execute("DELETE FROM touched")
    database.executemany("INSERT INTO touched VALUES (?)", ((number,) for number in touched))
    rows = database.execute(f"SELECT {_COLUMNS} FROM touched CROSS JOIN span s ON s.trace = touched.id")
    inserts: list[tuple[object, ...]] = []
    updates: list[tuple[object, ...]] = []
    entries: list[tuple[object, ...]] = []
    parts: dict[int, tuple[int, int]] = {}
    for trace, spans in groupby(rows, itemgetter(0)):
        members = list(spans)
        line = _line(members)
        if trace in new:
            inserts.append((*line, new[trace], trace))
        else:
            updates.append((*line, trace))
        entries += _entries(trace, members)
        first, last = parts.get(trace >> PART_BITS, (line[0], line[0]))
        parts[trace >> PART_BITS] = min(first, line[0]), max(last, line[0])
    database.executemany(
        "INSERT INTO trace (start, duration, longest, shape, spans, errors, complete, services, trace_id, id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        inserts,
    )
    database.executemany(
        "UPDATE trace SET start = ?, duration = ?, longest = ?, shape = ?, spans = ?, errors = ?, complete = ?, "
        "services = ? WHERE id = ?",
        updates,
    )
    for part, (first, last) in parts.items():
        database.execute("INSERT OR IGNORE INTO part VALUES (?, ?, ?)", (part, first, last))
        database.execute("UPDATE part SET first = min(first, ?), last = max(last, ?) WHERE id = ?", (first, last, part))
    database.executemany("DELETE FROM entry WHERE trace = ?", ((update[-1],) for update in updates))
    database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)", entries)


def _line(spans: list[Row]) -> tuple[int, int, int, int, int, int, bool, str]:
    """Start, duration, the longest span's, the root's shape, counts, whether it has a root, services."""
    first, last, longest, errors = spans[0][3], 0, 0, 0
    services: dict[int, int] = {}
    root, best = spans[0], (True, 1 << 63, 0)
    for span in spans:
        _, _, parent, start, duration, service, flags, _ = span
        end = start + duration
        if start < first:
            first = start
        if end > last:
            last = end
        if duration > longest:
            longest = duration
        errors += flags & FAILED
        if service not in services or start < services[service]:
            services[service] = start
        order = (parent is not None, start, -end)
        if order < best:
            root, best = span, order
    complete = root[2] is None
    duration = root[4] if complete else last - first
    names = " ".join(map(str, sorted(services, key=services.__getitem__) if len(services) > 1 else services))
    return first, duration, longest, root[7], len(spans), errors, complete, names


def _entries(trace: int, spans: list[Row]) -> Iterator[tuple[int, int, int, int | None, int, int, int, int]]:
    places: dict[int, int] = {}
    for place, span in enumerate(spans):
        places.setdefault(span[1], place)
    entries: dict[int, int | None] = {}  # and the service that it comes from
    for place, (_, _, parent, _, _, service, flags, _) in enumerate(spans):
        above = None if parent is None else places.get(parent)
        caller = None if above is None else spans[above][5]
        if flags & ENTERS or parent is None or (caller is not None and caller != service):
            entries[place] = caller
    calls = _calls(spans, places, entries) if len(entries) > 1 else {}
    for number, (place, caller) in enumerate(entries.items()):
        _, _, _, start, duration, service, flags, shape = spans[place]
        own = duration - _covered(calls[place], start, start + duration) if place in calls else duration
        yield trace, number, service, caller, shape, duration, flags & FAILED, own


def _calls(
    spans: list[Row], places: dict[int, int], entries: dict[int, int | None]
) -> dict[int, list[tuple[int, int]]]:
    """For each entry the times, in order of start, in which what it called was at work."""
    calls: dict[int, list[tuple[int, int]]] = {}
    found: dict[int, int] = {}  # from a span to the entry above it, -1 for none
    for entry in sorted(entries, key=lambda place: spans[place][3]):
        trail: list[int] = []
        parent = spans[entry][2]
        place = -1 if parent is None else places.get(parent, -1)
        while place >= 0 and place not in entries:
            if place in found:
                place = found[place]
                break
            found[place] = -1  # a circle ends here
            trail.append(place)
            parent = spans[place][2]
            place = -1 if parent is None else places.get(parent, -1)
        found.update(dict.fromkeys(trail, place))
        if place >= 0 and place != entry:
            start, duration = spans[entry][3:5]
            calls.setdefault(place, []).append((start, start + duration))
    return calls


def _covered(intervals: list[tuple[int, int]], low: int, high: int) -> int:
    """How much of the time from ``low`` to ``high`` the intervals cover; they are in order of start."""
    covered = 0
    for start, end in intervals:
        start, end = max(start, low), min(end, high)
        if end > start:
            covered += end - start
            low = end
    return covered
