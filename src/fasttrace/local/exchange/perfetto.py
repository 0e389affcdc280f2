"""Trace events in JSON, which Perfetto's user interface (and speedscope) load: a process for each service.

Spans that overlap without one lying in the other stand on different threads; arrows lead from calls to what they
called in another service.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from fasttrace._core.types import SpanData, StatusCode
from fasttrace.local.facts import service_of, to_text
from fasttrace.local.model import group_traces

NAME = "perfetto"
TITLE = "Perfetto's trace events (written only)"
SUFFIXES = (".perfetto.json", ".perfetto-trace", ".trace.json")


class _Lanes:
    """The threads of one service: on each, spans lie one in the other or one behind the other."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._ends: list[list[int]] = []

    def place(self, start: int, end: int, wanted: int) -> int:
        """The lane for a span, ``wanted`` if it fits there. Spans come in order of start, the longest first."""
        lanes = range(len(self._ends))
        for lane in (wanted, *lanes) if wanted in lanes else lanes:
            ends = self._ends[lane]
            while ends and ends[-1] <= start:
                ends.pop()
            if not ends or ends[-1] >= end:
                ends.append(end)
                return lane
        self._ends.append([end])
        return len(self._ends) - 1


def write(traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """One object; all spans are in memory until it is written."""
    spans = sorted(
        (span for members in traces for span in members),
        key=lambda span: (span.start_time_ns, -max(span.start_time_ns, span.end_time_ns)),
    )
    base = spans[0].start_time_ns if spans else 0
    head = json.dumps({"fasttrace.start_ns": str(base)})
    yield f'{{"displayTimeUnit":"ms","otherData":{head},"traceEvents":['.encode()
    before = b""
    for event in _events(spans, base):
        yield before + json.dumps(event, separators=(",", ":")).encode()
        before = b",\n"
    yield b"]}\n"


def _events(spans: list[SpanData], base: int) -> Iterator[dict[str, Any]]:
    services: dict[str, _Lanes] = {}
    arrows = 0  # Perfetto takes ids of 64 bits
    places: dict[tuple[str, str], tuple[str, int]] = {}
    parents = {(trace_id, span.span_id): span for trace_id, members in group_traces(spans).items() for span in members}
    for span in spans:
        service = service_of(span.resource)
        lanes = services.get(service)
        if lanes is None:
            lanes = services[service] = _Lanes(len(services) + 1)
            yield {"ph": "M", "name": "process_name", "pid": lanes.number, "tid": 0, "args": {"name": service}}
        start, end = span.start_time_ns, max(span.start_time_ns, span.end_time_ns)
        above = places.get((span.trace_id, span.parent_span_id), ("", -1))
        lane = lanes.place(start, end, above[1] if above[0] == service else -1)
        places[span.trace_id, span.span_id] = (service, lane)
        where = {"pid": lanes.number, "tid": lane + 1}
        yield {
            "ph": "X",
            "name": span.name or "?",
            "cat": span.kind.name.lower(),
            "ts": (start - base) / 1000,
            "dur": (end - start) / 1000,
            **where,
            "args": _arguments(span),
        }
        parent = parents.get((span.trace_id, span.parent_span_id))
        if parent is not None and above[0] and above[0] != service:
            arrows += 1
            arrow = {"cat": "call", "name": "call", "id": arrows}
            at = min(max(start, parent.start_time_ns), max(parent.start_time_ns, parent.end_time_ns))
            yield {"ph": "s", "pid": services[above[0]].number, "tid": above[1] + 1, "ts": (at - base) / 1000, **arrow}
            yield {"ph": "f", "bp": "e", **where, "ts": (start - base) / 1000, **arrow}
        for event in span.events:
            arguments = {key: to_text(value) for key, value in event.attributes.items()}
            at = max(event.time_ns, base) - base
            yield {"ph": "i", "s": "t", "name": event.name or "?", "ts": at / 1000, **where, "args": arguments}


def _arguments(span: SpanData) -> dict[str, str]:
    found = {key: to_text(value) for key, value in span.attributes.items()}
    found |= {"trace_id": span.trace_id, "span_id": span.span_id}
    if span.status.status_code == StatusCode.ERROR:
        found["status"] = f"error: {span.status.description}" if span.status.description else "error"
    return found
