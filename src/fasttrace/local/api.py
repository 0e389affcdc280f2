"""What the terminal (``--json``), the server and the page are given: plain dicts that ``json`` takes.

Times within a trace are nanoseconds since its start; instants (``start_ns``) are text, since browsers' numbers
have 53 bits. ``query`` is the search language of ``fasttrace.local.search``; SearchError says what is wrong with one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from fasttrace.local import trace_data
from fasttrace.local.figures import Group, grouped, percentiles
from fasttrace.local.health import Losses, processes
from fasttrace.local.index import Index, Listed
from fasttrace.local.neighbours import neighbours
from fasttrace.local.search import parse, time_asked
from fasttrace.local.sides import compare_sides
from fasttrace.local.store import Summary


def traces(
    index: Index, query: str = "", limit: int = 50, before: str | None = None, order: str = "newest"
) -> dict[str, Any]:
    """Traces with a matching span, the newest (or ``order="slowest"``) first; ``next`` goes in as ``before``.

    ``total_matching`` is None where counting would take longer than the page itself. ``hint`` says what may be wrong
    with a search that finds nothing, if that can be told.
    """
    parsed = parse(query)
    rows, following, total = index.page(parsed, limit, before, order)
    said = "" if rows or before else index.hint(parsed)
    return {"traces": [listed(row) for row in rows], "next": following, "total_matching": total, "hint": said}


def listed(row: Listed | Summary) -> dict[str, Any]:
    """A trace in a list, as ``traces`` gives it."""
    return {
        "trace_id": row.trace_id,
        "name": row.name,
        "service": row.service,
        "services": row.services,
        "start_ns": str(row.start_ns),
        "duration_ns": row.duration_ns,
        "spans": row.spans,
        "errors": row.errors,
        "status": row.status,
        "complete": row.complete,
    }


def trace(index: Index, trace_id: str) -> dict[str, Any]:
    """One trace, its spans in tree order. Raises TraceNotFound."""
    found = index.trace(trace_id)
    return trace_data.whole(found, neighbours(index, found))


def histogram(index: Index, query: str = "", buckets: int = 40) -> dict[str, Any]:
    """How long the matching traces took: buckets of equal width on a logarithmic scale, and percentiles."""
    rows = index.durations(parse(query))
    durations = sorted(duration for duration, _ in rows)
    found: dict[str, Any] = {"total": len(rows), **percentiles(durations), "buckets": []}
    if not rows:
        return found
    low, high = max(1, durations[0]), max(2, durations[-1] + 1)
    count = max(1, buckets)
    edges = [round(low * (high / low) ** (place / count)) for place in range(count)] + [high]
    edges[0] = min(low, durations[0])
    found["buckets"] = [
        {"from_ns": start, "to_ns": end, "count": 0, "errors": 0} for start, end in pairwise(edges) if end > start
    ]
    at = 0
    for duration, failed in sorted(rows):
        while duration >= found["buckets"][at]["to_ns"] and at < len(found["buckets"]) - 1:
            at += 1
        found["buckets"][at]["count"] += 1
        found["buckets"][at]["errors"] += failed
    return found


def timeline(index: Index, query: str = "", buckets: int = 60) -> dict[str, Any]:
    """When the matching traces began: buckets of equal width, each with the traces that failed among them."""
    parsed = parse(query)
    period = index.period(parsed)
    if period is None:
        return {"total": 0, "buckets": []}
    first, last = period
    width = max(1, -((first - last - 1) // max(1, buckets)))
    counted = index.starts(parsed, first, width)
    rows = [(first + place * width, *counted.get(place, (0, 0))) for place in range((last - first) // width + 1)]
    return {
        "total": sum(count for _, count, _ in rows),
        "buckets": [
            {"from_ns": str(start), "to_ns": str(start + width), "count": count, "errors": errors}
            for start, count, errors in rows
        ],
    }


def services(index: Index) -> dict[str, Any]:
    """Every service: its spans, errors, and how long its requests took."""
    groups = grouped(index.entries(parse("")), lambda entry: entry.service)
    found = []
    for service, spans, errors in index.services():
        figures = groups[service].figures() if service in groups else Group().figures()
        found.append(
            {
                "service": service,
                "spans": spans,
                "errors": errors,
                "requests": figures["count"],
                **{key: figures[key] for key in ("p50", "p95", "p99")},
            }
        )
    return {"services": found}


def service_map(index: Index, query: str = "") -> dict[str, Any]:
    """Who calls whom, in the matching traces: nodes and edges with calls, errors and percentiles."""
    entries = list(index.entries(parse(query)))
    spans = {service: (count, errors) for service, count, errors in index.services(parse(query))}
    nodes = grouped(entries, lambda entry: entry.service)
    edges = grouped(entries, lambda entry: (entry.caller, entry.service) if entry.caller is not None else None)
    names = sorted({*spans, *nodes, *(caller for caller, _ in edges)})
    period, per_second = _period(index, query)
    drawn = []
    for name in names:
        figures = nodes.get(name, Group()).figures()
        drawn.append(
            {
                "service": name,
                "spans": spans.get(name, (0, 0))[0],
                "errors": spans.get(name, (0, 0))[1],
                "requests": figures["count"],
                "failed": figures["errors"],
                "rate": per_second(figures["count"]),
                **{key: figures[key] for key in ("p50", "p95", "self_ns")},
            }
        )
    return {
        **period,
        "nodes": drawn,
        "edges": [
            {"from": caller, "to": callee, "calls": found["count"], "errors": found["errors"],
             "rate": per_second(found["count"]), "p50": found["p50"], "p95": found["p95"]}
            for (caller, callee), found in sorted(
                ((key, group.figures()) for key, group in edges.items()), key=lambda item: item[0]
            )
        ],
    }  # fmt: skip


def _period(index: Index, query: str) -> tuple[dict[str, str | None], Callable[[int], float | None]]:
    """The time that is looked at, and what a number of calls in it is for each second.

    It is the one that the search names, as far as there are traces at all; without one it goes from the first matching
    trace to the last. Of less than a second there is no rate.
    """
    parsed = parse(query)
    found = index.period(parsed)
    asked = time_asked(parsed, time.time_ns())
    whole = index.period(parse("")) if found and asked else None
    if asked and whole:
        found = max(asked[0], whole[0]), min(asked[1], whole[1])
    first, last = found or (None, None)
    seconds = 0.0 if found is None else (found[1] - found[0]) / 1e9

    def per_second(count: int) -> float | None:
        return round(count / seconds, 6) if seconds >= 1 else None

    period = {"from_ns": None if first is None else str(first), "to_ns": None if last is None else str(last)}
    return period, per_second


def routes(index: Index, query: str = "") -> dict[str, Any]:
    """What the services were asked for, by service and route, the one that took most time in all first.

    ``self_ns`` is the sum of their durations without the time in which services that they call were at work.
    """
    groups = grouped(index.entries(parse(query)), lambda entry: (entry.service, entry.route))
    period, per_second = _period(index, query)
    found = []
    for (service, route), group in groups.items():
        figures = group.figures()
        found.append({"service": service, "route": route, **figures, "rate": per_second(figures["count"])})
    return {**period, "routes": sorted(found, key=lambda row: (-row["total_ns"], row["service"], row["route"]))}


def compare(index: Index, a: str, b: str) -> dict[str, Any]:
    """Two sides, their trees aligned by path: each a trace, as ``find`` takes it, a search, or a range of time."""
    return compare_sides(index, a, b)


def health(index: Index) -> dict[str, Any]:
    """What there is on disk and what could not be read, how tracing goes in each process, and what they have lost."""
    return {
        "index": index.health(),
        "processes": processes(index.directory),
        "dropped": Losses(index.directory).to_dict(),
    }
