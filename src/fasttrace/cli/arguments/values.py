"""How the values of arguments are read: each reader raises ArgumentTypeError with what is accepted."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def port(text: str) -> int:
    """A TCP port; 0 lets the system choose."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use 1 to 65535, or 0 for any free one")
    return int(text)


def _above_zero(what: str, below: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number < below:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return number

    return read


rate: Callable[[str], float] = _above_zero("a rate: use requests per second, above 0", 1e6)
amount: Callable[[str], float] = _above_zero("a number above 0", 1e12)
seconds: Callable[[str], float] = _above_zero("a time: use seconds, above 0", 1e6)


def percent(text: str) -> float:
    """A share that may be above 1: 10%, 0.1, 250%."""
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: use 10% or 0.1")
    return share


def share(text: str) -> float:
    """A share of traces."""
    from fasttrace.sampling import reading

    return float(_read(reading.share, text))


def time(text: str) -> float:
    """A time with a unit, or in seconds."""
    from fasttrace.sampling import reading

    return float(_read(reading.seconds, text))


def trace_id(text: str) -> int:
    """A whole trace id."""
    from fasttrace.sampling import reading

    return int(_read(reading.trace_id, text))


def size(text: str) -> int:
    """A number of bytes."""
    from fasttrace.config import values as settings

    return int(_as_setting(settings.size, text))


def age(text: str) -> float | None:
    """A time, or none."""
    from fasttrace.config import values as settings

    found: float | None = _as_setting(settings.age, text)
    return found


def instrumentations(text: str) -> str:
    """Names of integrations."""
    from fasttrace.config import values as settings

    try:
        settings.instrumentations(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"use {error}") from None
    return text


def _as_setting(read: Any, text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: use {error}") from None


def _read(read: Any, text: str) -> Any:
    try:
        return read("", text)
    except ValueError as error:
        accepted = str(error).partition(": use ")[2]
        raise argparse.ArgumentTypeError(f"{text!r}: use {accepted}") from None
