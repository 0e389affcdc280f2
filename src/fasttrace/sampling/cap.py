"""At most a share of the traces, whatever a sampler says: the head ratio of a process that traces for too much CPU.

It holds where a trace comes into the process. Spans below a local parent do as it did, so that a trace has one
decision; below one that was left out nothing begins again, not even when the cap has been lifted meanwhile.
"""

from __future__ import annotations

from fasttrace._core import tracestate
from fasttrace.sampling import consistent
from fasttrace.sampling.base import ASK, DROP, ENTRIES, LOCAL_NOT_SAMPLED, NEVER, ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.sampling.base import Answer, Members, Thresholds


def capped(thresholds: Thresholds, members: Members, max_ratio: float) -> tuple[Thresholds, Members]:
    """The thresholds that keep at most this share, and the members that say so.

    Below a remote parent whose ``th`` is left as it came there is none afterwards: it would tell too few.
    """
    found, marks = list(thresholds), list(members)
    for case in ENTRIES:
        value = thresholds[case]
        if value == ASK:
            continue
        if value < 0:
            found[case] = max(value, consistent.bound_of(max_ratio))
        elif value < consistent.threshold_of(max_ratio):
            found[case] = consistent.threshold_of(max_ratio)
            known = case == ROOT or members[case] is not None
            marks[case] = consistent.member_of(found[case]) if known else ""
    if found[LOCAL_NOT_SAMPLED] != ASK:
        found[LOCAL_NOT_SAMPLED] = NEVER
    return (found[0], found[1], found[2], found[3], found[4]), (marks[0], marks[1], marks[2], marks[3], marks[4])


def judged(answer: Answer, rule: int, trace_id: int, parent: Any, max_ratio: float) -> Answer:
    """What is left of a sampler's answer."""
    decision, attributes, header = answer
    if rule == LOCAL_NOT_SAMPLED:
        return DROP, None, None
    if decision == DROP or rule not in ENTRIES or max_ratio >= 1:
        return answer
    threshold = consistent.threshold_of(max_ratio)
    if not consistent.keeps(threshold, trace_id, parent):
        return DROP, None, consistent.with_member(parent, None)
    text = consistent.header_of(parent) if header is None else header
    said = consistent.threshold_in(text)
    if said is not None and said < threshold:
        header = tracestate.with_threshold(text, consistent.member_of(threshold))
    return decision, attributes, header
