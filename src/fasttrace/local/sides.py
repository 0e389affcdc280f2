"""The two sides of a comparison: each one trace, or a group that a search or a range of time finds."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from fasttrace.local.compare import compare, compare_groups
from fasttrace.local.figures import grouped, percentiles
from fasttrace.local.index import Index, TraceNotFound, is_trace_name
from fasttrace.local.model import Trace, group_traces
from fasttrace.local.ranges import is_range, range_search
from fasttrace.local.search import Query, parse

# Of a group the newest so many traces, as long as they have no more spans than this: there are traces of 100,000.
MAX_TRACES = 200
MAX_SPANS = 50_000


def compare_sides(index: Index, a: str, b: str, limit: int = MAX_TRACES) -> dict[str, Any]:
    """What is different in ``b``: of two traces, or of groups; a trace beside a group is a group of one.

    Of two groups ``all`` has the figures of all their traces, ``routes`` those of what the services were asked for in
    them, also those that are too many to be aligned.

    Raises TraceNotFound where a side has none, SearchError and RangeError for what can't be read.
    """
    traces = [index.find(text) if is_trace_name(text) else None for text in (a, b)]
    if traces[0] is not None and traces[1] is not None:
        return compare(traces[0], traces[1])
    groups = [
        _group(index, text, limit) if trace is None else [trace] for text, trace in zip((a, b), traces, strict=True)
    ]
    found = compare_groups(*groups)
    found["a"]["name"], found["b"]["name"] = a, b
    if traces == [None, None]:
        found["a"]["all"], found["b"]["all"] = (_all(index, text) for text in (a, b))
        found["routes"] = _routes(index, a, b)
    return found


def _query(text: str) -> Query:
    return parse(range_search(text) if is_range(text) else text)


def _all(index: Index, text: str) -> dict[str, Any]:
    rows = index.durations(_query(text))
    errors = sum(failed for _, failed in rows)
    return {"traces": len(rows), "errors": errors, **percentiles(sorted(duration for duration, _ in rows))}


def _routes(index: Index, a: str, b: str) -> list[dict[str, Any]]:
    """What the services were asked for in all traces of both sides; where most of the difference is comes first.

    ``change`` is that of the own time of one request, None where a side has none.
    """
    sides = [grouped(index.entries(_query(text)), lambda entry: (entry.service, entry.route)) for text in (a, b)]
    rows: list[tuple[int, dict[str, Any]]] = []
    for service, route in {**sides[0], **sides[1]}:
        before, after = (side[service, route].figures() if (service, route) in side else None for side in sides)
        change = None
        if before and after:
            change = after["self_ns"] // after["count"] - before["self_ns"] // before["count"]
        # As often as it is asked for; of what only one side has, all.
        weight = abs(change) * after["count"] if after and change is not None else (after or before or {})["self_ns"]
        rows.append((weight, {"service": service, "route": route, "a": before, "b": after, "change": change}))
    return [row for _, row in sorted(rows, key=lambda row: -row[0])]


def _group(index: Index, text: str, limit: int) -> list[Trace]:
    rows = index.page(_query(text), limit)[0]
    if not rows:
        raise TraceNotFound(f"no traces for {text!r} in {index.label}: `fasttrace ls` lists what is there")
    spans_so_far = accumulate(row.spans for row in rows)
    rows = [row for row, so_far in zip(rows, spans_so_far, strict=True) if so_far <= MAX_SPANS or row is rows[0]]
    spans = group_traces(index.spans({row.trace_id for row in rows}))
    return [Trace(spans[row.trace_id]) for row in rows if row.trace_id in spans]
