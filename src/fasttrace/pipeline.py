"""From the ring to the exporter: one background thread, flush, shutdown, fork.

The thread starts at the first finished span, never at import. While there is nothing to do it sleeps
until a span wakes it. ``_sending`` is held by whoever takes records and sends them, so that the thread,
``flush`` at exit and ``shutdown`` never send the same batch: a batch belongs to who took it.
"""

from __future__ import annotations

import _thread
import os
import sys
import time
import weakref

from fasttrace import _log
from fasttrace._core import Recorder, ids, otlp
from fasttrace.export.base import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace.export.base import Exporter

# How long the thread looks for more before it sleeps until the next span wakes it.
POLL_SECONDS = 0.2
IDLE_ROUNDS = 10
SLEEP_SECONDS = 3600.0
# What a fork may wait for the thread to stop; a thread in the middle of sending is left alone.
FORK_WAIT_SECONDS = 0.001


class Pipeline:
    """Sends what a recorder's ring holds, in batches by count, bytes and time.

    ``resource`` is called for the resource's attributes at the start and again in a forked child.
    Times are in seconds, sizes in bytes.
    """

    def __init__(
        self,
        recorder: Recorder,
        exporter: Exporter,
        resource: Callable[[], dict[str, Any]],
        *,
        max_batch_spans: int = 512,
        max_batch_bytes: int = 1024 * 1024,
        schedule_delay: float = 1.0,
        exit_timeout: float = 1.0,
    ) -> None:
        # The thread that first imports `threading` is the main thread to it, which the end of the process waits for:
        # it must be one of the application's, not ours when an exporter first needs urllib3.
        import threading  # noqa: F401

        self.recorder = recorder
        self.exporter = exporter
        self.max_batch_spans = max_batch_spans
        self.max_batch_bytes = max_batch_bytes
        self.schedule_delay = schedule_delay
        self.exit_timeout = exit_timeout
        self._resource = resource
        self._closed = False
        self._reset()
        _register(self)

    def _reset(self) -> None:
        """A process starts with no thread, no waiters, new locks and counters at zero."""
        self.generation = ids.fork_generation()
        self.exported = 0
        self.batches = 0
        self.dropped = {"export_failed": 0, "rejected": 0}
        self.last_error: str | None = None
        self._resource_attributes: dict[str, Any] | None = None
        self._resource_bytes = b""
        self._encoded_scopes: list[tuple[bytes, str]] = []
        # Guards the start and the stop of the thread and the list of waiters; held for a few lines only.
        self._state = _thread.allocate_lock()
        self._sending = _thread.allocate_lock()
        # A thread runs while its epoch is the pipeline's: raising the number is how it is told to stop.
        self._epoch = 0
        self._stopped: Any = None  # released by the thread as it ends; None when there is no thread
        self._waiters: list[_Waiter] = []

    # --- the thread

    def start(self) -> None:
        """Called by the core when a record waits and nobody is awake to take it."""
        if self.generation != ids.fork_generation():
            self._reset()
        ring = self.recorder.ring
        with self._state:
            if self._stopped is not None:
                self.recorder.consumer_running = True
                ring.wake()
                return
            stopped = _thread.allocate_lock()
            stopped.acquire()
            _register_exit()
            _thread.start_new_thread(self._run, (self._epoch, stopped))
            self._stopped = stopped
            self.recorder.consumer_running = True

    def _run(self, epoch: int, stopped: Any) -> None:
        try:
            self._work(epoch)
        finally:
            with self._state:
                if self._stopped is stopped:
                    self._stopped = None
                    self.recorder.consumer_running = False
            stopped.release()
            # Whoever still waits for this thread looks again, and finds another one or none.
            for waiter in self._take_waiters():
                waiter.release(served=False)

    def _work(self, epoch: int) -> None:
        recorder, ring = self.recorder, self.recorder.ring
        idle = 0
        due: float | None = None
        while epoch == self._epoch:
            ring.wait(SLEEP_SECONDS if idle > IDLE_ROUNDS else min(POLL_SECONDS, self.schedule_delay))
            if epoch != self._epoch:
                return
            now = time.monotonic()
            if ring.depth_spans:
                idle = 0
                due = now + self.schedule_delay if due is None else due
            waiters = self._take_waiters()
            if waiters or ring.depth_spans >= self.max_batch_spans or (due is not None and now >= due):
                with self._sending:
                    self._send_all(epoch, everything=bool(waiters) or (due is not None and now >= due))
                due = None
            for waiter in waiters:
                waiter.release(served=True)
            if not ring.depth_spans:
                idle += 1
                if idle > IDLE_ROUNDS:
                    # From here on the next finished span calls start(), which wakes this thread.
                    recorder.consumer_running = False
                    if ring.depth_spans:
                        recorder.consumer_running = True
                        idle = 0

    def _send_all(self, epoch: int | None, everything: bool, deadline: float | None = None) -> bool:
        """Send batches until the ring is empty, or, unless ``everything``, until less than a full batch is left."""
        ring = self.recorder.ring
        while epoch is None or epoch == self._epoch:
            if not everything and ring.depth_spans < self.max_batch_spans:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return ring.depth_spans == 0
            records = ring.take(self.max_batch_spans, self.max_batch_bytes)
            if not records:
                return True
            self._send(records, deadline)
        return False

    def _send(self, records: bytes, deadline: float | None = None) -> None:
        """One batch to the exporter. Whatever happens, its spans are counted and leave the queue."""
        spans = 0
        try:
            spans = otlp.count_records(records)
            batch = self._batch(records)
            batch.deadline = deadline
            rejected = min(spans, max(0, self.exporter.export(batch) or 0))
            self.exported += spans - rejected
            self.dropped["rejected"] += rejected
            self.batches += 1
        except Exception as error:
            # Of a batch that was sent in parts some may have arrived.
            delivered = min(spans, getattr(error, "delivered_spans", 0))
            rejected = min(delivered, getattr(error, "rejected_spans", 0))
            self.exported += delivered - rejected
            self.dropped["rejected"] += rejected
            self.dropped["export_failed"] += spans - delivered
            self.last_error = f"{type(error).__name__}: {error}"
            _log.warning("export", "%d spans dropped: %s", spans - delivered, self.last_error)
        finally:
            self.recorder.ring.release(spans, len(records))

    def _batch(self, records: bytes) -> Batch:
        scopes = self.recorder.scopes
        for scope in scopes[len(self._encoded_scopes) :]:
            self._encoded_scopes.append((otlp.encode_scope(scope), scope.schema_url))
        if self._resource_attributes is None:
            self._resource_attributes = self._resource()
            self._resource_bytes = otlp.encode_attributes(self._resource_attributes)
        return Batch(records, self._resource_attributes, self._resource_bytes, scopes, self._encoded_scopes)

    # --- flush and shutdown

    def _take_waiters(self) -> list[_Waiter]:
        with self._state:
            waiters, self._waiters = self._waiters, []
        return waiters

    def flush(self, timeout: float) -> bool:
        """Send what has ended so far. True when all of it was delivered within ``timeout`` seconds."""
        if self.generation != ids.fork_generation():
            self._reset()
        deadline = time.monotonic() + max(0.0, timeout)
        failed = self._undelivered()
        while not (self._flush_by_thread(deadline) or self._flush_here(deadline)):
            if time.monotonic() >= deadline:
                return False
        remaining = max(0.0, deadline - time.monotonic())
        return self.exporter.flush(remaining) and self._undelivered() == failed

    def _undelivered(self) -> int:
        return self.dropped["export_failed"] + self.dropped["rejected"]

    def _flush_by_thread(self, deadline: float) -> bool:
        """Let the thread send, and wait; False when there is none, or when it has not done so in time."""
        ring = self.recorder.ring
        if ring.depth_spans and self._stopped is None and not sys.is_finalizing():
            try:
                self.start()
            except RuntimeError:
                return False  # no new threads at interpreter exit
        waiter = _Waiter()
        with self._state:
            if self._stopped is None:
                return ring.depth_spans == 0 and not self._sending.locked()
            self._waiters.append(waiter)
        ring.wake()
        return waiter.wait(deadline)

    def _flush_here(self, deadline: float) -> bool:
        """Send on the calling thread, as far as the deadline allows; only without a thread that could."""
        if self._stopped is not None or not _acquire(self._sending, deadline):
            return False
        try:
            return self._send_all(None, True, deadline)
        finally:
            self._sending.release()

    def shutdown(self, timeout: float) -> bool:
        """Refuse new spans, send what is queued, stop the thread and the exporter, within ``timeout`` seconds."""
        if self._closed:
            return True
        self._closed = self.recorder.closed = True
        deadline = time.monotonic() + max(0.0, timeout)
        done = self.flush(timeout)
        self._stop(deadline)
        if self._stopped is None and _acquire(self._sending, deadline):
            try:
                self._drop_rest()
            finally:
                self._sending.release()
        self.exporter.shutdown(max(0.0, deadline - time.monotonic()))
        return done

    def _stop(self, deadline: float) -> bool:
        with self._state:
            self._epoch += 1
            stopped = self._stopped
        self.recorder.ring.wake()
        return stopped is None or _acquire(stopped, deadline)

    def _drop_rest(self) -> None:
        """What could not be sent in time is counted, not forgotten."""
        while records := self.recorder.ring.take(self.max_batch_spans, self.max_batch_bytes):
            spans = otlp.count_records(records)
            self.dropped["export_failed"] += spans
            self.recorder.ring.release(spans, len(records))
            _log.warning("shutdown", "%d spans dropped: not sent before the shutdown's deadline", spans)

    # --- fork

    def before_fork(self) -> None:
        """Ask the thread to stop, so that the child is copied from a quiet process; never wait for a send."""
        if self._stopped is not None:
            self._stop(time.monotonic() + FORK_WAIT_SECONDS)

    def after_fork_in_parent(self) -> None:
        """Go on where it stopped; what waits must not depend on the next span."""
        if self.recorder.ring.depth_spans and not self._closed:
            with self._state:
                self._stopped = None
            try:
                self.start()
            except RuntimeError as error:
                self.last_error = f"RuntimeError: {error}"

    def after_fork_in_child(self) -> None:
        """The queue and the thread are the parent's; a thread of our own starts with the first span."""
        self._reset()

    def stats(self) -> dict[str, Any]:
        """The counters of this process.

        ``started`` = ``active + abandoned + queued + held + spooled + exported + sampled_out`` + all that was
        dropped, whenever nothing is on the move.
        """
        if self.generation != ids.fork_generation():
            self._reset()
        counters = self.recorder.counters()
        dropped = {key[8:]: value for key, value in counters.items() if key.startswith("dropped_")}
        dropped.update(self.dropped)
        return {
            "started": counters["started"],
            "active": counters["active"],
            "abandoned": counters["abandoned"],
            "queued": self.recorder.ring.depth_spans,
            "held": 0,
            "spooled": 0,
            "exported": self.exported,
            "sampled_out": counters["sampled_out"],
            "dropped": dropped,
            "queued_bytes": self.recorder.ring.depth_bytes,
            "batches": self.batches,
            "last_error": self.last_error,
        }


