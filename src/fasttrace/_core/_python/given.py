"""What callers give for names, enumeration members and times, as spans have it. Nothing raises."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LARGEST_TIME_NS = 2**63


def text_of(value: Any) -> str:
    """The text of a name; "" when it has none."""
    if type(value) is str:
        return value
    try:
        return str.__str__(value) if isinstance(value, str) else str.__str__(str(value))
    except Exception:
        return ""


def number_of(value: Any, largest: int) -> int:
    """The number of an enumeration member of ours or of OpenTelemetry's; 0 for what is none."""
    # Where enum keeps it: ``value`` would run Python code.
    number = getattr(value, "_value_", value)
    return int(number) if isinstance(number, int) and 0 <= number <= largest else 0


def time_of(value: Any) -> int | None:
    """A point in time that a caller gave, if it is one."""
    return value if type(value) is int and 0 <= value < _LARGEST_TIME_NS else None
