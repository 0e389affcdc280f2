"""The process's hooks for forks and its end, one set for every pipeline."""

from __future__ import annotations

import os
import signal
import sys
import weakref

from fasttrace import _log, _threads
from fasttrace._core import ids
from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Protocol

    class Living(Protocol):
        """What has to know of forks and of the end."""

        exit_timeout: float

        def before_fork(self) -> None:
            """A fork is about to happen in this thread."""

        def after_fork_in_parent(self) -> None:
            """It has happened."""

        def after_fork_in_child(self) -> None:
            """This is the child."""

        def flush(self, timeout: float) -> bool:
            """Send what has ended, within so many seconds."""
            ...

        def shutdown(self, timeout: float) -> bool:
            """Send what is left, or keep it, within so many seconds."""
            ...


# By id; a copy of the values is made in one step, whatever other threads add meanwhile.
_pipelines: dict[int, weakref.ref[Living]] = {}
_hooked = False
_exit_generation: int | None = None


def refuse_subinterpreter() -> None:
    """ConfigurationError in an interpreter that is not the main one.

    CPython ends the whole process when such an interpreter ends while a thread of it is left, and a thread that sends
    can't be ended at will.
    """
    for name in ("_interpreters", "_xxsubinterpreters"):  # as they are called from 3.13 on, and before
        try:
            current = __import__(name).get_current()
        except ImportError:
            continue
        if (current[0] if isinstance(current, tuple) else int(current)) != 0:
            raise ConfigurationError(
                "fasttrace records in the main interpreter only, and this is a subinterpreter: with mod_wsgi, use "
                "WSGIApplicationGroup %{GLOBAL}"
            )
        return


def _living() -> list[Living]:
    return [pipeline for reference in list(_pipelines.values()) if (pipeline := reference()) is not None]


def register(pipeline: Living) -> None:
    """Call a pipeline at forks from now on."""
    global _hooked
    key = id(pipeline)
    _pipelines[key] = weakref.ref(pipeline, lambda _: _pipelines.pop(key, None))
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        # It hooks forks too. Before a fork what was added last runs first: ours, which wait for our thread, must run
        # without logging's lock; and the thread must not add logging's hooks in the middle of a fork.
        import logging  # noqa: F401

        os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _before_fork() -> None:
    for pipeline in _living():
        pipeline.before_fork()


def _after_in_parent() -> None:
    for pipeline in _living():
        pipeline.after_fork_in_parent()


def _after_in_child() -> None:
    for pipeline in _living():
        pipeline.after_fork_in_child()


def register_exit() -> None:
    """At exit, send what is left; children of multiprocessing and celery skip atexit and have their own ways."""
    global _exit_generation
    generation = ids.fork_generation()
    if _exit_generation == generation:
        return
    first = _exit_generation is None
    _exit_generation = generation
    if first:
        import atexit
        import weakref

        # Handlers run from the last to the first. Finalizers, which close connections, have one for all of them, made
        # with the first finalizer: it must be older than ours, for what is left is sent on a connection.
        weakref.finalize(_at_exit, int)
        atexit.register(_at_exit)
    if "multiprocessing.util" in sys.modules:
        from multiprocessing.util import Finalize  # billiard's too

        Finalize(None, _at_exit, exitpriority=100)
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        # Its pool's children leave by os._exit, and this is all that is called before.
        signals.worker_process_shutdown.connect(_at_exit, weak=False)


def _at_exit(**_: Any) -> None:
    for pipeline in _living():
        pipeline.shutdown(pipeline.exit_timeout)


# --- termination


def flush_all() -> None:
    """Send what has ended, of every provider, each within its ``exit_timeout``."""
    for pipeline in _living():
        pipeline.flush(pipeline.exit_timeout)


# How often, and for how long each time, whoever is told to end still looks when its time is over.
LOOKS, LOOK_SECONDS = 20, 0.01
_before_us: Any = None
_installed = False


def flush_on_sigterm() -> None:
    """Send what is left when SIGTERM comes, then do what would have been done. Only from the main thread.

    Whoever installs a handler after this one replaces it; a process that ignores SIGTERM goes on ignoring it.
    """
    global _before_us, _installed
    if _installed or signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        return
    try:
        _before_us = signal.signal(signal.SIGTERM, _on_sigterm)
    except ValueError:
        _log.warning("sigterm", "flush_on_sigterm has no effect: configure in the main thread of the main interpreter")
        return
    _installed = True


def _wait(done: Any, timeout: float) -> None:
    """Until it is done, so many seconds at most, and some looks: a process that was held up has given it no time."""
    if not done.acquire(timeout=timeout):
        for _ in range(LOOKS):
            if done.acquire(timeout=LOOK_SECONDS):
                return


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    # The signal may have come in the middle of anything, a lock of ours included: another thread does the work, and
    # is waited for no longer than the end of the process may take.
    done = _threads.original("allocate_lock")()
    done.acquire()
    # The first process of a container survives SIGTERM if it has no handler: it goes on being traced.
    last = not callable(_before_us) and os.getpid() != 1

    def work() -> None:
        try:
            for pipeline in _living():
                (pipeline.shutdown if last else pipeline.flush)(pipeline.exit_timeout)
        finally:
            done.release()

    try:
        _threads.start(work, ())
        _wait(done, max([pipeline.exit_timeout for pipeline in _living()], default=0.0))
    except RuntimeError:
        # No new threads: the interpreter is ending already, maybe with our own shutdown, which then leaves off.
        if last:
            work()
    if callable(_before_us):
        _before_us(number, frame)
    elif last:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
