"""A signal that recalls what was dropped in the last seconds: ``kill -USR1`` when something odd was seen."""

from __future__ import annotations

import signal
import time

from fasttrace.errors import ConfigurationError
from fasttrace.sampling import reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

# How often a signal came, the seconds to go back, and when it came; each governor compares it with what it has seen.
# Assigned whole, so that a handler may do it in the middle of anything.
asked: tuple[int, float, float] = (0, 0.0, 0.0)
_seconds: dict[int, float] = {}
_previous: dict[int, Any] = {}


def recall_on_signal(signum: int | str = "SIGUSR1", seconds: float = 30.0) -> None:
    """Recall the dropped traces of the last ``seconds`` whenever this signal comes; a number or a name.

    The handler only sets a mark, which the background thread finds within about a second (in an idle process: with the
    next span), and then calls the Python handler that was there before. Call it in the main thread, once in each
    process or before it forks. Called again it changes the seconds. Raises ConfigurationError for a signal that can't
    be handled.
    """
    number = _number(signum)
    read = reading.seconds("seconds", seconds)
    if signal.getsignal(number) is not _handle:
        try:
            previous = signal.signal(number, _handle)
        except (ValueError, OSError) as error:
            raise ConfigurationError(
                f"signum={signum!r} can't be handled ({error}): use SIGUSR1 in the main thread"
            ) from None
        _previous[number] = previous
    _seconds[number] = read


def _number(signum: Any) -> int:
    name = signum.strip().upper() if isinstance(signum, str) else ""
    found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None) if name else signum
    if isinstance(found, bool) or not isinstance(found, int) or found not in signal.valid_signals():
        raise ConfigurationError(f"signum={signum!r}: use a signal such as SIGUSR1 or 10")
    return int(found)


def _handle(number: int, frame: FrameType | None) -> None:
    global asked
    asked = (asked[0] + 1, _seconds.get(number, 30.0), time.monotonic())
    previous = _previous.get(number)
    if callable(previous):
        previous(number, frame)
