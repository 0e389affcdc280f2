"""Some thousand spans as rows: what ``Writer`` writes in one transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter
from operator import itemgetter
from typing import Any

from fasttrace._core.types import SpanData, SpanKind, StatusCode
from fasttrace.local.facts import MAX_FACTS, MAX_TEXT, facts, status_of, to_number, to_text
from fasttrace.local.index.derive import derive
from fasttrace.local.index.intern import Interner
from fasttrace.local.index.schema import ENTERS, FAILED, PART_BITS

BATCH_SPANS = 10_000
BATCH_BYTES = 16 * 1024 * 1024
MAX_REMEMBERED_TRACES = 100_000
_MAX_TIME = (1 << 62) - 1
_ENTERING = (SpanKind.SERVER, SpanKind.CONSUMER)


class Batch:
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
            status = status_of(span)
            route = _route(attributes) if "http.route" in attributes else span.name
            signature: list[object] = [service, span.name, int(span.kind), failed, status, route]
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
                shape = self._names.shape(found)
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


def _route(attributes: dict[str, Any]) -> str:
    """What a request asked for: method and route, ``POST /orders``."""
    route = to_text(attributes["http.route"])
    method = attributes.get("http.request.method") or attributes.get("http.method")
    return f"{to_text(method)} {route}" if method else route
