"""From the ring, or the traces that are kept, to the exporter: one background thread, flush, shutdown, fork.

The thread starts at the first finished span, never at import. While there is nothing to do it sleeps
until a span wakes it. ``_sending`` is held by whoever takes records and sends them, so that the thread,
``flush`` at exit and ``shutdown`` never send the same batch: a batch belongs to who took it.
"""

from __future__ import annotations

import sys
import time

from fasttrace import _log, _threads, accounts, lifecycle
from fasttrace._core import Recorder, ids
from fasttrace.background import Background
from fasttrace.batches import Batches
from fasttrace.cost import Bill, Meter
from fasttrace.delivery import Delivery
from fasttrace.export.base import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace.delivery import Outcome
    from fasttrace.export.base import Exporter, RecordBatch
    from fasttrace.export.stats_file import StatsFile
    from fasttrace.export.undelivered import Undelivered
    from fasttrace.held import Held

# How long the thread looks for more before it sleeps until the next span wakes it.
POLL_SECONDS = 0.2
IDLE_ROUNDS = 10
SLEEP_SECONDS = 3600.0
TICK_SECONDS = 1.0
# What a fork may wait for the thread to stop; a thread in the middle of sending is left alone.
FORK_WAIT_SECONDS = 0.001
# What it may wait for imports, which a child would never see finished.
FORK_IMPORT_SECONDS = 5.0
# What a change of exporters waits for the batch that the old one has.
REDIRECT_WAIT_SECONDS = 5.0
# What shutdown keeps of its time for writing what is left to disk.
LEFTOVERS_SHARE = 0.2

# One thread of a forked child makes a pipeline the child's own; re-entrant, for a finaliser may end a span inside.
_fork_lock = _threads.original("RLock")()


