"""The background thread of a pipeline, and those who wait for it."""

from __future__ import annotations

from fasttrace import _threads, lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace._core import Recorder


class Background:
    """At most one thread for a recorder, started when there is work; a forked child makes another one of these.

    ``work(epoch)`` is what the thread does, as long as ``epoch`` is the one here. ``lock`` is the pipeline's
    ``_state``, which guards the start and the stop of the thread and the waiters.
    """

    def __init__(self, recorder: Recorder, lock: Any, work: Callable[[int], None]) -> None:
        self._recorder = recorder
        self._lock = lock
        self._work = work
        # A thread runs while its epoch is this one: raising the number is how it is told to stop.
        self.epoch: int = 0
        self._serving: int | None = None  # the epoch of the thread that was started last
        self._stopped: Any = None  # released by the thread as it ends; None when there is no thread
        self._waiters: list[Waiter] = []

    @property
    def running(self) -> bool:
        """Whether there is a thread, perhaps one that is coming to its end."""
        return self._stopped is not None

    def start(self) -> None:
        """Start the thread unless there is one, and wake it. RuntimeError where there can be no more threads."""
        with self._lock:
            if self._serving != self.epoch:
                stopped = _threads.original("allocate_lock")()
                stopped.acquire()
                lifecycle.register_exit()
                if self._serving != self.epoch:  # else whoever came in between has started one
                    self._serving = self.epoch
                    try:
                        _threads.start(self._run, (self.epoch, stopped))
                    except RuntimeError:
                        self._serving = None
                        raise
                    self._stopped = stopped
            self._recorder.consumer_running = True
        self._recorder.ring.wake()

    def _run(self, epoch: int, stopped: Any) -> None:
        try:
            self._work(epoch)
        finally:
            with self._lock:
                if self._stopped is stopped:
                    self._stopped = self._serving = None
                    self._recorder.consumer_running = False
            stopped.release()
            # Whoever still waits for this thread looks again, and finds another one or none.
            for waiter in self.take_waiters():
                waiter.release(served=False)

    def stop(self, deadline: float) -> bool:
        """Tell the thread to stop, and wait for it until a monotonic deadline; whether there is none any more."""
        with self._lock:
            self.epoch += 1
            stopped = self._stopped
        self._recorder.ring.wake()
        return stopped is None or _threads.acquire(stopped, deadline)

    def ask(self, forced: bool) -> Waiter | None:
        """One more who waits until all that is queued has been sent; None when there is no thread to do so."""
        with self._lock:
            if self._stopped is None:
                return None
            waiter = Waiter(forced)
            self._waiters.append(waiter)
            return waiter

    def take_waiters(self) -> list[Waiter]:
        """Those who wait; the caller releases them."""
        with self._lock:
            waiters, self._waiters = self._waiters, []
        return waiters


class Waiter:
    """One flush that waits for the thread; a forced one tries also while the receiver is away."""

    __slots__ = ("_lock", "_served", "forced")

    def __init__(self, forced: bool) -> None:
        self.forced: bool = forced
        self._served = False
        self._lock = _threads.original("allocate_lock")()
        self._lock.acquire()

    def release(self, served: bool) -> None:
        """The thread has sent all that was queued, or has ended before."""
        self._served = served
        self._lock.release()

    def wait(self, deadline: float) -> bool:
        """True when all that was queued has been sent, False when the thread ended first or at the deadline."""
        return _threads.acquire(self._lock, deadline) and self._served
