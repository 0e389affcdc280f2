"""Trace and span ids from a generator that the operating system seeds, and anew in every forked child."""

from __future__ import annotations

import os
from _random import Random
from _thread import RLock

from fasttrace._core._python.process import mark

__all__ = ["fork_generation", "generate_span_id", "generate_trace_id"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# True while the other two are this process's own: false before the first use, and in a forked child.
_own: Any = False
_draw: Callable[[int], int] = int
_generation = -1
# One thread of a forked child takes the step; re-entrant, for a finaliser may end a span inside.
_lock = RLock()


def _renew() -> int:
    """Seed a generator and begin a generation, in a process that has none of its own."""
    global _own, _draw, _generation
    with _lock:
        draw, own = Random(int.from_bytes(os.urandom(32), "big")).getrandbits, mark()
        if not _own:
            _draw = draw
            _generation += 1
            # Last: whoever sees it takes the others for this process's.
            _own = own
        return _generation


def fork_generation() -> int:
    """A number that is another one in a forked child than in its parent; compare for equality."""
    return _generation if _own else _renew()


def generate_trace_id() -> int:
    """A random 128-bit trace id, never zero; all bits are random (W3C Trace Context level 2, section 3.2.2.3)."""
    # CPython runs nothing between the look and the draw, no handler that forks either.
    return (_draw(128) if _own else 0) or _draw_again(128)


def generate_span_id() -> int:
    """A random 64-bit span id, never zero."""
    return (_draw(64) if _own else 0) or _draw_again(64)


def _draw_again(bits: int) -> int:
    """The first number of a process, or another one in place of a zero."""
    value = 0
    while value == 0:
        fork_generation()
        value = _draw(bits)
    return value
