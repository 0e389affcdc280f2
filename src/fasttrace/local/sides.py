"""The two sides of a comparison: each one trace, or a group that a search or a range of time finds."""

from __future__ import annotations

from typing import Any

from fasttrace.local.compare import compare, compare_groups
from fasttrace.local.index import Index, TraceNotFound, is_trace_name
from fasttrace.local.model import Trace
from fasttrace.local.ranges import is_range, range_search
from fasttrace.local.search import parse

# Of a group the newest so many traces.
MAX_TRACES = 200


def compare_sides(index: Index, a: str, b: str, limit: int = MAX_TRACES) -> dict[str, Any]:
    """What is different in ``b``: of two traces, or of groups; a trace beside a group is a group of one.

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
    return found


def _group(index: Index, text: str, limit: int) -> list[Trace]:
    rows = index.page(parse(range_search(text) if is_range(text) else text), limit)[0]
    if not rows:
        raise TraceNotFound(f"no traces for {text!r} in {index.label}: `fasttrace ls` lists what is there")
    return [index.trace(row.trace_id) for row in rows]
