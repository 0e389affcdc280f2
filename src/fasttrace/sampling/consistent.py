"""OpenTelemetry's consistent probability ("TraceState: Probability Sampling"): thresholds, randomness, tracestate.

The core does the same for thresholds by itself; this is for samplers that decide in Python.
"""

from __future__ import annotations

from fasttrace._core import tracestate
from fasttrace._core.layout import RANDOMNESS_BITS, THRESHOLD_ALWAYS, THRESHOLD_NEVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOW_56 = (1 << RANDOMNESS_BITS) - 1
LOW_64 = (1 << 64) - 1


def threshold_of(ratio: float) -> int:
    """What randomness must reach for this share of traces."""
    # The ratio is scaled, not its complement, which would lose digits of a small one.
    return THRESHOLD_NEVER - round(ratio * THRESHOLD_NEVER)


def bound_of(ratio: float) -> int:
    """What OpenTelemetry's TraceIdRatioBased compares the low 64 bits with, as the core has it: negative, or never."""
    return -round(ratio * (1 << 64)) or THRESHOLD_NEVER


def member_of(threshold: int) -> str:
    """``th:`` and the threshold's 14 hex digits without trailing zeros; the highest that there is stands for never."""
    digits = f"{min(threshold, LOW_56):014x}".rstrip("0")
    return f"th:{digits or '0'}"


def threshold_in(header: str) -> int | None:
    """What ``ot=th:`` of a tracestate's text says; None without a valid one."""
    for part in (tracestate.TraceState(header).get("ot") or "").split(";"):
        digits = part[3:]
        if part.startswith("th:") and 0 < len(digits) <= 14 and not set(digits) - set("0123456789abcdef"):
            return int(digits.ljust(14, "0"), 16)
    return None


def span_context_of(parent: Any) -> Any:
    """The SpanContext of a parent, a Context, a Span or None; None without ids."""
    if parent is None:
        return None
    found = parent.get_span_context() if hasattr(parent, "get_span_context") else parent.span_context
    return found if found is not None and found.is_valid else None


def header_of(parent: Any) -> str:
    """The tracestate of a parent."""
    found = span_context_of(parent)
    return "" if found is None else str(found.trace_state.to_header())


def randomness(trace_id: int, parent: Any) -> int:
    """The parent's ``rv`` of 14 hex digits, else the low 56 bits of the trace id."""
    header = header_of(parent)
    given = tracestate.randomness(header) if header else None
    return trace_id & LOW_56 if given is None else given


def keeps(threshold: int, trace_id: int, parent: Any) -> bool:
    """Whether a threshold, of either kind, keeps a trace."""
    if threshold < 0:
        return trace_id & LOW_64 < -threshold
    return threshold == THRESHOLD_ALWAYS or randomness(trace_id, parent) >= threshold


def with_member(parent: Any, member: str | None) -> str | None:
    """The parent's tracestate with this ``th``, or with none; all else stays. None when nothing changes."""
    header = header_of(parent)
    if member is None and not header:
        return None
    return tracestate.with_threshold(header or None, member) or ""
