"""Figures and foreign text, made fit for a terminal."""

from __future__ import annotations

_UNITS = (("ns", 1), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000))


def format_duration(ns: int) -> str:
    """Nanoseconds as three significant digits and a unit (``1.71 s``), at most 7 characters of what 64 bits hold.

    From two minutes on: ``2m 05s``, from a hundred minutes on ``1h 40m``, of hours ``4d 04h``, of days ``20787d``.
    """
    if ns < 0:
        return "-" + format_duration(-ns)
    seconds = ns / 1e9
    if seconds >= 100 * 86400:
        return f"{int(seconds // 86400)}d"
    if seconds >= 100 * 3600:
        return f"{int(seconds // 86400)}d {int(seconds % 86400 // 3600):02d}h"
    if seconds >= 6000:
        return f"{int(seconds // 3600)}h {int(seconds % 3600 // 60):02d}m"
    if seconds >= 120:
        return f"{int(seconds // 60)}m {int(seconds % 60):02d}s"
    for index, (unit, size) in enumerate(_UNITS):
        value = ns / size
        if value < 999.5 or index == len(_UNITS) - 1:
            decimals = 0 if size == 1 or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{decimals}f} {unit}"
    raise AssertionError("the last unit takes all")


def format_change(ns: int) -> str:
    """A difference of durations, with its sign: ``+12.0 ms``, ``-3.00 s``, ``0 ns``."""
    return f"{'+' if ns > 0 else '-' if ns < 0 else ''}{format_duration(abs(ns))}"


def format_percent(part: float, whole: float) -> str:
    """A share as whole percent: ``74 %``; ``<1 %`` for what would round to nothing, ``0 %`` of nothing."""
    if whole <= 0 or part <= 0:
        return "0 %"
    percent = 100 * part / whole
    return "<1 %" if percent < 0.5 else f"{percent:.0f} %"


# Persian, Indic scripts and families of emoji are written with them; they move nothing.
JOINERS = "\u200c\u200d"
# A name in a sentence is cut where the sentence would be lost behind it.
MAX_NAME = 80


def clean(text: str) -> str:
    """Text on one line without control, formatting or direction-changing characters: inert in a terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in JOINERS else " " if char.isspace() else "\ufffd" for char in text
    )


def named(text: str) -> str:
    """A name as a sentence has it: inert, between backticks, at most 80 characters."""
    text = clean(text)
    return f"`{text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + '…'}`"


def to_ascii(text: str) -> str:
    """Text for a terminal that shows ASCII only: what has no counterpart becomes ``?``."""
    if text.isascii():
        return text
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


_ASCII = str.maketrans({"µ": "u", "×": "x", "…": "~", "→": ">", "·": "-", "—": "-", "–": "-", "✖": "x"})


def plural(count: int, noun: str, nouns: str = "") -> str:
    """``1 span``, ``12 spans``, ``1,200 spans``; ``nouns`` where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
