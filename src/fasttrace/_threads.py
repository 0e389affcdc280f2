"""The interpreter's own threads and locks, also where gevent or eventlet have put theirs in their place.

The background thread must be a thread: as a greenlet it would hold up everybody while it waits.
"""

from __future__ import annotations

import _thread
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Locks take no more: whoever asks for longer, or for ever, means that he has time.
LONGEST_WAIT_SECONDS = _thread.TIMEOUT_MAX

# Below `signal`, which makes enumerations of whole sets: forks start threads, and would wait ten times as long.
_signal: Any = __import__("_signal")

# What a thread does to itself, or is measured by, goes to that thread.
_FAULTS = {
    getattr(_signal, name, None)
    for name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGPROF", "SIGSEGV", "SIGSYS", "SIGTRAP")
}


def original(name: str) -> Any:
    """``_thread``'s function or class of this name, as the interpreter made it."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_object_patched("_thread", name):
        return gevent.get_original("_thread", name)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return getattr(eventlet.original("_thread"), name)
    return getattr(_thread, name)


def start(function: Any, arguments: tuple[Any, ...]) -> None:
    """A thread of the interpreter's own, which leaves signals to the others.

    One that was meant for the main thread and is taken by a new one does not wake the main thread where it sleeps.
    """
    start_new_thread = original("start_new_thread")
    if not hasattr(_signal, "pthread_sigmask"):
        start_new_thread(function, arguments)
        return
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals() - _FAULTS)
    try:
        start_new_thread(function, arguments)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


def acquire(lock: Any, deadline: float) -> bool:
    """Take a lock by a monotonic deadline; a passed deadline is one try."""
    remaining = min(deadline - time.monotonic(), LONGEST_WAIT_SECONDS)
    acquired: bool = lock.acquire(timeout=remaining) if remaining > 0 else lock.acquire(blocking=False)
    return acquired


def call(function: Callable[[], None], deadline: float) -> bool:
    """Call what may hang on a thread of its own; whether it has returned by a monotonic deadline.

    At the end of the interpreter, where there are no new threads, it is called on this one.
    """
    done = original("allocate_lock")()
    done.acquire()

    def work() -> None:
        try:
            function()
        finally:
            done.release()

    try:
        start(work, ())
    except RuntimeError:
        work()
    return acquire(done, deadline)
