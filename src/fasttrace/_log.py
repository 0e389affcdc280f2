"""The library's own log lines: rate limited, on a logger that is never traced, loaded when the first is written."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Whatever carries log records to spans or exports them leaves this one out: a line about lost spans must make no more.
LOGGER = "fasttrace"
EVERY_SECONDS = 60.0
_last: dict[str, float] = {}
_suppressed: dict[str, int] = {}


def due(topic: str) -> bool:
    """Whether a line about this topic would be written now."""
    return time.monotonic() - _last.get(topic, -EVERY_SECONDS) >= EVERY_SECONDS


def warning(topic: str, text: str, *arguments: Any) -> None:
    """Write one line a minute and topic; how many were left out stands in the next one. Never raises."""
    now = time.monotonic()
    if now - _last.get(topic, -EVERY_SECONDS) < EVERY_SECONDS:
        _suppressed[topic] = _suppressed.get(topic, 0) + 1
        return
    _last[topic] = now
    left_out = _suppressed.pop(topic, 0)
    if left_out:
        text += f" (and {left_out} more like this)"
    line("WARNING", text, *arguments)


def line(level: str, text: str, *arguments: Any) -> None:
    """Write one line now, for what is rare by itself; ``level`` is a name of logging's. Never raises."""
    try:
        import logging

        logging.getLogger(LOGGER).log(getattr(logging, level), text, *arguments)
    except Exception:  # a user's handler may do anything; ours is not the place to tell
        pass
