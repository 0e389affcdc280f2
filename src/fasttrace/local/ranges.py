"""Times and ranges of time as people write them: ``10m..`` is the last ten minutes, ``12:00..12:05`` five of today."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from fasttrace.errors import FasttraceError

_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h|d)")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class RangeError(FasttraceError, ValueError):
    """A time or a range that can't be read; the text says what is accepted."""


def is_range(text: str) -> bool:
    """Whether a text is meant as a range of time."""
    before, dots, after = text.partition("..")
    return bool(dots) and not any(sign in before + after for sign in '=~<>" ')


def range_search(text: str, now: float | None = None) -> str:
    """A range as a search for traces by their age: ``10m..5m`` are those between ten and five minutes old.

    ``now`` is in seconds since the Unix epoch. Raises RangeError.
    """
    now = time.time() if now is None else now
    start, _, end = text.partition("..")
    terms = []
    if start:
        terms.append(f"age<={max(0.0, now - _instant(start, now)):.3f}s")
    if end:
        terms.append(f"age>={max(0.0, now - _instant(end, now)):.3f}s")
    if start and end and _instant(start, now) > _instant(end, now):
        raise RangeError(f"{text}: the range ends before it begins")
    return " ".join(terms)


def instant_ns(text: str, now: float | None = None) -> int:
    """A time as people write it, in nanoseconds since the Unix epoch. Raises RangeError."""
    return round(_instant(text, time.time() if now is None else now) * 1e6) * 1000


def _instant(text: str, now: float) -> float:
    ago = _AGO.fullmatch(text)
    if ago:
        return now - float(ago[1]) * _SECONDS[ago[2]]
    try:
        if _CLOCK.fullmatch(text):
            clock = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M").time()
            today = datetime.combine(datetime.fromtimestamp(now).date(), clock)
            return (today if today.timestamp() <= now else today - timedelta(days=1)).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise RangeError(
            f"{text!r} is not a time: use 10m (ago), 12:03, 12:03:41 or 2026-11-23T12:03:41, as in 20m..10m"
        ) from None
