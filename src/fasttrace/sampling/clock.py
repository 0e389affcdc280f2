"""The clock of boosts, buckets and rates: monotonic, so that a step of the wall clock changes nothing; and a lock."""

from __future__ import annotations

import time

from fasttrace import _threads
from fasttrace._core import ids

SECOND_NS = 1_000_000_000


def now_ns() -> int:
    """CLOCK_MONOTONIC, which the core compares ``Recorder.expires_ns`` with."""
    return time.monotonic_ns()


class Lock:
    """A lock that a forked child finds free: each process of a family has its own.

    Re-entrant, for a finaliser may begin a span in the middle. The interpreter's own also under gevent.
    """

    __slots__ = ("_of_process",)

    def __init__(self) -> None:
        self._of_process = {ids.fork_generation(): _threads.original("RLock")()}

    def _own(self) -> object:
        generation = ids.fork_generation()
        lock = self._of_process.get(generation)
        # setdefault is one step: two threads of a child get the same.
        return lock or self._of_process.setdefault(generation, _threads.original("RLock")())

    def __enter__(self) -> None:
        self._own().acquire()  # type: ignore[attr-defined]

    def __exit__(self, *_exception: object) -> None:
        self._own().release()  # type: ignore[attr-defined]
