"""Traces in which a request may go on whose context was lost on the way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fasttrace._core.types import SpanKind
from fasttrace.local.diagnosis.lost import TOLERANCE_NS, is_answered, path_of
from fasttrace.local.model import Trace
from fasttrace.local.search import parse, quoted

if TYPE_CHECKING:
    from fasttrace.local.index import Index

# What is looked for at most; each is one quick search.
MAX_SEARCHES = 5
MAX_FOUND = 5


def neighbours(index: Index, trace: Trace) -> list[Trace]:
    """Traces that may be the other side of a call of this one, or of the call that it began with."""
    found: dict[str, Trace] = {}
    for search in _searches(trace):
        for row in index.page(parse(search), MAX_FOUND)[0]:
            if row.trace_id != trace.trace_id and row.trace_id not in found:
                found[row.trace_id] = index.trace(row.trace_id)
    return list(found.values())


def _searches(trace: Trace) -> list[str]:
    searches: dict[tuple[str, object], str] = {}
    for node in trace.nodes:
        if len(searches) >= MAX_SEARCHES:
            break
        path = path_of(node)
        if node.span.kind == SpanKind.CLIENT and path and not is_answered(node):
            key = (path, node.span.attributes.get("http.request.method"))
            searches.setdefault(key, f"kind=server url.path={quoted(path)} {_between(node.start_ns, node.end_ns)}")
    root = trace.root
    asked = root.span.attributes.get("url.path")
    if root.span.kind == SpanKind.SERVER and not root.span.parent_span_id and isinstance(asked, str):
        # Its caller began before it, at most so long as requests take.
        longest = max(60 * 10**9, 2 * root.duration_ns)
        searches["", ""] = (
            f"kind=client url.full~{quoted('*' + asked)} {_between(root.start_ns - longest, root.start_ns)}"
        )
    return list(searches.values())


def _between(first_ns: int, last_ns: int) -> str:
    """Traces that began in this time, in the words of the search."""
    times = (max(0, first_ns - TOLERANCE_NS), last_ns + TOLERANCE_NS)
    begin, end = (datetime.fromtimestamp(ns / 1e9, UTC).isoformat() for ns in times)
    return f"trace.start={begin}..{end}"
