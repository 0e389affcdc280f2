"""What is in the spool, made quick to ask: traces by a search, entry spans, one trace whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fasttrace._core.types import SpanKind
from fasttrace.local.facts import service_of, to_text
from fasttrace.local.model import Trace, group_traces
from fasttrace.local.search import NUMERIC, Query
from fasttrace.local.store import Store, TraceNotFound

__all__ = ["Entry", "Index", "Listed", "TraceNotFound"]


class Listed(NamedTuple):
    """A trace in a list; times in nanoseconds, ``start_ns`` since the Unix epoch. ``service`` is its root's."""

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
    """A span at which a request enters a service; ``caller`` is the service that made it, None when unknown."""

    service: str
    caller: str | None
    route: str
    duration_ns: int
    error: bool


class Index:
    """A first form of it over the spool's reader: everything in memory, nothing kept."""

    def __init__(self, spool: str | Path | None = None) -> None:
        self._store = Store(spool)
        self._traces: dict[str, Trace] = {}

    @property
    def label(self) -> str:
        """The spool as a person would name it."""
        return self._store.label

    @property
    def unreadable(self) -> int:
        """How many batches could not be read."""
        return self._store.unreadable

    def close(self) -> None:
        """Let go of the file."""

    def refresh(self) -> int:
        """Take in what has been written since; the number of new spans."""
        before = sum(len(trace.nodes) for trace in self._traces.values())
        self._traces = {key: Trace(spans) for key, spans in group_traces(self._store.spans()).items()}
        return sum(len(trace.nodes) for trace in self._traces.values()) - before

    def _matching(self, query: Query) -> list[Trace]:
        return [
            trace
            for trace in self._traces.values()
            if _trace_holds(query, trace) and any(query.matches(node.span) for node in trace.nodes)
        ]

    def page(
        self, query: Query, limit: int, before: str | None, order: str
    ) -> tuple[list[Listed], str | None, int | None]:
        """One page of traces, the cursor of the next, and how many match in all."""
        found = self._matching(query)
        found.sort(key=lambda trace: -trace.duration_ns if order == "slowest" else -trace.start_ns)
        start = int(before or 0)
        page = [
            Listed(
                trace_id=trace.trace_id, name=trace.name, service=trace.root.service, services=trace.services,
                start_ns=trace.start_ns, duration_ns=trace.duration_ns, spans=len(trace.nodes),
                errors=len(trace.errors), status=trace.status_text, complete=not trace.root.span.parent_span_id,
            )
            for trace in found[start : start + limit]
        ]  # fmt: skip
        return page, str(start + limit) if start + limit < len(found) else None, len(found)

    def trace(self, trace_id: str) -> Trace:
        """One trace whole. Raises TraceNotFound."""
        if trace_id not in self._traces:
            raise TraceNotFound(f"no trace {trace_id} in {self.label}")
        return self._traces[trace_id]

    def find(self, which: str) -> Trace:
        """The trace that ``which`` names: the start of its id, ``slow`` or ``last``. Raises TraceNotFound."""
        return self._store.find(which)

    def durations(self, query: Query) -> list[tuple[int, bool]]:
        """Duration and failure of every matching trace."""
        return [(trace.duration_ns, bool(trace.errors)) for trace in self._matching(query)]

    def services(self, query: Query | None = None) -> list[tuple[str, int, int]]:
        """Service, spans and errors."""
        found: dict[str, list[int]] = {}
        for trace in self._matching(query) if query else self._traces.values():
            for node in trace.nodes:
                counts = found.setdefault(node.service, [0, 0])
                counts[0] += 1
                counts[1] += node.error
        return [(service, spans, errors) for service, (spans, errors) in sorted(found.items())]

    def entries(self, query: Query) -> Iterator[Entry]:
        """The entry spans of the matching traces."""
        for trace in self._matching(query):
            for node in trace.nodes:
                caller = None if node.parent is None else node.parent.service
                service = service_of(node.span.resource)
                if (
                    node.span.kind in (SpanKind.SERVER, SpanKind.CONSUMER)
                    or not node.span.parent_span_id
                    or (caller not in (None, service))
                ):
                    route = to_text(node.span.attributes.get("http.route")) or node.name
                    yield Entry(service, caller, route, node.duration_ns, node.error)

    def health(self) -> dict[str, Any]:
        """What there is on disk and what could not be read."""
        return {
            "spool": self.label,
            "traces": len(self._traces),
            "spans": sum(len(trace.nodes) for trace in self._traces.values()),
            "unreadable": self.unreadable,
        }


def _trace_holds(query: Query, trace: Trace) -> bool:
    values = {
        "trace.dur": trace.duration_ns, "trace.spans": len(trace.nodes), "trace.errors": len(trace.errors),
    }  # fmt: skip
    for term in query.terms:
        if term.field in values and term.of_trace and term.operator in NUMERIC:
            assert term.number is not None
            if NUMERIC[term.operator](values[term.field], term.number) == term.negated:
                return False
    return True
