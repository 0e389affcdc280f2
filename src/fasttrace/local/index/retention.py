"""Lets go of spans whose segments are gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from fasttrace.local.index.derive import derive
from fasttrace.local.index.schema import PART_BITS

# Rows that nothing leads to any more are harmless; they go when a quarter of all is of that kind.
CLEAN_SHARE = 0.25


def drop_segments(database: sqlite3.Connection, names: list[str], forget: Callable[[], None]) -> None:
    """Delete what has come from these segments; traces that are left in part are summed up anew."""
    if not names:
        return
    marks = ", ".join("?" * len(names))
    gone = f"SELECT f.id FROM frame f JOIN segment g ON g.id = f.segment WHERE g.name IN ({marks})"
    affected = [row[0] for row in database.execute(f"SELECT DISTINCT trace FROM span WHERE frame IN ({gone})", names)]
    deleted = 0
    for trace in affected:
        deleted += database.execute(
            f"DELETE FROM span WHERE trace = ? AND frame IN ({gone})",
            (trace, *names),
        ).rowcount
    database.execute(f"DELETE FROM frame WHERE id IN ({gone})", names)
    database.execute(f"DELETE FROM segment WHERE name IN ({marks})", names)
    derive(database, affected, {})
    database.executemany(
        "DELETE FROM trace WHERE id = ? AND NOT EXISTS (SELECT 1 FROM span WHERE trace = ?)",
        ((trace, trace) for trace in affected),
    )
    database.executemany(
        "DELETE FROM entry WHERE trace = ? AND NOT EXISTS (SELECT 1 FROM span WHERE trace = ?)",
        ((trace, trace) for trace in affected),
    )
    database.execute("UPDATE shape SET spans = (SELECT count(*) FROM span WHERE span.shape = shape.id)")
    loose = _meta(database, "loose") + deleted
    left = database.execute("SELECT sum(spans) FROM shape").fetchone()[0] or 0
    if loose > CLEAN_SHARE * (left + loose):
        _clean(database)
        loose = 0
    database.execute("INSERT OR REPLACE INTO meta VALUES ('loose', ?)", (loose,))
    forget()


def _meta(database: sqlite3.Connection, name: str) -> int:
    row = database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def _clean(database: sqlite3.Connection) -> None:
    database.execute(
        "DELETE FROM posting WHERE NOT EXISTS (SELECT 1 FROM span s WHERE s.trace = posting.trace "
        "AND s.id = posting.span AND s.twin = posting.twin)"
    )
    database.execute(f"DELETE FROM part WHERE id NOT IN (SELECT id >> {PART_BITS} FROM trace)")
    database.execute("DELETE FROM shape WHERE spans = 0")
    database.execute("DELETE FROM shape_pair WHERE shape NOT IN (SELECT id FROM shape)")
    database.execute("DELETE FROM resource WHERE id NOT IN (SELECT resource FROM span)")
    database.execute("DELETE FROM resource_pair WHERE resource NOT IN (SELECT id FROM resource)")
    database.execute(
        "DELETE FROM pair WHERE id NOT IN (SELECT pair FROM shape_pair) AND id NOT IN (SELECT pair FROM resource_pair)"
    )
    database.execute("PRAGMA incremental_vacuum")
