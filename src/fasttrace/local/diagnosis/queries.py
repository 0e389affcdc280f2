"""N+1: one query for the list, then one more for each of its rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.local.diagnosis.finding import Diagnosis, quoted
from fasttrace.local.model import Node, Trace
from fasttrace.local.text import clean, format_duration, format_percent
from fasttrace.local.waits import is_pool_wait

MIN_QUERIES = 5
# Repetitions that cost less than this share are not worth a sentence, unless they are many.
MIN_QUERIES_SHARE = 0.05
MANY_QUERIES = 25

_STATEMENT_KEYS = ("db.query.summary", "db.query.text", "db.statement", "db.operation.name", "db.operation")
_SYSTEM_KEYS = ("db.system.name", "db.system")
# They frame work, and do none.
_FRAMES = re.compile(r"\s*(begin|commit|rollback|savepoint|release|start transaction|set|pragma|ping)\b", re.IGNORECASE)
_LITERALS = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b|\$\d+|%\(\w+\)s|%s|:\w+")
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")
_MAX_STATEMENT = 2_000


def is_query(span: SpanData) -> bool:
    """Whether a span is a call of a database, and not the wait for a connection."""
    attributes = span.attributes
    said = any(key in attributes for key in _STATEMENT_KEYS)
    return (said or any(key in attributes for key in _SYSTEM_KEYS)) and not is_pool_wait(span)


def statement(span: SpanData) -> str:
    """What a query asks, without its literals: equal for queries that differ in their values only."""
    text = next((span.attributes[key] for key in _STATEMENT_KEYS if key in span.attributes), span.name)
    text = _LITERALS.sub("?", str(text)[:_MAX_STATEMENT])
    return " ".join(_LISTS.sub("(?)", text).split())


def n_plus_one(trace: Trace, called: str) -> Iterator[Diagnosis]:
    """The same statement again and again for one request of a service."""
    entries: list[Node] = [trace.root] * len(trace.nodes)
    runs: dict[tuple[int, str, str], list[Node]] = {}
    for node in trace.nodes:
        parent = node.parent
        enters = parent is None or parent.service != node.service or node.span.kind in _ENTRIES
        entry = entries[node.index] = node if enters or parent is None else entries[parent.index]
        if node.error or not is_query(node.span):
            continue
        asked = statement(node.span)
        if _FRAMES.match(asked):
            continue
        if parent is not None and is_query(parent.span) and parent.service == node.service:
            continue  # the same query, seen by a library and by the driver below it
        runs.setdefault((entry.index, node.service, asked), []).append(node)
    for run in runs.values():
        if len(run) < MIN_QUERIES:
            continue
        cost_ns, total_ns = sum(trace.path_below_ns[node.index] for node in run), trace.duration_ns
        if cost_ns < MIN_QUERIES_SHARE * total_ns and len(run) < MANY_QUERIES:
            continue
        evidence, service = run[0], run[0].service
        sentence = (
            f"N+1 queries: {quoted(evidence)} runs {len(run):,} times for one {quoted(entries[evidence.index])} in "
            f"{clean(service)}, {format_percent(cost_ns, total_ns)} of {called} ({format_duration(cost_ns)}); "
            "one query for all of them could do."
        )
        figures = {
            "queries": len(run),
            "spent_ns": cost_ns,
            "duration_ns": total_ns,
            "share": cost_ns / total_ns if total_ns else 0.0,
        }
        yield Diagnosis("n_plus_one", service, sentence, evidence, figures, cost_ns)


_ENTRIES = (SpanKind.SERVER, SpanKind.CONSUMER)
