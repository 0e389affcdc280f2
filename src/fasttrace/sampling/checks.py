"""Numbers that users give: what is refused, and with which words."""

from __future__ import annotations

import math

from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# A little more than thirty years: what is longer is no time to wait for.
MAX_SECONDS = 1e9


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def ratio(value: Any, name: str = "ratio") -> float:
    """A share of traces."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ConfigurationError(f"{name}={value!r}: the share of traces to record is a number from 0 to 1")
    return float(value)


def seconds(value: Any, name: str = "seconds") -> float:
    """A time; 0 is one."""
    if not _is_number(value) or not 0 <= value < MAX_SECONDS:
        raise ConfigurationError(f"{name}={value!r}: use a number of seconds of 0 or more, below {MAX_SECONDS:.0e}")
    return float(value)


def positive(value: Any, name: str) -> float:
    """A rate or a time that is more than nothing."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name}={value!r}: use a number above 0, such as 10 or 0.5")
    return float(value)


def rate(value: Any, name: str) -> float:
    """A number per second; 0 is one."""
    if not _is_number(value) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{name}={value!r}: use a number of 0 or more, such as 10 or 0.5")
    return float(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean X?)`` for a name that is nearly one of those known, else nothing."""
    import difflib

    near = difflib.get_close_matches(name.lower(), list(known), 1, 0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
