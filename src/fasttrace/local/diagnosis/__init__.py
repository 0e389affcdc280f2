"""Sentences that name the cause of a slow trace, with the figures and the span each rests on.

Rules look at the critical path and at span data only. One file per kind of cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from fasttrace.local.diagnosis.calls import retry_storm, sequential_calls
from fasttrace.local.diagnosis.dependency import slow_dependency, spread
from fasttrace.local.diagnosis.finding import MIN_SHARE, Diagnosis
from fasttrace.local.diagnosis.lost import lost_context
from fasttrace.local.diagnosis.pool import pool_wait
from fasttrace.local.diagnosis.queries import n_plus_one
from fasttrace.local.model import Trace

__all__ = ["Diagnosis", "diagnose", "findings"]

# How many of the slowest traces are compared with the slowest.
COMPARED = 10
# What one rule says of one trace: the costliest cases.
MAX_PER_RULE = 3


def diagnose(traces: Sequence[Trace], called: str = "the slowest trace") -> Diagnosis:
    """The cause of the slowest of the traces, and whether the other slow ones share it.

    ``called`` is what the sentence calls the slowest one. There is always a sentence.
    Raises ValueError when there are no traces.
    """
    if not traces:
        raise ValueError("nothing to diagnose: no traces")
    slowest_first = sorted(traces, key=lambda trace: -trace.duration_ns)[:COMPARED]
    slowest = slowest_first[0]
    for found in _causes(slowest_first, called):
        if found.cost_ns >= MIN_SHARE * slowest.duration_ns > 0:
            return found
    return slow_dependency(slowest, called) or spread(slowest, called)


def findings(trace: Trace, called: str = "this trace", neighbours: Iterable[Trace] = ()) -> list[Diagnosis]:
    """All that can be said of one trace, the costliest first; never nothing.

    ``neighbours`` are traces of the same time: a call that lost its context may go on in one of them.
    """
    found = _causes([trace], called)
    dependency = slow_dependency(trace, called)
    # A dependency whose cause has been named needs no second sentence.
    if dependency and not any(
        one.service == dependency.service and 2 * one.cost_ns >= dependency.cost_ns for one in found
    ):
        found.append(dependency)
    lost = list(islice(lost_context(trace, called, neighbours), MAX_PER_RULE))
    return [*(found or [spread(trace, called)]), *lost]


def _causes(slowest_first: Sequence[Trace], called: str) -> list[Diagnosis]:
    """What the specific rules find in the first trace, the costliest first."""
    trace = slowest_first[0]
    waits = pool_wait(slowest_first, called)
    found = [waits] if waits else []
    for rule in (n_plus_one, sequential_calls, retry_storm):
        found += sorted(rule(trace, called), key=lambda one: -one.cost_ns)[:MAX_PER_RULE]
    return sorted(found, key=lambda one: -one.cost_ns)
