"""A trace as a page wants it: the same for every span in columns, texts once, details of one span when asked for.

Columns of 100,000 spans are a few megabytes that a browser parses in a tenth of a second; objects would be fifty.
"""

from __future__ import annotations

import re
from typing import Any

from fasttrace._core.types import SpanKind
from fasttrace.local import api
from fasttrace.local.server.plain import exact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.local.model import Node, Trace

# More than this of a trace's events is not listed beside its spans.
MAX_EVENTS = 5_000
_SAID_BY = ("db.query.text", "db.statement", "url.path", "url.full", "http.url", "messaging.destination.name")
MAX_SAID = 160
# Of an address the path says more.
_HOST = re.compile(r"^https?://[^/?#]*")
KEEP = "fasttrace.keep_reason"
_KINDS = {kind: kind.name.lower() for kind in SpanKind}


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
        **api.trace_head(trace),
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
        "paths": {
            row: [[start - zero, end - zero] for start, end in node.path] for row, node in enumerate(nodes) if node.path
        },
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


def details(trace: Trace, row: int) -> dict[str, Any]:
    """One span with all it has, and its resource."""
    return {**api.span_dict(trace, row), "row": row}


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
