"""A trace as a page wants it: the same for every span in columns, texts once, details of one span when asked for.

Columns of 100,000 spans are a few megabytes that a browser parses in a tenth of a second; objects would be fifty.
"""

from __future__ import annotations

import re
from typing import Any

from fasttrace.local.server.plain import exact

# More than this of a trace's events is not listed beside its spans.
MAX_EVENTS = 5_000
_SAID_BY = ("db.query.text", "db.statement", "url.path", "url.full", "http.url", "messaging.destination.name", "exception.type")
MAX_SAID = 160
# Of an address the path says more.
_HOST = re.compile(r"^https?://[^/?#]*")
KEEP_REASON = "fasttrace.keep_reason"


class _Texts(dict[str, int]):
    def __missing__(self, text: str) -> int:
        number = self[text] = len(self)
        return number


def columns(trace: dict[str, Any]) -> dict[str, Any]:
    """``api.trace`` in columns; of what few spans have (marks, path, events) a map from the span's place to it."""
    spans = trace["spans"]
    texts = _Texts()
    row_of: dict[str, int] = {}
    for row, span in enumerate(spans):
        row_of.setdefault(span["span_id"], row)
    keep = next((span["attributes"][KEEP_REASON] for span in spans if KEEP_REASON in span["attributes"]), None)
    head = {key: value for key, value in trace.items() if key not in ("spans", "resources")}
    return {
        **head,
        "keep_reason": keep,
        "count": len(spans),
        "ids": [span["span_id"] for span in spans],
        "parents": _parents(spans),
        "names": [texts[span["name"]] for span in spans],
        "services_of": [texts[span["service"]] for span in spans],
        "kinds": [texts[str(span["kind"])] for span in spans],
        "depths": [span["depth"] for span in spans],
        "starts": [span["start"] for span in spans],
        "durations": [span["duration"] for span in spans],
        "selves": [span["self"] for span in spans],
        "statuses": [texts[str(span.get("status") or "")] for span in spans],
        "saying": [texts[_said(span["attributes"])] for span in spans],
        "failed_rows": [row for row, span in enumerate(spans) if span["error"]],
        "marks": {row: span["marks"] for row, span in enumerate(spans) if span["marks"]},
        "paths": {row: span["path"] for row, span in enumerate(spans) if span["path"]},
        "events": {
            row: [[event["time"], texts[event["name"]]] for event in span["events"]]
            for row, span in enumerate(spans)
            if span["events"]
        },
        "texts": list(texts),
    }


def _parents(spans: list[dict[str, Any]]) -> list[int]:
    """The row of each span's parent in tree order, -1 at the top: what the depths say, cycles and orphans cut."""
    parents = []
    above: list[int] = []
    for row, span in enumerate(spans):
        del above[span["depth"] :]
        parents.append(above[-1] if above else -1)
        above.append(row)
    return parents


def _said(attributes: dict[str, Any]) -> str:
    for key in _SAID_BY:
        value = attributes.get(key)
        if isinstance(value, str) and value:
            return (_HOST.sub("", value) or "/")[:MAX_SAID]
    return ""


def details(trace: dict[str, Any], row: int) -> dict[str, Any]:
    """One span with all it has, and its resource."""
    span = trace["spans"][row]
    found: dict[str, Any] = exact({**span, "row": row, "resource": trace["resources"][span["resource"]]})
    return found


def events(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of all spans in the order of time, each with the row of its span."""
    found = [
        {**event, "row": row, "service": span["service"], "span": span["name"]}
        for row, span in enumerate(trace["spans"])
        for event in span["events"]
    ]
    found.sort(key=lambda event: event["time"])
    return [exact(event) for event in found[:MAX_EVENTS]]
