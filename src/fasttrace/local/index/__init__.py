"""What is in the spool, made quick to ask: traces by a search, entry spans, one trace whole.

One SQLite file beside the segments, made of them and of nothing else. Any number of processes may read and refresh it;
SQLite's lock lets one write at a time, and each goes on where the last one stopped.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any, Self, TypeVar

from fasttrace._core.types import SpanData
from fasttrace.export import segments
from fasttrace.export.retention import prune
from fasttrace.local.index import database, finding, reader
from fasttrace.local.index.database import IndexUnusable
from fasttrace.local.index.finding import TraceNotFound, is_trace_name
from fasttrace.local.index.reader import Entry, Listed
from fasttrace.local.index.writer import Writer
from fasttrace.local.model import Trace
from fasttrace.local.search import Query, hint, parse
from fasttrace.local.store import Store

Found = TypeVar("Found")

__all__ = ["Entry", "Index", "IndexUnusable", "Listed", "TraceNotFound", "is_trace_name"]


class Index:
    """The index of one spool. ``spool`` None is ``FASTTRACE_SPOOL_DIR``, else the default one.

    A folder that is not there is an empty spool. Answers are as of the last ``refresh``, by whichever process. May be
    used by several threads, which wait for each other.
    """

    def __init__(self, spool_directory: str | os.PathLike[str] | None = None) -> None:
        store = Store(spool_directory)
        self.directory: Path = store.directory
        self.label: str = store.label
        self._lock = RLock()
        self._database, self._inode = database.connect(self.directory)
        self._writer = Writer(self._database, self.directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A command that ends with an error closes nothing, and Python warns of that from 3.13 on.
        connection: sqlite3.Connection | None = getattr(self, "_database", None)
        if connection is not None:
            connection.close()

    @property
    def is_current(self) -> bool:
        """Whether its file is still the one of that name; ``refresh`` opens the new one."""
        return database.is_current(self.directory, self._inode)

    @property
    def is_private(self) -> bool:
        """Whether it stands in a folder that can't be written, and is seen by nobody else."""
        return self._inode is None

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    def refresh(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Take in what has been written since, by batches, and give the number of spans.

        ``progress`` gets the bytes done and those in all. Raises IndexUnusable, and SpoolError for a folder that
        can't be read.
        """
        with self._lock:
            if not self.is_current:
                self._reopen()
            try:
                return self._writer.refresh(progress)
            except sqlite3.DatabaseError as error:
                self._make_anew(error)
            return self._writer.refresh(progress)

    def _ask(self, question: Callable[..., Found], *arguments: Any) -> Found:
        """What ``question(database, *arguments)`` gives; from an index made anew where this one is damaged."""
        with self._lock:
            try:
                return question(self._database, *arguments)
            except sqlite3.DatabaseError as error:
                self._make_anew(error)
            self._writer.refresh()
            return question(self._database, *arguments)

    def _make_anew(self, error: sqlite3.DatabaseError) -> None:
        """Begin with an empty file. Raises IndexUnusable for an error that it would not cure."""
        if not database.is_damage(error):
            raise database.unusable(self.directory, error) from None
        if self.is_current:  # else somebody has made it anew already
            database.delete(self.directory)
        self._reopen()

    def _reopen(self) -> None:
        self._database.close()
        self._database, self._inode = database.connect(self.directory)
        self._writer = Writer(self._database, self.directory)

    def prune(self, *, max_bytes: int | None = None, max_age: float | None = None) -> int:
        """Delete the oldest finished segments: beyond so many bytes, or unchanged for so many seconds; how many went.

        The next ``refresh`` lets go of what was in them.
        """
        return prune(self.directory, max_bytes=max_bytes, max_age=max_age)

    def page(
        self, query: Query, limit: int = 50, before: str | None = None, order: str = "newest"
    ) -> tuple[list[Listed], str | None, int | None]:
        """Traces, ``newest`` or ``slowest`` first, the cursor of the next page, how many match if that is known."""
        return self._ask(reader.page, query, limit, before, order)

    def hint(self, query: Query) -> str:
        """What may be wrong with a query that matches nothing; "" for no idea."""
        return hint(query, self._ask(reader.keys))

    def trace(self, trace_id: str) -> Trace:
        """One trace whole, by its full id. Raises TraceNotFound."""
        return self._ask(finding.whole, self.directory, trace_id, self.label)

    def span_count(self, trace_id: str) -> int:
        """How many spans of a trace there are; 0 for one that is not there."""
        return self._ask(finding.count, trace_id)

    def find(self, which: str) -> Trace:
        """The trace that ``which`` names: the start of its id, ``slow`` or ``last``. Raises TraceNotFound."""
        with self._lock:
            return self.trace(self.resolve(which))

    def resolve(self, which: str) -> str:
        """The id of the trace that ``which`` names. Raises TraceNotFound."""
        return self._ask(finding.resolve, which, self.label)

    def spans(self, trace_ids: set[str]) -> list[SpanData]:
        """The spans of these traces, segment by segment in the order in which they were written."""
        return self._ask(finding.spans_of, self.directory, trace_ids)

    def matching(self, query: Query, limit: int | None = None) -> list[str]:
        """The ids of all matching traces, the oldest first; of more than ``limit`` the newest."""
        return self._ask(reader.matching, query, limit)

    def durations(self, query: Query) -> list[tuple[int, bool]]:
        """Duration and failure of every matching trace."""
        return self._ask(reader.durations, query)

    def starts(self, query: Query, first: int, width: int) -> dict[int, tuple[int, int]]:
        """How many matching traces began, and how many of them failed, by the place of their bucket.

        The buckets are ``width`` nanoseconds wide, from ``first`` on, in nanoseconds since the Unix epoch.
        """
        return self._ask(reader.starts, query, first, width)

    def period(self, query: Query) -> tuple[int, int] | None:
        """When the first and the last of the matching traces began, in nanoseconds since the Unix epoch."""
        return self._ask(reader.period, query)

    def services(self, query: Query | None = None) -> list[tuple[str, int, int]]:
        """Service, spans and failed spans, of the matching traces."""
        return self._ask(reader.services, query or parse(""))

    def entries(self, query: Query) -> list[Entry]:
        """The entry spans of the matching traces."""
        return self._ask(reader.entries, query)

    @property
    def unreadable(self) -> int:
        """How many batches could not be decoded; they are left out."""
        return self._ask(reader.unreadable)

    def health(self) -> dict[str, Any]:
        """What there is, on disk and in the index."""
        sizes = segments.sizes(self.directory)
        return {
            "spool": self.label,
            "segments": len(sizes),
            "spool_bytes": sum(size for _, size in sizes),
            **self._ask(reader.totals),
        }
