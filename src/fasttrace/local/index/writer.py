"""Takes into the index what processes have appended to the spool, a bounded batch and one transaction at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from fasttrace._core import decode
from fasttrace._core.types import DecodeError
from fasttrace.export import segments
from fasttrace.local.index.batch import Batch
from fasttrace.local.index.intern import Interner
from fasttrace.local.index.retention import drop_segments

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
        batch = Batch(self._database, self._names, self._traces)
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

    def _read(self, batch: Batch, path: str, offset: int, size: int) -> int:
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
