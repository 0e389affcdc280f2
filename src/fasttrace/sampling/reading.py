"""How shares, times and trace ids are read, as values and as text; refusals name the value and what is accepted."""

from __future__ import annotations

from fasttrace.config import values
from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# So that every time is a whole number of nanoseconds that a float holds exactly (11 days are below 2**53).
MAX_SECONDS = 1e6


def share(what: str, value: Any) -> float:
    """A number from 0 to 1, or text of one, or of a percentage such as ``10%``."""
    number = value
    if isinstance(value, str):
        word = value.strip()
        digits = word.removesuffix("%")
        number = float(digits) if digits.isascii() and digits.replace(".", "", 1).isdigit() else None
        if number is not None and digits != word:
            number /= 100
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1:
        raise ConfigurationError(f"{what}={value!r}: use a number from 0 to 1, or a percentage such as 10%")
    return float(number)


def share_text(ratio: float, *, percent: bool = True) -> str:
    """Text that ``share`` reads as the same number; a percentage where that is exact."""
    word = f"{ratio * 100:.10g}%"
    if percent and "e" not in word and float(word[:-1]) / 100 == ratio:
        return word
    plain = repr(ratio)
    return plain if "e" not in plain else f"{ratio:.1100f}".rstrip("0")


def seconds(what: str, value: Any) -> float:
    """A time above 0 in seconds, to the nanosecond; text may have a unit (``500ms``, ``10m``)."""
    try:
        read = values.seconds(value)
    except ValueError:
        read = 0.0
    if not 1e-9 <= read <= MAX_SECONDS:
        raise ConfigurationError(
            f"{what}={value!r}: use seconds above 0, up to {MAX_SECONDS:g}, such as 2, 500ms or 10m"
        )
    return round(read * 1e9) / 1e9


def nanoseconds(value: float) -> int:
    """What ``seconds`` gave, as a whole number of nanoseconds."""
    return round(value * 1e9)


def seconds_text(value: float) -> str:
    """The text that ``seconds`` reads as the same time."""
    whole, rest = divmod(nanoseconds(value), 10**9)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") + "s"


def number(what: str, value: Any, largest: int = 2**31 - 1) -> int:
    """A whole number of at least 1, also as text."""
    read = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if isinstance(read, bool) or not isinstance(read, int) or not 1 <= read <= largest:
        raise ConfigurationError(f"{what}={value!r}: use a whole number from 1 to {largest:,}")
    return read


def trace_id(what: str, value: Any) -> int:
    """A trace id as a number, from its 32 hexadecimal digits; upper case and dashes are taken too."""
    word = value.strip().replace("-", "").lower() if isinstance(value, str) else ""
    if len(word) != 32 or word.strip("0123456789abcdef") or not int(word, 16):
        raise ConfigurationError(f"{what}={value!r}: use the 32 hexadecimal digits of a trace id")
    return int(word, 16)


def nearest(word: str, known: tuple[str, ...]) -> str:
    """What may have been meant, or everything that there is."""
    import difflib

    near = difflib.get_close_matches(word, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"use {', '.join(known)}"
