"""Waiting for a connection that others hold."""

from __future__ import annotations

from collections.abc import Sequence

from fasttrace.local.diagnosis.finding import MIN_SHARE, Diagnosis, by_cause, longest, of_total, time_ns
from fasttrace.local.model import Node, Trace
from fasttrace.local.text import clean, named
from fasttrace.local.waits import is_pool_wait, pool_name, pool_size, pool_waiters

Key = tuple[str, ...]


def pool_wait(slowest_first: Sequence[Trace], called: str) -> Diagnosis | None:
    """The first trace mostly waits for one pool; how many of the others do, too."""
    trace = slowest_first[0]
    causes = by_cause(trace, _cause)
    if not causes:
        return None
    cause, segments = max(causes.items(), key=lambda item: time_ns(item[1]))
    waited_ns, total_ns = time_ns(segments), trace.duration_ns
    if cause[0] != "pool" or waited_ns < MIN_SHARE * total_ns:
        return None
    evidence = longest(segments)
    service = evidence.service
    shared = [other for other in slowest_first if _holds(other, cause)]
    waits = [node.span for other in shared for node in other.nodes if _cause(node) == cause]
    size = max((count for count in map(pool_size, waits) if count is not None), default=None)
    waiting = max((count for count in map(pool_waiters, waits) if count is not None), default=None)
    figures: dict[str, float] = {
        "waited_ns": waited_ns,
        "duration_ns": total_ns,
        "share": waited_ns / total_ns,
        "traces_compared": len(slowest_first),
        "traces_sharing": len(shared),
    }
    details = []
    if size is not None:
        figures["pool_size"] = size
        details.append("1 connection" if size == 1 else f"{size} connections")
    if waiting is not None:
        figures["waiting"] = waiting
        details.append(f"up to {waiting} waiting")
    where = "its database pool" if pool_name(evidence.span) else named(evidence.name)
    sentence = (
        f"{clean(service)} is the bottleneck: {of_total(waited_ns, trace, called)} waits for {where}"
        + (f" ({', '.join(details)})" if details else "")
        + "."
        + (f" It takes the largest part of {_how_many(len(shared), len(slowest_first))}." if len(shared) > 1 else "")
    )
    return Diagnosis("pool_wait", service, sentence, evidence, figures, waited_ns)


def _cause(node: Node) -> Key:
    """Waits by pool; anything else by the service and operation that took the time."""
    if is_pool_wait(node.span):
        return ("pool", node.service, pool_name(node.span) or node.name)
    return ("work", node.service, node.name)


def _how_many(count: int, of: int) -> str:
    return f"all {of} slowest traces" if count == of else f"{count} of the {of} slowest traces"


def _holds(trace: Trace, cause: Key) -> bool:
    """Whether a cause takes the largest share of a trace's critical path."""
    causes = by_cause(trace, _cause)
    return cause in causes and time_ns(causes[cause]) == max(time_ns(segments) for segments in causes.values())
