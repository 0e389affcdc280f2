"""One trace in plain dicts that ``json`` takes: whole, in columns, one of its spans, its events.

A page is given columns: those of 100,000 spans are a few megabytes that a browser parses in a tenth of a second,
objects would be fifty. Times are nanoseconds since the trace's start; ``start_ns`` itself is text, since browsers'
numbers have 53 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fasttrace._core.types import SpanKind
from fasttrace.local.diagnosis import findings
from fasttrace.local.layout import layout
from fasttrace.local.model import Node, Trace
from fasttrace.local.plain import exact

# More than this of a trace's events is not listed beside its spans.
MAX_EVENTS = 5_000
MAX_SAID = 160
KEEP = "fasttrace.keep_reason"
_SAID_BY = ("db.query.text", "db.statement", "url.path", "url.full", "http.url", "messaging.destination.name")
# Of an address the path says more.
_HOST = re.compile(r"^https?://[^/?#]*")
_KINDS = {kind: kind.name.lower() for kind in SpanKind}


def whole(trace: Trace, others: Iterable[Trace] = ()) -> dict[str, Any]:
    """A trace with all its spans; ``others`` may hold the other side of a call that lost its context."""
    numbers, found = resources(trace)
    rows = [{**_figures(node, trace.start_ns), **contents(node, trace.start_ns)} for node in trace.nodes]
    for row, number in zip(rows, numbers, strict=True):
        row["resource"] = number
    return {**head(trace), "diagnosis": diagnosis(trace, others), "resources": found, "spans": rows}


def head(trace: Trace) -> dict[str, Any]:
    """What is said of a trace as a whole; numbers of spans are places in ``trace.nodes``."""
    places = {id(node): place for place, node in enumerate(trace.nodes)}
    return {
        "trace_id": trace.trace_id,
        "name": trace.name,
        "status": trace.status_text,
        "start_ns": str(trace.start_ns),
        "duration_ns": trace.duration_ns,
        "end": trace.end_ns - trace.start_ns,
        "root": places[id(trace.root)],
        "errors": len(trace.errors),
        "services": trace.services,
        "missing_parents": trace.missing_parents,
        "redelivered": trace.redelivered,
        "path_by_service": trace.path_time_by_service(),
        "folds": [
            {"first": places[id(row.first)], "count": row.count, "spans": [places[id(node)] for node in row.nodes]}
            for row in layout(trace)
            if row.count > 1
        ],
    }


def diagnosis(trace: Trace, others: Iterable[Trace] = ()) -> list[dict[str, Any]]:
    """What the rules say of a trace."""
    return [finding.to_dict() for finding in findings(trace, neighbours=others)]


def resources(trace: Trace) -> tuple[list[int], list[dict[str, Any]]]:
    """The number of each span's resource, and the resources by number."""
    numbers: dict[str, int] = {}
    found: list[dict[str, Any]] = []
    known: dict[int, int] = {}  # spans that were sent together share their resource
    rows = []
    for node in trace.nodes:
        resource = node.span.resource
        number = known.get(id(resource))
        if number is None:
            number = known[id(resource)] = numbers.setdefault(repr(resource), len(found))
            if number == len(found):
                found.append(exact(resource))
        rows.append(number)
    return rows, found


def span(trace: Trace, row: int) -> dict[str, Any]:
    """One span with all it has, and the attributes of its resource."""
    node = trace.nodes[row]
    return {
        **_figures(node, trace.start_ns),
        **contents(node, trace.start_ns),
        "resource": exact(node.span.resource),
        "row": row,
    }


def _figures(node: Node, start_ns: int) -> dict[str, Any]:
    """What ``columns`` have of a span, too."""
    return {
        "span_id": node.span.span_id,
        "name": node.name,
        "service": node.service,
        "kind": _KINDS[node.span.kind],
        "start": node.start_ns - start_ns,
        "duration": node.duration_ns,
        "self": node.self_time_ns,
        "depth": node.depth,
        "status": node.status_text,
        "error": node.error,
        "path": _path(node, start_ns),
    }


def contents(node: Node, start_ns: int) -> dict[str, Any]:
    """What a page asks for when a span is selected, but for its resource."""
    span = node.span
    return {
        "parent_id": span.parent_span_id,
        "message": span.status.description or "",
        "marks": sorted(node.marks),
        "attributes": exact(span.attributes),
        "events": [
            {"name": event.name, "time": event.time_ns - start_ns, "attributes": exact(event.attributes)}
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": exact(link.attributes)}
            for link in span.links
        ],
        "scope": span.scope.name,
    }


def _path(node: Node, start_ns: int) -> list[list[int]]:
    return [[start - start_ns, end - start_ns] for start, end in node.path]


class _Texts(dict[str, int]):
    def __missing__(self, text: str) -> int:
        number = self[text] = len(self)
        return number


def columns(trace: Trace) -> dict[str, Any]:
    """A trace in columns; of what few spans have (marks, path, events) a map from the span's row to it.

    Rows are ``trace.nodes``; ``names``, ``services_of``, ``kinds``, ``statuses``, ``saying`` are places in ``texts``.
    """
    nodes, zero = trace.nodes, trace.start_ns
    texts = _Texts()
    return {
        **head(trace),
        "keep_reason": next((node.span.attributes[KEEP] for node in nodes if KEEP in node.span.attributes), None),
        "count": len(nodes),
        "ids": [node.span.span_id for node in nodes],
        "parents": _parents(nodes),
        "names": [texts[node.name] for node in nodes],
        "services_of": [texts[node.service] for node in nodes],
        "kinds": [texts[_KINDS[node.span.kind]] for node in nodes],
        "depths": [node.depth for node in nodes],
        "starts": [node.start_ns - zero for node in nodes],
        "durations": [node.duration_ns for node in nodes],
        "selves": [node.self_time_ns for node in nodes],
        "statuses": [texts[node.status_text or ""] for node in nodes],
        "saying": [texts[_said(node.span.attributes)] for node in nodes],
        "failed_rows": [row for row, node in enumerate(nodes) if node.error],
        "marks": {row: sorted(node.marks) for row, node in enumerate(nodes) if node.marks},
        "paths": {row: _path(node, zero) for row, node in enumerate(nodes) if node.path},
        "events": {
            row: [[event.time_ns - zero, texts[event.name]] for event in node.span.events]
            for row, node in enumerate(nodes)
            if node.span.events
        },
        "texts": list(texts),
    }


def _parents(nodes: list[Node]) -> list[int]:
    """The row of each span's parent in tree order, -1 at the top: what the depths say, cycles and orphans cut."""
    parents = []
    above: list[int] = []
    for row, node in enumerate(nodes):
        del above[node.depth :]
        parents.append(above[-1] if above else -1)
        above.append(row)
    return parents


def _said(attributes: dict[str, Any]) -> str:
    if attributes:
        for key in _SAID_BY:
            value = attributes.get(key)
            if isinstance(value, str) and value:
                return (value if value[:4] != "http" else _HOST.sub("", value) or "/")[:MAX_SAID]
    return ""


def events(trace: Trace) -> list[dict[str, Any]]:
    """The events of all spans in the order of time, each with the row of its span; the first ``MAX_EVENTS``."""
    found = [(event.time_ns, row, event) for row, node in enumerate(trace.nodes) for event in node.span.events]
    found.sort(key=lambda one: one[:2])
    return [
        {
            "name": event.name,
            "time": time_ns - trace.start_ns,
            "attributes": exact(event.attributes),
            "row": row,
            "service": trace.nodes[row].service,
            "span": trace.nodes[row].name,
        }
        for time_ns, row, event in found[:MAX_EVENTS]
    ]
