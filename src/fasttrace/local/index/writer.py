"""Takes into the index what processes have appended to the spool, a bounded batch and one transaction at a time."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from fasttrace._core import decode
from fasttrace._core.types import DecodeError, SpanData, SpanKind, StatusCode
from fasttrace.export import segments
from fasttrace.local.facts import MAX_FACTS, MAX_TEXT, facts, to_number, to_text
from fasttrace.local.index.derive import derive
from fasttrace.local.index.intern import Interner
from fasttrace.local.index.retention import drop_segments
from fasttrace.local.index.schema import ENTERS, FAILED, PART_BITS

BATCH_SPANS = 10_000
BATCH_BYTES = 16 * 1024 * 1024
MAX_REMEMBERED_TRACES = 100_000
_MAX_TIME = (1 << 62) - 1
_ENTERING = (SpanKind.SERVER, SpanKind.CONSUMER)

Progress = Callable[[int, int], None]


class Writer:
    """Reads segments into one database. ``progress`` of ``refresh`` gets the bytes that are read, and all there are."""

    def __init__(self, database: sqlite3.Connection, directory: Path) -> None:
        self._database = database
        self._directory = directory
        self._names = Interner(database)
        self._traces: dict[str, int] = {}
        self._version = 0

    def refresh(self, progress: Progress | None = None) -> int:
        """Take in what is new, and let go of what is not there any more; the number of spans that were read."""
        total = done = 0
        waiting = self._pending()
        expected = sum(size - offset for _, offset, size in waiting)
        while waiting or self._gone():
            try:
                with _Transaction(self._database):
                    spans, count = self._batch()
            except BaseException:
                self._forget()
                raise
            total += spans
            done += count
            if progress is not None:
                progress(min(done, expected), expected)
            if done >= expected:  # what has been written meanwhile is the next refresh's
                break
            waiting = self._pending()
        return total

    def _batch(self) -> tuple[int, int]:
        """One transaction's work: spans taken in, bytes passed."""
        self._look_again()
        drop_segments(self._database, self._gone(), self._forget)
        batch = _Batch(self._database, self._names, self._traces)
        done = 0
        for path, offset, size in self._pending():
            done += self._read(batch, path, offset, size)
            if batch.full:
                break
        self._version = self._database.execute("PRAGMA data_version").fetchone()[0]
        return batch.write(), done

    def _look_again(self) -> None:
        """Forget what another process may have changed since."""
        if self._database.execute("PRAGMA data_version").fetchone()[0] != self._version:
            self._forget()

    def _forget(self) -> None:
        self._names.forget()
        self._traces.clear()

    def _known(self) -> dict[str, tuple[int, int]]:
        rows = self._database.execute("SELECT name, offset, scanned FROM segment")
        return {name: (offset, scanned) for name, offset, scanned in rows}

    def _pending(self) -> list[tuple[str, int, int]]:
        """Path, offset and size of the segments that have grown."""
        known = self._known()
        found = []
        for path, size in segments.sizes(self._directory):
            offset, scanned = known.get(os.path.basename(path), (0, -1))
            if size != scanned and size:
                found.append((path, offset if offset <= size else 0, size))
        return found

    def _gone(self) -> list[str]:
        """The names of segments that have been deleted, or made anew under the same name."""
        there = {os.path.basename(path): size for path, size in segments.sizes(self._directory)}
        return [name for name, (offset, _) in self._known().items() if there.get(name, -1) < offset]

    def _read(self, batch: _Batch, path: str, offset: int, size: int) -> int:
        """Read on in a segment until its end or until the batch is full; the number of bytes passed."""
        name = os.path.basename(path)
        self._database.execute(
            "INSERT OR IGNORE INTO segment (name, offset, scanned, unreadable) VALUES (?, 0, -1, 0)", (name,)
        )
        segment = self._database.execute("SELECT id FROM segment WHERE name = ?", (name,)).fetchone()[0]
        at, scanned, unreadable = offset, size, 0
        for request, stop in segments.read(path, offset):
            at = stop
            try:
                spans = decode.decode_request(request)
            except DecodeError:
                unreadable += 1
            else:
                batch.add(spans, segment, stop - len(request) - segments.FRAME.size, stop)
            if batch.full:
                scanned = -1
                break
        self._database.execute(
            "UPDATE segment SET offset = ?, scanned = ?, unreadable = unreadable + ? WHERE id = ?",
            (at, scanned, unreadable, segment),
        )
        return at - offset if scanned < 0 else size - offset


class _Transaction:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._database.execute("COMMIT" if kind is None else "ROLLBACK")


def _route(span: SpanData) -> str:
    """What a request asked for: method and route where they are known, ``POST /orders``, else the span's name."""
    route = span.attributes.get("http.route")
    if route is None:
        return span.name
    method = span.attributes.get("http.request.method") or span.attributes.get("http.method")
    return f"{to_text(method)} {to_text(route)}" if method else to_text(route)