class _Waiter:
    """One flush that waits for the thread."""

    __slots__ = ("_lock", "_served")

    def __init__(self) -> None:
        self._served = False
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def release(self, served: bool) -> None:
        self._served = served
        self._lock.release()

    def wait(self, deadline: float) -> bool:
        """True when all that was queued has been sent, False when the thread ended first or at the deadline."""
        return _acquire(self._lock, deadline) and self._served


def _acquire(lock: Any, deadline: float) -> bool:
    """Take a lock by a monotonic deadline; a passed deadline is one try."""
    remaining = deadline - time.monotonic()
    acquired: bool = lock.acquire(timeout=remaining) if remaining > 0 else lock.acquire(blocking=False)
    return acquired


# --- one set of hooks for every pipeline of the process

_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()
_hooked = False
_exit_generation: int | None = None


def _register(pipeline: Pipeline) -> None:
    global _hooked
    _pipelines.add(pipeline)
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _before_fork() -> None:
    for pipeline in list(_pipelines):
        pipeline.before_fork()


def _after_in_parent() -> None:
    for pipeline in list(_pipelines):
        pipeline.after_fork_in_parent()


def _after_in_child() -> None:
    for pipeline in list(_pipelines):
        pipeline.after_fork_in_child()


def _register_exit() -> None:
    """At exit, send what is left; children of multiprocessing skip atexit and have their own way."""
    global _exit_generation
    generation = ids.fork_generation()
    if _exit_generation == generation:
        return
    first = _exit_generation is None
    _exit_generation = generation
    if first:
        import atexit

        atexit.register(_at_exit)
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _at_exit, exitpriority=100)


def _at_exit() -> None:
    for pipeline in list(_pipelines):
        pipeline.shutdown(pipeline.exit_timeout)
