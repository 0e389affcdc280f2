"""What follows from all spans of a trace: its line in the list, and where its requests entered services."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from fasttrace.local.index.schema import ENTERS, FAILED

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
    for trace, spans in groupby(rows, itemgetter(0)):
        members = list(spans)
        line = _line(members)
        if trace in new:
            inserts.append((*line, new[trace], trace))
        else:
            updates.append((*line, trace))
        entries += _entries(trace, members)
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
    database.executemany("DELETE FROM entry WHERE trace = ?", ((update[-1],) for update in updates))
    database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", entries)


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


def _entries(trace: int, spans: list[Row]) -> Iterator[tuple[int, int, int, int | None, int, int, int]]:
    services = {span[1]: span[5] for span in spans}
    for number, (_, _, parent, _, duration, service, flags, shape) in enumerate(spans):
        caller = None if parent is None else services.get(parent)
        if flags & ENTERS or parent is None or (caller is not None and caller != service):
            yield trace, number, service, caller, shape, duration, flags & FAILED