class Pipeline:
    """Sends what a recorder's ring holds, in batches by count, bytes and time.

    ``resource`` is called for the resource's attributes at the start and again in a forked child;
    ``undelivered`` keeps what the exporter can't deliver, ``held`` the traces that tail rules may still keep.
    ``tick`` is called by the thread, about once a second while there is something to do, and ``stats_file`` written.
    Times are in seconds, sizes in bytes.
    """

    def __init__(
        self,
        recorder: Recorder,
        exporter: Exporter,
        resource: Callable[[], dict[str, Any]],
        *,
        undelivered: Undelivered | None = None,
        held: Held | None = None,
        tick: Callable[[], None] | None = None,
        stats_file: StatsFile | None = None,
        max_batch_spans: int = 512,
        max_batch_bytes: int = 1024 * 1024,
        schedule_delay: float = 1.0,
        exit_timeout: float = 1.0,
    ) -> None:
        # The thread that first imports `threading` is the main thread to it, which the end of the process waits for:
        # it must be one of the application's, not ours when an exporter first needs urllib3.
        import threading  # noqa: F401

        self.recorder: Recorder = recorder
        self.delivery: Delivery = Delivery(exporter, undelivered)
        self.held = held
        self.stats_file = stats_file
        self._tick = tick
        self.batches: Batches = Batches(recorder, held, resource, max_batch_spans, max_batch_bytes)
        self.schedule_delay: float = schedule_delay
        self.exit_timeout = exit_timeout
        self._closed = self._ended = False
        self._reset()
        lifecycle.register(self)

    def _reset(self) -> None:
        """A process starts with no thread, no waiters and new locks."""
        # Guards the start and the stop of the thread, the waiters and the batch in flight; held for a few lines only.
        # Re-entrant, because a signal handler or a finaliser may end a span in the middle of them.
        self._state = _threads.original("RLock")()
        self._sending = _threads.original("allocate_lock")()
        # Held during the first imports and by whoever forks: no child is copied with a module half imported, which it
        # would wait for for ever. Re-entrant, because what is imported may fork.
        self._preparing = _threads.original("RLock")()
        self._prepared = False
        # Held by whoever shuts down: another one may be about to end the process, and must not cut that off.
        # Re-entrant, because a signal handler may shut down in the middle of it.
        self._ending = _threads.original("RLock")()
        self._background = Background(self.recorder, self._state, self._run)
        self.bill: Bill = Bill(self.recorder)
        self._told_of_drops = 0
        self._next_tick = 0.0
        # Last: until then no other thread of a forked child touches what may be the parent's.
        self.generation: int = ids.fork_generation()

    def _if_forked(self) -> None:
        """For children whose parent skipped Python's hooks (uWSGI)."""
        if self.generation != ids.fork_generation():
            with _fork_lock:
                if self.generation != ids.fork_generation():
                    self.after_fork_in_child()

    # --- the thread

    def start(self) -> None:
        """Called by the core when a record waits and nobody is awake to take it."""
        self._if_forked()
        self._background.start()

    def _run(self, epoch: int) -> None:
        meter = Meter(self.bill, self._state)
        try:
            self._work(epoch, meter)
        finally:
            meter.count()

    def _work(self, epoch: int, meter: Meter) -> None:
        recorder, ring = self.recorder, self.recorder.ring
        idle = 0
        due: float | None = None
        replay: float | None = None
        while epoch == self._background.epoch:
            poll = SLEEP_SECONDS if idle > IDLE_ROUNDS else min(POLL_SECONDS, self.schedule_delay)
            ring.wait(poll if replay is None else min(poll, replay))
            if epoch != self._background.epoch:
                return
            now = time.monotonic()
            self._pump(now)
            if ring.depth_spans:
                idle = 0
                due = now + self.schedule_delay if due is None else due
            waiters = self._background.take_waiters()
            everything = bool(waiters) or (due is not None and now >= due)
            forced = any(waiter.forced for waiter in waiters)
            if waiters:
                self._end_grace()
            with self._sending:
                tries = self.delivery.tries
                if everything or ring.depth_spans >= self.batches.max_spans:
                    self._send_all(epoch, everything=everything, forced=forced)
                    due = None
                replay = self._replay(epoch, forced and not (self.delivery.resting and self.delivery.tries > tries))
            self._tell_of_drops()
            meter.count()
            for waiter in waiters:
                waiter.release(served=True)
            self._write_stats()
            if not self._waiting:
                idle += 1
                if idle > IDLE_ROUNDS:
                    self._write_stats(at_once=True)
                    # From here on the next finished span calls start(), which wakes this thread.
                    recorder.consumer_running = False
                    if self._waiting:
                        recorder.consumer_running = True
                        idle = 0

    def _pump(self, now: float) -> None:
        """Let the tail rules judge what has ended, and whoever is called once a second do his work."""
        if self.held is not None:
            with self._state:
                self.held.pump()
        if self._tick is not None and now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            try:
                self._tick()
            except Exception as error:
                _log.warning("tick", "sampling is not adjusted: %s: %s", type(error).__name__, error)

    @property
    def _waiting(self) -> bool:
        """Whether anything waits to be sent, or for its trace's verdict."""
        return self.recorder.ring.depth_spans != 0 or (self.held is not None and self.held.due)

    def _end_grace(self) -> None:
        """A flush waits for nobody: what has ended is decided now, and at the end of the process everything."""
        if self.held is not None:
            with self._state:
                self.held.end_grace(for_good=self._closed)

    def recall(self, step: Callable[[Any], int]) -> int:
        """Send what a step on the store of held traces keeps; how many spans those are, 0 without tail rules."""
        self._if_forked()
        if self.held is None or self._closed:
            return 0
        with self._state:
            kept = self.held.recall(step)
        if kept:
            try:
                self.start()
            except RuntimeError:
                pass  # no new threads at interpreter exit, which sends what is kept
        return kept

    def _write_stats(self, *, at_once: bool = False, ended: bool = False) -> None:
        """Tell the readers of the spool how it goes; who sent nothing yet has nothing to tell."""
        if self.stats_file is not None and self._prepared:
            self.stats_file.write(at_once=at_once, ended=ended)

    def _tell_of_drops(self) -> None:
        """A line about spans that found the queue full since the last one."""
        lost = self.recorder.counters()["dropped_queue_full"]
        if lost <= self._told_of_drops or not _log.due("queue_full"):
            return
        ring = self.recorder.ring
        _log.warning(
            "queue_full",
            "%d spans dropped (queue_full): the queue of %d spans and %d bytes was full; see whether %s is slow or "
            "away, or raise max_queue_spans and max_queue_bytes, or sample less",
            lost - self._told_of_drops,
            ring.max_spans,
            ring.max_bytes,
            address(self.delivery.exporter) or type(self.delivery.exporter).__name__,
        )
        self._told_of_drops = lost

    def _send_all(
        self, epoch: int | None, *, everything: bool, forced: bool = False, deadline: float | None = None
    ) -> bool:
        """Send batches until the ring is empty, or, unless ``everything``, until less than a full batch is left."""
        ring = self.recorder.ring
        self._prepare()
        while True:
            if not everything and ring.depth_spans < self.batches.max_spans:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return ring.depth_spans == 0
            batch = self._take(epoch)
            if batch is None:
                return ring.depth_spans == 0
            batch.attempt.deadline = deadline
            batch.attempt.urgent = self._urgent
            outcome = None
            if not self.delivery.resting or forced:
                outcome = self.delivery.attempt(batch, interruptible=epoch is None)
            if self._land(batch):
                self._settle(batch, outcome)
            # Once is enough to see that the receiver is away.
            forced = forced and not self.delivery.resting

    def _prepare(self) -> None:
        """Whatever is slow the first time and must not be cut in two by a fork: imports above all."""
        if self._prepared:
            return
        with self._preparing:
            self._prepared = True
            self.batches.prepare()
            if self.stats_file is not None:
                self.stats_file.prepare()
            try:
                prepare = getattr(self.delivery.exporter, "prepare", None)
                if prepare is not None:
                    prepare()
            except Exception as error:
                _log.warning("prepare", "the exporter is not prepared: %s: %s", type(error).__name__, error)

    def _take(self, epoch: int | None) -> RecordBatch | None:
        """The next batch, which then is in flight; None when the ring is empty or the thread is to stop."""
        self.batches.prepare()
        with self._state:
            if epoch is not None and epoch != self._background.epoch:
                return None
            return self.batches.take()

    def _land(self, batch: RecordBatch) -> bool:
        """Whether the batch is still the caller's to account for."""
        with self._state:
            return self.batches.land(batch)

    def _settle(self, batch: RecordBatch, outcome: Outcome | None, *, ambiguous: bool = False) -> None:
        """Count what became of a batch, None being kept for later; whatever happens, its spans leave the queue."""
        try:
            if outcome is None:
                self.delivery.keep(batch, ambiguous=ambiguous)
            else:
                self.delivery.settle(batch, outcome)
        finally:
            self.recorder.ring.release(len(batch), len(batch.records))

    def _urgent(self) -> bool:
        """Whether a try should give up rather than wait: for the end of the process, or while the queue is filling."""
        ring = self.recorder.ring
        return self._closed or ring.depth_spans * 2 > ring.max_spans or ring.depth_bytes * 2 > ring.max_bytes

    def _replay(self, epoch: int, forced: bool) -> float | None:
        """Send what waits on disk while there is nothing better to do; seconds to the next time, None without one."""
        ring = self.recorder.ring
        left = self.delivery.replay_in()
        while left is not None and (left <= 0 or forced):
            if epoch != self._background.epoch or ring.depth_spans >= self.batches.max_spans:
                return 0.0
            self._prepare()
            if not self.delivery.replay():
                forced = False
            left = self.delivery.replay_in()
        return left

    # --- flush and shutdown

    def flush(self, timeout: float) -> bool:
        """Send what has ended so far. True when all of it was delivered within ``timeout`` seconds."""
        return self._flush(timeout, forced=True)

    def _flush(self, timeout: float, *, forced: bool) -> bool:
        self._if_forked()
        deadline = time.monotonic() + max(0.0, timeout)
        dropped = sum(self.delivery.dropped.values())
        while not (self._flush_by_thread(deadline, forced) or self._flush_here(deadline, forced)):
            if time.monotonic() >= deadline:
                return False
        remaining = max(0.0, deadline - time.monotonic())
        delivered = self.delivery.spooled == 0 and sum(self.delivery.dropped.values()) <= dropped
        return self._call_exporter("flush", remaining) and delivered

    def _call_exporter(self, name: str, timeout: float) -> bool:
        """Its flush or shutdown. One that is not ours may raise or hang, which costs nobody more than the timeout."""
        finished = []

        def work() -> None:
            try:
                finished.append(getattr(self.delivery.exporter, name)(timeout) is not False)
            except BaseException as error:
                _log.warning(name, "the exporter's %s failed: %s: %s", name, type(error).__name__, error)

        if type(self.delivery.exporter).__module__.startswith("fasttrace."):
            work()
        elif not _threads.call(work, time.monotonic() + timeout):
            return False
        return finished == [True]

    def _flush_by_thread(self, deadline: float, forced: bool) -> bool:
        """Let the thread send, and wait; False when there is none, or when it has not done so in time."""
        if (self._waiting or self.delivery.spooled) and not self._background.running and not sys.is_finalizing():
            try:
                self.start()
            except RuntimeError:
                return False  # no new threads at interpreter exit
        with self._state:
            waiter = self._background.ask(forced)
            if waiter is None:
                return not self._waiting and not self._sending.locked()
        self.recorder.ring.wake()
        return waiter.wait(deadline)

    def _flush_here(self, deadline: float, forced: bool) -> bool:
        """Send on the calling thread, as far as the deadline allows; only without a thread that could."""
        if self._background.running or not _threads.acquire(self._sending, deadline):
            return False
        try:
            self._end_grace()
            return self._send_all(None, everything=True, forced=forced, deadline=deadline)
        finally:
            self._sending.release()

    def shutdown(self, timeout: float) -> bool:
        """Refuse new spans, send what is queued, stop the thread and the exporter, within ``timeout`` seconds.

        What can't be sent in time is kept for the next process.
        """
        begin = time.monotonic()
        timeout = max(0.0, timeout)
        if not _threads.acquire(self._ending, begin + timeout * (1 - LEFTOVERS_SHARE)):
            self._keep_leftovers()  # the process may end before whoever is at it has come to that
            return False
        try:
            if not self._closed:
                return self._shut_down(begin, timeout)
            if not self._ended:
                self._keep_leftovers()  # a signal came in the middle of it, and ends the process
            return self._ended
        finally:
            self._ending.release()

    def _shut_down(self, begin: float, timeout: float) -> bool:
        self._closed = self.recorder.closed = True
        try:
            done = self._flush(timeout * (1 - LEFTOVERS_SHARE), forced=False)
        finally:
            self._background.stop(begin + timeout * (1 - LEFTOVERS_SHARE))
            self._keep_leftovers()
            self._call_exporter("shutdown", max(0.0, begin + timeout - time.monotonic()))
            self._write_stats(ended=True)
            self._ended = True
        return done

    def _keep_leftovers(self) -> None:
        """What could not be sent in time, and what the exporter still has, is for the next process."""
        with self._state:
            batch = self.batches.in_flight
        if batch is not None and self._land(batch):
            self._settle(batch, None, ambiguous=True)
        self._end_grace()
        while (batch := self._take(None)) is not None and self._land(batch):
            self._settle(batch, None)
        self.delivery.close()

    def redirect(
        self,
        exporter: Exporter,
        undelivered: Undelivered | None,
        *,
        schedule_delay: float | None = None,
        max_batch_spans: int | None = None,
    ) -> None:
        """Send to another exporter from now on, also what is queued already; the accounts go on."""
        previous = self.delivery.exporter
        waited = _threads.acquire(self._sending, time.monotonic() + REDIRECT_WAIT_SECONDS)
        try:
            self.delivery.redirect(exporter, undelivered)
            self._prepared = False
            if schedule_delay is not None:
                self.schedule_delay = schedule_delay
            if max_batch_spans is not None:
                self.batches.max_spans = max_batch_spans
        finally:
            if waited:
                self._sending.release()
        try:
            previous.shutdown(0.0)
        except Exception as error:
            _log.warning("shutdown", "the exporter's shutdown failed: %s: %s", type(error).__name__, error)

    # --- fork

    def before_fork(self) -> None:
        """Ask the thread to stop, so that the child is copied from a quiet process; never wait for a send."""
        if self._background.running:
            self._background.stop(time.monotonic() + FORK_WAIT_SECONDS)
        self._preparing.acquire(timeout=FORK_IMPORT_SECONDS)
        if self.stats_file is not None:
            self.stats_file.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on where it stopped; what waits must not depend on the next span."""
        if self.stats_file is not None:
            self.stats_file.after_fork_in_parent()
        try:
            self._preparing.release()
        except RuntimeError:
            pass  # it took too long
        if (self._waiting or self.delivery.spooled) and not self._closed:
            try:
                self.start()
            except RuntimeError as error:
                self.delivery.note_error(f"RuntimeError: {error}")

    def after_fork_in_child(self) -> None:
        """The queue and the thread are the parent's; a thread of our own starts with the first span."""
        self.delivery.after_fork_in_child()
        if self.held is not None:
            self.held.after_fork_in_child()
        if self.stats_file is not None:
            self.stats_file.after_fork_in_child()
        self.recorder.consumer_running = False
        self.batches.reset()
        self._reset()

    def stats(self) -> dict[str, Any]:
        """The accounts of this process; ``fasttrace.stats`` has the meanings."""
        self._if_forked()
        counters = self.recorder.counters()
        ring = self.recorder.ring
        found = accounts.blank()
        dropped = {key[8:]: value for key, value in counters.items() if key.startswith("dropped_")}
        sampled_out = counters["sampled_out"]
        if self.held is not None:
            with self._state:
                figures = self.held.stats()
            sampled_out += figures.pop("sampled_out")
            dropped["trace_evicted"] = figures.pop("trace_evicted")
            found.update(figures)
        return {
            **found,
            "started": counters["started"],
            "active": counters["active"],
            "abandoned": counters["abandoned"],
            "queued": ring.depth_spans,
            "sampled_out": sampled_out,
            "detail_spans": counters["detail_spans"],
            "detail_attributes": counters["detail_attributes"],
            "sampler_errors": counters["sampler_errors"],
            "stats_file_errors": 0 if self.stats_file is None else self.stats_file.errors,
            "dropped": {**found["dropped"], **dropped, **self.delivery.dropped},
            "queued_bytes": ring.depth_bytes,
            "max_queue_spans": ring.max_spans,
            "max_queue_bytes": ring.max_bytes,
            **self.bill.stats(),
            **self.delivery.stats(),
        }
