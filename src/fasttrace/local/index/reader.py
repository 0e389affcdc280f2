"""Answers from an index: a page of traces, entry spans, figures."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from fasttrace.errors import FasttraceError
from fasttrace.local.index.sql import Plan, Sql, plan
from fasttrace.local.search import Query

_ORDERS = {"newest": "start", "slowest": "duration"}
_LISTED = (
    "SELECT t.trace_id, h.name, v.name, t.services, t.start, t.duration, t.spans, t.errors, h.status, h.error, "
    "t.complete FROM trace t CROSS JOIN shape h ON h.id = t.shape CROSS JOIN service v ON v.id = h.service "
    "WHERE t.id = ?"
)


class Listed(NamedTuple):
    """A trace in a list; times in nanoseconds, ``start_ns`` since the Unix epoch.

    Name, service, status and duration are the root's; until it has come, they are the earliest span's, the duration is
    from the first start to the last end, and ``complete`` is False. ``services`` are in the order of their first span.
    """

    trace_id: str
    name: str
    service: str
    services: list[str]
    start_ns: int
    duration_ns: int
    spans: int
    errors: int
    status: str
    complete: bool


class Entry(NamedTuple):
    """A span at which a request enters a service; ``caller`` is the service that made it, None when unknown.

    ``own_ns`` is its duration without the time in which services that it calls are at work.
    """

    service: str
    caller: str | None
    route: str
    duration_ns: int
    error: bool
    own_ns: int


def page(
    database: sqlite3.Connection, query: Query, limit: int, before: str | None, order: str
) -> tuple[list[Listed], str | None, int | None]:
    """Matching traces, the cursor of the next page, and how many match where that is known without counting long."""
    column = _ORDERS[order]
    chosen = plan(database, query)
    after = _cursor(before)
    total = None
    if chosen.begin is not None and column == "start":
        rows, seen_all = _newest(database, chosen, limit + 1, after)
        if seen_all and after is None and len(rows) <= limit:
            total = len(rows)
    else:
        rows = _first(database, column, chosen.condition(), limit + 1, after)
        if chosen.spans is None:
            condition = chosen.condition()
            total = database.execute(
                f"SELECT count(*) FROM trace t WHERE {condition.text}", condition.values
            ).fetchone()[0]
    following = "{}-{}".format(*rows[limit - 1]) if len(rows) > limit else None
    return list(_listed(database, [number for _, number in rows[:limit]])), following, total


def _newest(
    database: sqlite3.Connection, chosen: Plan, count: int, after: tuple[int, int] | None
) -> tuple[list[tuple[int, int]], bool]:
    """Start and number of the newest matching traces, looked for part by part; whether all parts were seen.

    Twice as many parts are looked through each time, until no older one can hold a newer trace.
    """
    parts = database.execute("SELECT id, first, last FROM part ORDER BY id DESC").fetchall()
    if after is not None:
        parts = [part for part in parts if part[1] <= after[0]]
    found: list[tuple[int, int]] = []
    at, step = 0, 1
    while at < len(parts):
        chunk = parts[at : at + step]
        condition = chosen.condition(chunk[-1][0], chunk[0][0])
        found += _first(database, "start", condition, count, after)
        found = sorted(found, reverse=True)[:count]
        at, step = at + step, step * 2
        older = max((part[2] for part in parts[at:]), default=-1)
        if len(found) == count and found[-1][0] > older:
            break
    return found, at >= len(parts)


def _first(
    database: sqlite3.Connection, column: str, condition: Sql, count: int, after: tuple[int, int] | None
) -> list[tuple[int, int]]:
    """The first matching traces in descending order of a column: its value, and their numbers."""
    if after is not None:
        condition = Sql(f"(t.{column}, t.id) < (?, ?) AND {condition.text}", (*after, *condition.values))
    return database.execute(
        f"SELECT t.{column}, t.id FROM trace t WHERE {condition.text} ORDER BY t.{column} DESC, t.id DESC LIMIT ?",
        (*condition.values, count),
    ).fetchall()


def _cursor(before: str | None) -> tuple[int, int] | None:
    if before is None:
        return None
    value, _, number = before.partition("-")
    if not (value.isdecimal() and number.isdecimal() and len(before) < 60):
        raise FasttraceError(f"{before!r} is no place in the list: use what `next` of the page before says")
    return min(int(value), 2**63 - 1), min(int(number), 2**63 - 1)


def _listed(database: sqlite3.Connection, numbers: list[int]) -> Iterator[Listed]:
    names: dict[str, str] = {}
    for number in numbers:
        trace_id, name, service, services, start, duration, spans, errors, status, failed, complete = database.execute(
            _LISTED, (number,)
        ).fetchone()
        for other in services.split(" "):
            if other not in names:
                names[other] = database.execute("SELECT name FROM service WHERE id = ?", (int(other),)).fetchone()[0]
        text = status or ("error" if failed else "ok")
        path = [names[other] for other in services.split(" ")]
        yield Listed(trace_id.hex(), name, service, path, start, duration, spans, errors, text, bool(complete))


def matching(database: sqlite3.Connection, query: Query, limit: int | None) -> list[str]:
    """The ids of the matching traces, the oldest first; of more than ``limit`` the newest."""
    condition = plan(database, query).condition()
    rows = database.execute(
        f"SELECT t.trace_id FROM trace t WHERE {condition.text} ORDER BY t.start DESC, t.id DESC LIMIT ?",
        (*condition.values, -1 if limit is None else limit),
    )
    return [row[0].hex() for row in rows.fetchall()][::-1]


def durations(database: sqlite3.Connection, query: Query) -> list[tuple[int, bool]]:
    """Duration and failure of every matching trace."""
    condition = plan(database, query).condition()
    rows = database.execute(f"SELECT t.duration, t.errors > 0 FROM trace t WHERE {condition.text}", condition.values)
    return rows.fetchall()


def starts(database: sqlite3.Connection, query: Query, first: int, width: int) -> dict[int, tuple[int, int]]:
    """Matching traces and failed ones by the place of their bucket, ``width`` wide from ``first`` on."""
    condition = plan(database, query).condition()
    rows = database.execute(
        f"SELECT (t.start - ?) / ? AS place, count(*), total(t.errors > 0) FROM trace t WHERE {condition.text} "
        "GROUP BY place",
        (first, width, *condition.values),
    )
    return {place: (count, int(failed)) for place, count, failed in rows}


def period(database: sqlite3.Connection, query: Query) -> tuple[int, int] | None:
    """When the first and the last of the matching traces began; None where there is none."""
    condition = plan(database, query).condition()
    row = database.execute(f"SELECT min(t.start), max(t.start) FROM trace t WHERE {condition.text}", condition.values)
    first, last = row.fetchone()
    return None if first is None else (first, last)


def services(database: sqlite3.Connection, query: Query) -> list[tuple[str, int, int]]:
    """Service, spans and failed spans, of the matching traces."""
    if not query:
        rows = database.execute(
            "SELECT v.name, sum(h.spans), sum(h.spans * h.error) FROM shape h JOIN service v ON v.id = h.service "
            "WHERE h.spans > 0 GROUP BY h.service ORDER BY v.name"
        )
        return rows.fetchall()
    condition = plan(database, query).condition()
    rows = database.execute(
        "SELECT v.name, sum(g.spans), sum(g.errors) FROM (SELECT s.service, count(*) AS spans, "
        "sum(s.flags & 1) AS errors FROM trace t CROSS JOIN span s ON s.trace = t.id "
        f"WHERE {condition.text} GROUP BY s.service) g "
        "JOIN service v ON v.id = g.service GROUP BY v.name ORDER BY v.name",
        condition.values,
    )
    return rows.fetchall()


def entries(database: sqlite3.Connection, query: Query) -> list[Entry]:
    """The entry spans of the matching traces."""
    names: dict[int | None, str | None] = {None: None}
    names.update(database.execute("SELECT id, name FROM service"))
    routes = dict(database.execute("SELECT id, route FROM shape WHERE id IN (SELECT shape FROM entry)"))
    chosen = "entry e"
    values: tuple[Any, ...] = ()
    if query:
        condition = plan(database, query).condition()
        chosen = f"trace t CROSS JOIN entry e ON e.trace = t.id WHERE {condition.text}"
        values = condition.values
    columns = "e.service, e.caller, e.shape, e.duration, e.error, e.own"
    return [
        Entry(str(names[service]), names[caller], routes[shape], duration, bool(error), own)
        for service, caller, shape, duration, error, own in database.execute(f"SELECT {columns} FROM {chosen}", values)
    ]


def keys(database: sqlite3.Connection) -> set[str]:
    """The keys of all attributes."""
    return {name for (name,) in database.execute("SELECT name FROM key")}


def unreadable(database: sqlite3.Connection) -> int:
    """How many batches could not be decoded."""
    return int(database.execute("SELECT total(unreadable) FROM segment").fetchone()[0])


def totals(database: sqlite3.Connection) -> dict[str, Any]:
    """What the index has, and its size."""
    traces, first, last = database.execute("SELECT count(*), min(start), max(start) FROM trace").fetchone()
    pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return {
        "index_bytes": pages * size,
        "traces": traces,
        "spans": int(database.execute("SELECT total(spans) FROM trace").fetchone()[0]),
        "first_ns": None if first is None else str(first),
        "last_ns": None if last is None else str(last),
        "unreadable": unreadable(database),
    }
