"""One trace: its id from what a person types, and its spans from the bytes in the segments."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fasttrace._core import decode
from fasttrace._core.types import DecodeError, SpanData
from fasttrace.errors import FasttraceError
from fasttrace.export import segments
from fasttrace.local.model import Trace

MIN_PREFIX = 4
_WORDS = {"slow": "duration", "last": "start"}
# Between two frames of a trace that lie further apart, the file is opened anew rather than read through.
_GAP_BYTES = 1 << 20


class TraceNotFound(FasttraceError):
    """No trace, or more than one, answers to what was asked for; the text says what to do."""


def is_trace_name(text: str) -> bool:
    """Whether a text names one trace: the start of an id, or one of the words for it."""
    return text in _WORDS or (MIN_PREFIX <= len(text) <= 32 and not text.lower().strip("0123456789abcdef"))


def resolve(database: sqlite3.Connection, which: str, label: str) -> str:
    """The id of the trace that ``which`` names: the start of its id, ``slow`` or ``last``. Raises TraceNotFound."""
    order = _WORDS.get(which)
    if order is not None:
        row = database.execute(f"SELECT trace_id FROM trace ORDER BY {order} DESC, id DESC LIMIT 1").fetchone()
        if row is not None:
            return str(row[0].hex())
    if not database.execute("SELECT 1 FROM trace LIMIT 1").fetchone():
        raise TraceNotFound(
            f"no traces in {label}: `fasttrace demo` makes some, `fasttrace run -- COMMAND` traces a program; "
            "--spool names another directory"
        )
    prefix = which.lower()
    if not is_trace_name(prefix) or order is not None:
        raise TraceNotFound(
            f"{which!r} is not the start of a trace id ({MIN_PREFIX} hexadecimal digits or more), nor `slow` or `last`"
        )
    bounds = bytes.fromhex(prefix.ljust(32, "0")), bytes.fromhex(prefix.ljust(32, "f"))
    rows = database.execute(
        "SELECT trace_id, (SELECT count(*) FROM trace WHERE trace_id BETWEEN ?1 AND ?2) FROM trace "
        "WHERE trace_id BETWEEN ?1 AND ?2 ORDER BY trace_id LIMIT 1",
        bounds,
    ).fetchall()
    if not rows:
        raise TraceNotFound(f"no trace in {label} begins with {which}: `fasttrace ls` lists what is there")
    trace_id, count = rows[0][0].hex(), rows[0][1]
    if count > 1:
        raise TraceNotFound(
            f"{count} traces begin with {which}: give more digits, for example {trace_id[: len(prefix) + 4]}"
        )
    return str(trace_id)


def whole(database: sqlite3.Connection, directory: Path, trace_id: str, label: str) -> Trace:
    """A trace from the bytes of its segments. Raises TraceNotFound."""
    spans = spans_of(database, directory, {trace_id})
    if not spans:
        raise TraceNotFound(f"no trace {trace_id} in {label}: `fasttrace ls` lists what is there")
    return Trace(spans)


def count(database: sqlite3.Connection, trace_id: str) -> int:
    """How many spans of a trace are indexed."""
    row = database.execute("SELECT spans FROM trace WHERE trace_id = ?", (_stored(trace_id),)).fetchone()
    return int(row[0]) if row else 0


def _stored(trace_id: str) -> bytes:
    """A whole id as the index has it; no trace's for what is none."""
    try:
        return bytes.fromhex(trace_id) if len(trace_id) == 32 else b""
    except ValueError:
        return b""


def spans_of(database: sqlite3.Connection, directory: Path, trace_ids: set[str]) -> list[SpanData]:
    """The spans of these traces, segment by segment in the order in which they were written."""
    database.execute("DELETE FROM touched")
    database.executemany(
        "INSERT OR IGNORE INTO touched SELECT id FROM trace WHERE trace_id = ?",
        ((_stored(trace_id),) for trace_id in trace_ids),
    )
    places: dict[str, list[tuple[int, int]]] = {}
    for name, start, stop in database.execute(
        "SELECT g.name, f.start, f.stop FROM frame f CROSS JOIN segment g ON g.id = f.segment WHERE f.id IN "
        "(SELECT s.frame FROM touched CROSS JOIN span s ON s.trace = touched.id) ORDER BY g.name, f.start"
    ).fetchall():
        places.setdefault(name, []).append((start, stop))
    found: list[SpanData] = []
    for name, frames in places.items():
        for request in _frames(os.path.join(directory, name), frames):
            with suppress(DecodeError):
                found += (span for span in decode.decode_request(request) if span.trace_id in trace_ids)
    return found


def _frames(path: str, frames: list[tuple[int, int]]) -> Iterator[bytes]:
    """The requests at these places, in order; those that are gone are left out."""
    at = 0
    while at < len(frames):
        last = at
        while last + 1 < len(frames) and frames[last + 1][0] - frames[last][1] < _GAP_BYTES:
            last += 1
        wanted = {stop for _, stop in frames[at : last + 1]}
        for request, stop in segments.read(path, frames[at][0]):
            if stop in wanted:
                yield request
            if stop >= frames[last][1]:
                break
        at = last + 1
