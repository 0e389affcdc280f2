"""One service that takes most of the time; and what can be said when none does."""

from __future__ import annotations

from fasttrace.local.diagnosis.finding import (
    Diagnosis,
    by_cause,
    longest,
    of_total,
    operation_of,
    own_time,
    time_ns,
)
from fasttrace.local.model import Trace
from fasttrace.local.text import clean, format_duration, format_percent

# A dependency is slow when it takes at least this share of the whole.
MIN_DEPENDENCY_SHARE = 0.5


def slow_dependency(trace: Trace, called: str) -> Diagnosis | None:
    """A service other than the root's takes at least half of the time."""
    causes = by_cause(trace, lambda node: node.service)
    others = {service: segments for service, segments in causes.items() if service != trace.root.service}
    if not others:
        return None
    service, segments = max(others.items(), key=lambda item: time_ns(item[1]))
    spent_ns, total_ns = time_ns(segments), trace.duration_ns
    if spent_ns < MIN_DEPENDENCY_SHARE * total_ns:
        return None
    operations = by_cause(trace, operation_of)
    largest = max((segments for (owner, _), segments in operations.items() if owner == service), key=time_ns)
    evidence = longest(largest)
    figures = {
        "spent_ns": spent_ns,
        "duration_ns": total_ns,
        "share": spent_ns / total_ns,
        "operation_ns": time_ns(largest),
    }
    sentence = (
        f"{clean(service)} is the slow dependency: {of_total(spent_ns, trace, called)} is spent there, most of it in "
        f"{own_time(evidence)} ({format_duration(time_ns(largest))})."
    )
    return Diagnosis("slow_dependency", service, sentence, evidence, figures, spent_ns)


def spread(trace: Trace, called: str) -> Diagnosis:
    """The largest part, for want of a cause."""
    causes = by_cause(trace, operation_of)
    total_ns = trace.duration_ns
    if not causes:
        figures: dict[str, float] = {"duration_ns": total_ns}
        return Diagnosis(
            "spread", trace.root.service, "No time to explain: the trace has no duration.", trace.root, figures
        )
    segments = max(causes.values(), key=time_ns)
    spent_ns, evidence = time_ns(segments), longest(segments)
    sentence = (
        f"No dependency stands out: the largest part of {called} is {own_time(evidence)} in "
        f"{clean(evidence.service)}, {format_percent(spent_ns, total_ns)} "
        f"({format_duration(spent_ns)} of {format_duration(total_ns)})."
    )
    figures = {"spent_ns": spent_ns, "duration_ns": total_ns, "share": spent_ns / total_ns}
    return Diagnosis("spread", evidence.service, sentence, evidence, figures, spent_ns)
