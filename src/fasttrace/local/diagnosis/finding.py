"""What a rule says, and what the rules share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from fasttrace.local.model import Node, Trace
from fasttrace.local.operation import is_outgoing, operation
from fasttrace.local.text import format_duration, format_percent, named
from fasttrace.local.timing import Segment

# What takes less of the critical path than this is not called the cause.
MIN_SHARE = 0.3

Cause = TypeVar("Cause", bound=Hashable)


class Diagnosis:
    """What a rule found: its name, the sentence, the figures in it, and the span that shows it best.

    ``figures`` holds numbers only: nanoseconds under names in ``_ns``, shares from 0 to 1 under names
    in ``_share``, counts. ``cost_ns`` is how much of the critical path it accounts for: what the
    trace could be faster by at most.
    """

    __slots__ = ("cost_ns", "evidence", "figures", "rule", "sentence", "service")

    def __init__(
        self, rule: str, service: str, sentence: str, evidence: Node, figures: dict[str, float], cost_ns: int = 0
    ) -> None:
        self.rule: str = rule
        self.service: str = service
        self.sentence: str = sentence
        self.evidence: Node = evidence
        self.figures: dict[str, float] = figures
        self.cost_ns: int = cost_ns

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "rule": self.rule,
            "text": self.sentence,
            "span_id": self.evidence.span.span_id,
            "service": self.service,
            "cost_ns": self.cost_ns,
            "figures": self.figures,
        }

    def __repr__(self) -> str:
        return f"Diagnosis({self.rule!r}, {self.service!r})"


def by_cause(trace: Trace, cause: Callable[[Node], Cause]) -> dict[Cause, list[Segment]]:
    """The critical path's pieces by what they are put down to."""
    causes: dict[Cause, list[Segment]] = {}
    for segment in trace.critical_path:
        causes.setdefault(cause(segment.node), []).append(segment)
    return causes


def time_ns(segments: Iterable[Segment]) -> int:
    """The sum of the pieces."""
    return sum(segment.duration_ns for segment in segments)


def longest(segments: Sequence[Segment]) -> Node:
    """The span of the longest piece."""
    return max(segments, key=lambda segment: segment.duration_ns).node


def operation_of(node: Node) -> tuple[str, str]:
    """Service and operation."""
    return node.service, operation(node.span)


def quoted(node: Node) -> str:
    """An operation as it is named in a sentence."""
    return named(operation(node.span))


def own_time(node: Node) -> str:
    """An operation's own time as it is named in a sentence; an outgoing request's lies between the services."""
    return f"the way to {quoted(node)} and back" if is_outgoing(node.span) else quoted(node)


def of_total(part_ns: int, trace: Trace, called: str) -> str:
    """``74 % of the slowest trace (1.71 s of 2.31 s)``."""
    total_ns = trace.duration_ns
    return (
        f"{format_percent(part_ns, total_ns)} of {called} ({format_duration(part_ns)} of {format_duration(total_ns)})"
    )
