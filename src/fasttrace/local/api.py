"""What the terminal (``--json``), the server and the page are given: plain dicts that ``json`` takes.

Times within a trace are nanoseconds since its start; instants (``start_ns``) are text, since browsers' numbers
have 53 bits. ``query`` is the search language of ``fasttrace.local.search``; SearchError says what is wrong with one.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

from fasttrace.local.diagnosis import findings
from fasttrace.local.health import Losses, processes
from fasttrace.local.index import Entry, Index, Listed
from fasttrace.local.layout import layout
from fasttrace.local.model import Node, Trace
from fasttrace.local.neighbours import neighbours
from fasttrace.local.search import parse
from fasttrace.local.sides import compare_sides

# A browser reads larger integers wrong.
_SAFE_INTEGER = 2**53


def traces(
    index: Index, query: str = "", limit: int = 50, before: str | None = None, order: str = "newest"
) -> dict[str, Any]:
    """Traces with a matching span, the newest (or ``order="slowest"``) first; ``next`` goes in as ``before``.

    ``total_matching`` is None where counting would take longer than the page itself.
    """
    rows, following, total = index.page(parse(query), limit, before, order)
    return {"traces": [_listed(row) for row in rows], "next": following, "total_matching": total}


def _listed(row: Listed) -> dict[str, Any]:
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
    return trace_dict(found, neighbours(index, found))


def trace_dict(found: Trace, others: Iterable[Trace] = ()) -> dict[str, Any]:
    """A trace as ``trace`` gives it; ``others`` may hold the other side of a call that lost its context."""
    resources: dict[int, int] = {}
    resource_dicts: list[dict[str, Any]] = []
    spans = []
    for node in found.nodes:
        key = id(node.span.resource)
        if key not in resources:
            attributes = _attributes(node.span.resource)
            if attributes not in resource_dicts:
                resource_dicts.append(attributes)
            resources[key] = resource_dicts.index(attributes)
        spans.append(_span(node, found.start_ns, resources[key]))
    return {**trace_head(found), "diagnosis": diagnosis(found, others), "resources": resource_dicts, "spans": spans}


def diagnosis(found: Trace, others: Iterable[Trace] = ()) -> list[dict[str, Any]]:
    """What the rules say of a trace."""
    return [
        {
            "rule": finding.rule,
            "text": finding.sentence,
            "span_id": finding.evidence.span.span_id,
            "service": finding.service,
            "cost_ns": finding.cost_ns,
            "figures": finding.figures,
        }
        for finding in findings(found, neighbours=others)
    ]


def trace_head(found: Trace) -> dict[str, Any]:
    """A trace as ``trace`` gives it, without its spans and resources and what the rules say of it."""
    places = {id(node): place for place, node in enumerate(found.nodes)}
    return {
        "trace_id": found.trace_id,
        "name": found.name,
        "status": found.status_text,
        "start_ns": str(found.start_ns),
        "duration_ns": found.duration_ns,
        "end": found.end_ns - found.start_ns,
        "root": places[id(found.root)],
        "errors": len(found.errors),
        "services": found.services,
        "missing_parents": found.missing_parents,
        "redelivered": found.redelivered,
        "path_by_service": found.path_time_by_service(),
        "folds": [
            {"first": places[id(row.first)], "count": row.count, "spans": [places[id(node)] for node in row.nodes]}
            for row in layout(found)
            if row.count > 1
        ],
    }


def span_dict(found: Trace, place: int) -> dict[str, Any]:
    """One span of a trace as ``trace`` gives it, with its resource's attributes in place of their number."""
    node = found.nodes[place]
    return {**_span(node, found.start_ns, 0), "resource": _attributes(node.span.resource)}


def _span(node: Node, start_ns: int, resource: int) -> dict[str, Any]:
    span = node.span
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_span_id,
        "name": span.name,
        "service": node.service,
        "resource": resource,
        "kind": span.kind.name.lower(),
        "start": node.start_ns - start_ns,
        "duration": node.duration_ns,
        "self": node.self_time_ns,
        "depth": node.depth,
        "status": node.status_text,
        "message": span.status.description or "",
        "error": node.error,
        "marks": sorted(node.marks),
        "path": [[start - start_ns, end - start_ns] for start, end in node.path],
        "attributes": _attributes(span.attributes),
        "events": [
            {"name": event.name, "time": event.time_ns - start_ns, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": _attributes(link.attributes)}
            for link in span.links
        ],
        "scope": span.scope.name,
    }


def _attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key: _value(value) for key, value in attributes.items()}


def _value(value: Any) -> Any:
    """A value that JSON has: no infinities, no bytes, no integers that a browser would round."""
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return _attributes(value)
    if isinstance(value, int) and abs(value) >= _SAFE_INTEGER:
        return str(value)
    return value


def histogram(index: Index, query: str = "", buckets: int = 40) -> dict[str, Any]:
    """How long the matching traces took: buckets of equal width on a logarithmic scale, and percentiles."""
    rows = index.durations(parse(query))
    durations = sorted(duration for duration, _ in rows)
    found: dict[str, Any] = {"total": len(rows), **_percentiles(durations), "buckets": []}
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


def percentile(ordered: Sequence[int], share: float) -> int | None:
    """The nearest-rank percentile of values in order; None of nothing."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _percentiles(durations: Sequence[int]) -> dict[str, int | None]:
    return {f"p{share}": percentile(durations, share / 100) for share in (50, 95, 99)}


class _Group:
    """Entry spans that are counted together."""

    __slots__ = ("durations", "errors", "own_ns")

    def __init__(self) -> None:
        self.durations: list[int] = []
        self.errors = 0
        self.own_ns = 0

    def add(self, entry: Entry) -> None:
        self.durations.append(entry.duration_ns)
        self.errors += entry.error
        self.own_ns += entry.own_ns

    def figures(self) -> dict[str, Any]:
        self.durations.sort()
        return {
            "count": len(self.durations),
            "errors": self.errors,
            **_percentiles(self.durations),
            "total_ns": sum(self.durations),
            "self_ns": self.own_ns,
        }


def services(index: Index) -> dict[str, Any]:
    """Every service: its spans, errors, and how long its requests took."""
    groups = _grouped(index.entries(parse("")), lambda entry: entry.service)
    found = []
    for service, spans, errors in index.services():
        figures = groups[service].figures() if service in groups else _Group().figures()
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


def _grouped(entries: Iterable[Entry], key: Any) -> dict[Any, _Group]:
    groups: dict[Any, _Group] = {}
    for entry in entries:
        name = key(entry)
        if name is not None:
            groups.setdefault(name, _Group()).add(entry)
    return groups


def service_map(index: Index, query: str = "") -> dict[str, Any]:
    """Who calls whom, in the matching traces: nodes and edges with calls, errors and percentiles."""
    entries = list(index.entries(parse(query)))
    spans = {service: (count, errors) for service, count, errors in index.services(parse(query))}
    nodes = _grouped(entries, lambda entry: entry.service)
    edges = _grouped(entries, lambda entry: (entry.caller, entry.service) if entry.caller is not None else None)
    names = sorted({*spans, *nodes, *(caller for caller, _ in edges)})
    period, per_second = _period(index, query)
    drawn = []
    for name in names:
        figures = nodes.get(name, _Group()).figures()
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
    """When the matching traces began, and what a number of calls in this time is for each second.

    What began within less than a second has no rate.
    """
    found = index.period(parse(query))
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
    groups = _grouped(index.entries(parse(query)), lambda entry: (entry.service, entry.route))
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
