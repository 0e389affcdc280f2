"""One sentence that names the cause of a slow trace, with the figures and the span it rests on.

Rules look at the critical path of the slowest trace, and at span data only. The first rule that
holds speaks; there is always a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fasttrace.local.model import Node, Trace
from fasttrace.local.operation import is_outgoing_http, operation
from fasttrace.local.text import clean, format_duration, format_percent
from fasttrace.local.timing import Segment
from fasttrace.local.waits import is_pool_wait, pool_name, pool_size, pool_waiters

# What takes less of the critical path than this is not called the cause.
MIN_SHARE = 0.3
# How many of the slowest traces are compared with the slowest.
COMPARED = 10


class Diagnosis:
    """What a rule found: its name, the sentence, the figures in it, and the span that shows it best.

    ``figures`` holds numbers only: nanoseconds under names in ``_ns``, shares from 0 to 1 under names
    in ``_share``, counts.
    """

    __slots__ = ("evidence", "figures", "rule", "sentence", "service")

    def __init__(self, rule: str, service: str, sentence: str, evidence: Node, figures: dict[str, float]) -> None:
        self.rule = rule
        self.service = service
        self.sentence = sentence
        self.evidence = evidence
        self.figures = figures

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "rule": self.rule,
            "service": self.service,
            "sentence": self.sentence,
            "trace_id": self.evidence.span.trace_id,
            "span_id": self.evidence.span.span_id,
            "figures": self.figures,
        }

    def __repr__(self) -> str:
        return f"Diagnosis({self.rule!r}, {self.service!r})"


def diagnose(traces: Sequence[Trace], called: str = "the slowest trace") -> Diagnosis:
    """The cause of the slowest of the traces, and whether the other slow ones share it.

    ``called`` is what the sentence calls the slowest one. Raises ValueError when there are no traces.
    """
    if not traces:
        raise ValueError("nothing to diagnose: no traces")
    slowest_first = sorted(traces, key=lambda trace: -trace.duration_ns)[:COMPARED]
    for rule in (_pool_wait, _slow_dependency):
        found = rule(slowest_first, called)
        if found is not None:
            return found
    return _spread(slowest_first[0], called)


Key = tuple[str, ...]


def _by_cause(trace: Trace, cause: Callable[[Node], Key]) -> dict[Key, list[Segment]]:
    causes: dict[Key, list[Segment]] = {}
    for segment in trace.critical_path:
        causes.setdefault(cause(segment.node), []).append(segment)
    return causes


def _time_ns(segments: Sequence[Segment]) -> int:
    return sum(segment.duration_ns for segment in segments)


def _longest(segments: Sequence[Segment]) -> Node:
    return max(segments, key=lambda segment: segment.duration_ns).node


def _operation(node: Node) -> Key:
    return (node.service, operation(node.span))


def _quoted(node: Node) -> str:
    """An operation as it is named in a sentence; an outgoing request's own time lies between the services."""
    text = f"`{clean(operation(node.span))}`"
    return f"the way to {text} and back" if is_outgoing_http(node.span) else text


def _pool_cause(node: Node) -> Key:
    """Waits by pool; anything else by the service and operation that took the time."""
    if is_pool_wait(node.span):
        return ("pool", node.service, pool_name(node.span) or node.name)
    return ("work", node.service, node.name)


def _pool_wait(slowest_first: Sequence[Trace], called: str) -> Diagnosis | None:
    trace = slowest_first[0]
    causes = _by_cause(trace, _pool_cause)
    if not causes:
        return None
    cause, segments = max(causes.items(), key=lambda item: _time_ns(item[1]))
    waited_ns, total_ns = _time_ns(segments), trace.duration_ns
    if cause[0] != "pool" or waited_ns < MIN_SHARE * total_ns:
        return None
    evidence = _longest(segments)
    service = evidence.service
    shared = [other for other in slowest_first if _holds(other, cause)]
    waits = [node.span for other in shared for node in other.nodes if _pool_cause(node) == cause]
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
    where = "its database pool" if pool_name(evidence.span) else f"`{clean(evidence.name)}`"
    sentence = (
        f"{clean(service)} is the bottleneck: {format_percent(waited_ns, total_ns)} of {called} "
        f"({format_duration(waited_ns)} of {format_duration(total_ns)}) waits for {where}"
        + (f" ({', '.join(details)})" if details else "")
        + "."
        + (f" It takes the largest part of {_how_many(len(shared), len(slowest_first))}." if len(shared) > 1 else "")
    )
    return Diagnosis("pool_wait", service, sentence, evidence, figures)


def _how_many(count: int, of: int) -> str:
    return f"all {of} slowest traces" if count == of else f"{count} of the {of} slowest traces"


def _holds(trace: Trace, cause: Key) -> bool:
    """Whether a cause takes the largest share of a trace's critical path."""
    causes = _by_cause(trace, _pool_cause)
    return cause in causes and _time_ns(causes[cause]) == max(_time_ns(segments) for segments in causes.values())


def _slow_dependency(slowest_first: Sequence[Trace], called: str) -> Diagnosis | None:
    trace = slowest_first[0]
    causes = _by_cause(trace, lambda node: (node.service,))
    others = {cause: segments for cause, segments in causes.items() if cause[0] != trace.root.service}
    if not others:
        return None
    cause, segments = max(others.items(), key=lambda item: _time_ns(item[1]))
    spent_ns, total_ns = _time_ns(segments), trace.duration_ns
    if 2 * spent_ns < total_ns:
        return None
    operations = _by_cause(trace, _operation)
    largest = max((segments for (service, _), segments in operations.items() if service == cause[0]), key=_time_ns)
    evidence = _longest(largest)
    figures = {
        "spent_ns": spent_ns,
        "duration_ns": total_ns,
        "share": spent_ns / total_ns,
        "operation_ns": _time_ns(largest),
    }
    sentence = (
        f"{clean(cause[0])} is the slow dependency: {format_percent(spent_ns, total_ns)} of {called} "
        f"({format_duration(spent_ns)} of {format_duration(total_ns)}) is spent there, most of it in "
        f"{_quoted(evidence)} ({format_duration(_time_ns(largest))})."
    )
    return Diagnosis("slow_dependency", cause[0], sentence, evidence, figures)


def _spread(trace: Trace, called: str) -> Diagnosis:
    causes = _by_cause(trace, _operation)
    total_ns = trace.duration_ns
    if not causes:
        figures: dict[str, float] = {"duration_ns": total_ns}
        return Diagnosis(
            "spread", trace.root.service, "No time to explain: the trace has no duration.", trace.root, figures
        )
    segments = max(causes.values(), key=_time_ns)
    spent_ns, evidence = _time_ns(segments), _longest(segments)
    sentence = (
        f"No dependency stands out: the largest part of {called} is {_quoted(evidence)} in "
        f"{clean(evidence.service)}, {format_percent(spent_ns, total_ns)} "
        f"({format_duration(spent_ns)} of {format_duration(total_ns)})."
    )
    figures = {"spent_ns": spent_ns, "duration_ns": total_ns, "share": spent_ns / total_ns}
    return Diagnosis("spread", evidence.service, sentence, evidence, figures)