class _Batch:
    """The rows of some thousand spans."""

    def __init__(self, database: sqlite3.Connection, names: Interner, traces: dict[str, int]) -> None:
        self._database = database
        self._names = names
        self._traces = traces
        self._new: dict[int, bytes] = {}
        self._touched: set[int] = set()
        self._frames: list[tuple[int, int, int, int]] = []
        self._spans: list[tuple[Any, ...]] = []
        self._postings: list[tuple[Any, ...]] = []
        self._bytes = 0
        self._next_frame = self._last("frame") + 1
        self._next_trace = self._last("trace") + 1

    def _last(self, table: str) -> int:
        return int(self._database.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0)

    @property
    def full(self) -> bool:
        """Whether it is time to write."""
        return len(self._spans) >= BATCH_SPANS or self._bytes >= BATCH_BYTES

    def _trace(self, trace_id: str) -> int:
        found = self._traces.get(trace_id)
        if found is None:
            if len(self._traces) > MAX_REMEMBERED_TRACES:
                self._traces.clear()
                self._traces.update((body.hex(), number) for number, body in self._new.items())
            body = bytes.fromhex(trace_id)
            row = self._database.execute("SELECT id FROM trace WHERE trace_id = ?", (body,)).fetchone()
            if row is None:
                found, self._next_trace = self._next_trace, self._next_trace + 1
                self._new[found] = body
            else:
                found = row[0]
            self._traces[trace_id] = found
        return found

    def add(self, spans: list[SpanData], segment: int, start: int, stop: int) -> None:
        """The spans of one frame."""
        self._bytes += stop - start
        frame = self._next_frame
        self._next_frame += 1
        self._frames.append((frame, segment, start, stop))
        keys, shapes, rows, postings = self._names.keys, self._names.shapes, self._spans, self._postings
        error, entering, touched = StatusCode.ERROR, _ENTERING, self._touched
        known_trace = self._traces.get
        resource: object = None
        number = service = 0
        for span in spans:
            if not span.trace_id or not span.span_id:
                continue  # OTLP: not valid
            if span.resource is not resource:
                resource = span.resource
                number, service = self._names.resource(span.resource)
            attributes = span.attributes
            trace = known_trace(span.trace_id) or self._trace(span.trace_id)
            begin = min(span.start_time_ns, _MAX_TIME)
            duration = min(max(0, span.end_time_ns - span.start_time_ns), _MAX_TIME)
            own = int(span.span_id, 16)
            own = own - (1 << 64) if own >> 63 else own
            parent: int | None = None
            if span.parent_span_id:
                parent = int(span.parent_span_id, 16)
                parent = parent - (1 << 64) if parent >> 63 else parent
            twin = hash((begin, duration, parent or 0)) & 0x7FFFFF
            failed = span.status.status_code == error
            code = attributes.get("http.response.status_code", attributes.get("http.status_code"))
            status = to_text(code) if code is not None else "error" if failed else ""
            signature: list[object] = [service, span.name, int(span.kind), failed, status]
            plain = not span.events and span.status.description is None and len(attributes) <= MAX_FACTS
            for name, value in attributes.items() if plain else facts(span):
                if value.__class__ is not str or len(value) > MAX_TEXT or "\0" in value:
                    text = to_text(value)
                else:
                    text = value
                key = keys.get(name)
                if key is None:
                    key = self._names.key(name)
                pair = key.get(text)
                if pair is None:
                    pair = self._names.value(key, text)
                if pair is None:
                    postings.append((trace >> PART_BITS, key.id, text, to_number(text), trace, own, twin))
                else:
                    signature.append(pair)
            found = tuple(signature)
            shape = shapes.get(found)
            if shape is None:
                shape = self._names.shape(found, _route(span))
            flags = (FAILED if failed else 0) | (ENTERS if span.kind in entering else 0)
            touched.add(trace)
            rows.append((trace, own, twin, begin, duration, parent, frame, shape, number, service, flags))

    def write(self) -> int:
        """Write all of it; the number of spans."""
        database = self._database
        database.executemany("INSERT INTO frame VALUES (?, ?, ?, ?)", self._frames)
        self._spans.sort(key=itemgetter(0))
        database.executemany("INSERT OR IGNORE INTO span VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self._spans)
        self._postings.sort(key=itemgetter(0, 1, 2))
        database.executemany("INSERT OR IGNORE INTO posting VALUES (?, ?, ?, ?, ?, ?, ?)", self._postings)
        counts = Counter(row[7] for row in self._spans)
        database.executemany(
            "UPDATE shape SET spans = spans + ? WHERE id = ?", ((count, shape) for shape, count in counts.items())
        )
        derive(database, self._touched, self._new)
        return len(self._spans)
