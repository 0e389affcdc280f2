"""Keeps threads out of a library that does not bear to be copied from the middle of a call, while the process forks."""

from __future__ import annotations

import os
import time
import weakref

from fasttrace import _threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Cancellable(Protocol):
        """A call that another thread can give up."""

        def cancel(self) -> object:
            """Make it return soon."""
            ...


# What a fork may wait for calls to be given up: that takes milliseconds, unless the machine is starved.
FORK_WAIT_SECONDS = 1.0
# How often it looks at least: a process that was held up for a second has given nobody the time to leave.
FORK_LOOKS = 20
# How often a call that was given up is given up again: it may have been one that was about to begin.
LOOK_SECONDS = 0.005

_gates: weakref.WeakSet[Gate] = weakref.WeakSet()
_hooked = False
# Whether this process, or one that it was forked from, was copied while a thread was inside.
_copied_inside = False


class Gate:
    """One thread at a time is inside (``with gate.door: pass``, then ``with gate.inside:``), and nobody during a fork.

    Whoever is inside sets ``call`` to what can be given up, and ``given_up`` to False; it is True if that was done.
    """

    def __init__(self) -> None:
        global _hooked
        self.reset()
        _gates.add(self)
        if not _hooked and hasattr(os, "register_at_fork"):
            _hooked = True
            # It hooks forks too. Before a fork what was added last runs first: ours, which wait for whoever is inside,
            # must run without logging's lock, which he may want.
            import logging  # noqa: F401

            os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)

    def reset(self) -> None:
        """As in a new process: whoever is inside is in the parent."""
        # The door makes whoever forks the next one inside, and not the thread that at once sends again what was given
        # up for it. Locks, not methods: an interrupt between two lines must not leave one held.
        self.door: Any = _threads.original("allocate_lock")()
        self.inside: Any = _threads.original("allocate_lock")()
        self._shut = self._empty = False
        self.call: Cancellable | None = None
        self.given_up: bool = False
        self._pid = os.getpid()

    def if_forked(self) -> None:
        """For children whose parent skipped Python's hooks (uWSGI)."""
        global _copied_inside
        if self._pid != os.getpid():
            _copied_inside = _copied_inside or self.inside.locked()
            self.reset()

    def close(self, deadline: float) -> bool:
        """Keep everybody out, and give up the call of whoever is inside; whether nobody is any more."""
        pause, looks = 0.0, 0
        while True:
            self._shut = self._shut or self.door.acquire(timeout=pause)
            self._empty = self._shut and self.inside.acquire(timeout=pause)
            if self._empty or (looks >= FORK_LOOKS and time.monotonic() >= deadline):
                return self._empty
            call = self.call
            if call is not None:
                self.given_up = True
                call.cancel()
            pause = LOOK_SECONDS
            looks += 1

    def open(self) -> None:
        """Let them in again."""
        if self._empty:
            self._empty = False
            self.inside.release()
        if self._shut:
            self._shut = False
            self.door.release()


def copied_inside() -> bool:
    """Whether this process was copied from the middle of a call: it must make none, which might hang or crash."""
    return _copied_inside


_clean = True


def _before() -> None:
    global _clean
    deadline = time.monotonic() + FORK_WAIT_SECONDS
    _clean = False not in [gate.close(deadline) for gate in list(_gates)]


def _after_in_parent() -> None:
    for gate in list(_gates):
        gate.open()


def _after_in_child() -> None:
    global _copied_inside
    _copied_inside = _copied_inside or not _clean
    for gate in list(_gates):
        gate.reset()
