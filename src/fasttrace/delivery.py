"""What becomes of a batch: delivered, kept on disk until it can be, or dropped; each counted once.

While the receiver is away batches go straight to disk, and a single try after a growing pause finds out whether
it is back.
"""

from __future__ import annotations

import os
import time

from fasttrace import _log, _threads
from fasttrace.context import UNTRACED, attach, detach
from fasttrace.errors import ExportError, SpoolError
from fasttrace.export.base import Batch, address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.export.base import Exporter
    from fasttrace.export.undelivered import Frame, Undelivered

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# As long as a receiver may ask to be left alone.
LONGEST_ASKED_SECONDS = 600.0
# A try that finds out whether a receiver is back may hang no longer.
PROBE_SECONDS = 5.0
# How often a process looks for what others have left.
SCAN_SECONDS = 30.0


class Outcome:
    """What one try came to: spans that arrived, that the receiver refused, batches worth another try, and why."""

    __slots__ = ("delivered", "error", "rejected", "undelivered")

    def __init__(
        self, delivered: int, rejected: int = 0, undelivered: tuple[Batch, ...] = (), error: BaseException | None = None
    ) -> None:
        self.delivered: int = delivered
        self.rejected: int = rejected
        self.undelivered: tuple[Batch, ...] = undelivered
        self.error: BaseException | None = error


class _Accounts:
    """The lock of the accounts. Log lines are written once it is let go: a handler may do anything, or hang."""

    def __init__(self) -> None:
        self._lock = _threads.original("RLock")()
        self._depth = 0
        self._lines: list[tuple[Any, ...]] = []

    def say(self, topic: str, text: str, *arguments: Any) -> None:
        """Have a line written."""
        self._lines.append((topic, text, *arguments))

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        lines: list[tuple[Any, ...]] = []
        if self._depth == 0:
            lines, self._lines = self._lines, lines
        self._lock.release()
        for line in lines:
            _log.warning(*line)


class Delivery:
    """Sends batches to one exporter and keeps account of them.

    One thread sends at a time; at the end of the process another one may take over what it holds.
    """

    def __init__(self, exporter: Exporter, undelivered: Undelivered | None = None) -> None:
        self.exporter: Exporter = exporter
        self.undelivered: Undelivered | None = undelivered
        self.reset()

    def reset(self) -> None:
        """A process starts with counters at zero."""
        self._accounts = _Accounts()
        self.exported: int = 0
        self.batches: int = 0
        self.replayed: int = 0
        self.replay_dropped: int = 0
        self.retried_ambiguous: int = 0
        self._lost = {"export_failed": 0, "rejected": 0, "spool_full": 0}
        self._left_behind = 0  # spans that wait on disk for an exporter that another one has replaced
        self.last_error: str | None = None
        # Wall clock, in seconds: for people who read stats().
        self.last_error_time: float | None = None
        self.last_export_time: float | None = None
        self.tries: int = 0
        # When the receiver is away: the time.monotonic() of the next try.
        self.away_until: float | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._next_scan = 0.0
        # A frame that is being sent right now.
        self._replaying: Frame | None = None

    def after_fork_in_child(self) -> None:
        """What waits is the parent's."""
        self.reset()
        if self.undelivered is not None:
            self.undelivered.after_fork_in_child()

    def redirect(self, exporter: Exporter, undelivered: Undelivered | None) -> None:
        """Deliver to another exporter from now on; what waits on disk for the last one is the next process's."""
        self.close()
        if self.undelivered is not None:
            self._lost["spool_full"] += self.undelivered.evicted_mine
            self._left_behind += self.undelivered.mine
        self.exporter, self.undelivered = exporter, undelivered
        self.away_until, self._pause, self._next_scan = None, FIRST_PAUSE_SECONDS, 0.0

    def note_error(self, text: str) -> None:
        """The last thing that went wrong, and when."""
        self.last_error, self.last_error_time = text, time.time()

    # --- one batch

    @property
    def resting(self) -> bool:
        """Whether the receiver is away and it is too early to try again."""
        return self.away_until is not None and time.monotonic() < self.away_until

    def attempt(self, batch: Batch, *, interruptible: bool = False) -> Outcome:
        """Call the exporter. Touches nothing that another thread may need: it may hang.

        What is no Exception passes if ``interruptible``, being the application's then: Ctrl-C, a greenlet's timeout.
        """
        self.tries += 1
        if self.away_until is not None:
            limit = time.monotonic() + PROBE_SECONDS
            attempt = batch.attempt
            attempt.deadline = limit if attempt.deadline is None else min(limit, attempt.deadline)
            attempt.urgent = lambda: True
        token = attach(UNTRACED)
        try:
            answer: object = self.exporter.export(batch)
            # Exporters made for other libraries answer with other things: those say nothing of spans.
            rejected = answer if isinstance(answer, int) and not isinstance(answer, bool) else 0
            return Outcome(len(batch), min(len(batch), max(0, rejected)))
        except ExportError as error:
            delivered = min(len(batch), max(0, error.delivered_spans))
            undelivered: tuple[Batch, ...] = ()
            if error.retryable:
                undelivered = (batch,) if error.undelivered is None else tuple(error.undelivered)
            return Outcome(delivered, min(delivered, max(0, error.rejected_spans)), undelivered, error)
        except BaseException as error:
            if interruptible and not isinstance(error, Exception):
                raise
            return Outcome(0, 0, (), error)
        finally:
            detach(UNTRACED, token)

    def settle(self, batch: Batch, outcome: Outcome) -> None:
        """Count what became of a batch; what is worth another try goes to disk."""
        with self._accounts:
            self._settle(batch, outcome)

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        self.retried_ambiguous += batch.attempt.retried_ambiguous
        self.exported += outcome.delivered - outcome.rejected
        self._lost["rejected"] += outcome.rejected
        if outcome.delivered:
            self.batches += 1
            self.last_export_time = time.time()
        lost = len(batch) - outcome.delivered - sum(len(part) for part in outcome.undelivered)
        if not outcome.undelivered:
            self._is_back()
        if outcome.error is None:
            return
        self.note_error(f"{type(outcome.error).__name__}: {outcome.error}")
        if outcome.undelivered:
            if self.undelivered is None:
                lost += sum(len(part) for part in outcome.undelivered)
            else:
                self._is_away(outcome.error)
                self._keep(outcome.undelivered, ambiguous=getattr(outcome.error, "ambiguous", False))
        if lost:
            self._lost["export_failed"] += lost
            self._accounts.say("export", "%d spans dropped: %s", lost, self.last_error)

    def keep(self, batch: Batch, *, ambiguous: bool = False) -> None:
        """Leave a batch for later; without a place for it, it is dropped and counted."""
        with self._accounts:
            if self.undelivered is not None:
                self._keep((batch,), ambiguous=ambiguous)
                return
            self._lost["export_failed"] += len(batch)
            self._accounts.say("shutdown", "%d spans dropped: not sent before the shutdown's deadline", len(batch))

    def _keep(self, batches: tuple[Batch, ...], *, ambiguous: bool) -> None:
        assert self.undelivered is not None
        for batch in batches:
            try:
                self.undelivered.put(batch.otlp, len(batch))
            except SpoolError as error:
                self._lost["spool_full" if error.full else "export_failed"] += len(batch)
                self.note_error(str(error))
                if not error.full:
                    self.away_until = None  # better to try every batch than to drop it untried
                self._accounts.say("spool", "%d spans dropped: %s", len(batch), error)
                continue
            if ambiguous:
                self.retried_ambiguous += len(batch)

    def _is_away(self, error: BaseException) -> None:
        if self.away_until is None:
            self._accounts.say("away", "spans are kept on disk until they can be delivered: %s", error)
        pause = self._pause * (0.5 + int.from_bytes(os.urandom(2), "big") / 2**17)
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)
        asked = getattr(error, "retry_after", None)
        self.away_until = time.monotonic() + max(pause, min(asked or 0.0, LONGEST_ASKED_SECONDS))

    def _is_back(self) -> None:
        self.away_until = None
        self._pause = FIRST_PAUSE_SECONDS

    # --- what waits on disk

    def replay_in(self) -> float | None:
        """Seconds until what waits on disk should be tried again; None when nothing waits."""
        if self.undelivered is None:
            return None
        now = time.monotonic()
        if now >= self._next_scan:
            self._next_scan = now + SCAN_SECONDS
            self.undelivered.scan()
        if not self.undelivered.waiting:
            return None
        return 0.0 if self.away_until is None else max(0.0, self.away_until - now)

    def replay(self, attempt_deadline: float | None = None) -> bool:
        """Send the oldest request that waits; False when nothing waits or it did not arrive."""
        waiting = self.undelivered
        found = None if waiting is None else waiting.first()
        if waiting is None or found is None:
            return False
        frame, request = found
        batch = Batch(request, frame.spans)
        batch.attempt.deadline = attempt_deadline
        self._replaying = frame
        outcome = self.attempt(batch)
        with self._accounts:
            self._replaying = None
            # Else it was given to the next process by a change of exporters, and counted then.
            return self.undelivered is waiting and self._settle_replay(waiting, frame, batch, outcome)

    def _settle_replay(self, waiting: Undelivered, frame: Frame, batch: Batch, outcome: Outcome) -> bool:
        self.retried_ambiguous += batch.attempt.retried_ambiguous
        if outcome.delivered:
            self.last_export_time = time.time()
        if outcome.error is not None:
            self.note_error(f"{type(outcome.error).__name__}: {outcome.error}")
        if outcome.undelivered:
            assert outcome.error is not None
            self._is_away(outcome.error)
            if getattr(outcome.error, "ambiguous", False):
                self.retried_ambiguous += sum(len(part) for part in outcome.undelivered)
            if not outcome.delivered:
                return False
        else:
            self._is_back()
        if not waiting.done(frame):  # gone: evicted, or given to the next process
            return outcome.error is None
        kept = 0
        for part in outcome.undelivered:
            try:
                waiting.put(part.otlp, len(part), mine=frame.mine)
                kept += len(part)
            except SpoolError as error:
                self.note_error(str(error))
        lost = frame.spans - outcome.delivered - kept
        if frame.mine:
            self.exported += outcome.delivered - outcome.rejected
            self._lost["rejected"] += outcome.rejected
            self._lost["export_failed"] += lost
        else:
            self.replayed += outcome.delivered - outcome.rejected
            self.replay_dropped += outcome.rejected + lost
        if lost:
            self._accounts.say("export", "%d spans dropped: %s", lost, self.last_error)
        return outcome.error is None

    def close(self) -> None:
        """Give up what waits to the next process."""
        if self.undelivered is None:
            return
        with self._accounts:
            if self._replaying is not None:
                # On its way right now; the next process sends it again.
                self.retried_ambiguous += self._replaying.spans
            self.undelivered.close()

    # --- accounts

    @property
    def spooled(self) -> int:
        """Spans of this process that wait on disk."""
        return 0 if self.undelivered is None else self.undelivered.mine

    @property
    def dropped(self) -> dict[str, int]:
        """What this process dropped, by reason."""
        dropped = dict(self._lost)
        if self.undelivered is not None:
            dropped["spool_full"] += self.undelivered.evicted_mine
        return dropped

    def stats(self) -> dict[str, Any]:
        """The delivery's share of ``stats()``."""
        evicted = 0 if self.undelivered is None else self.undelivered.evicted_others
        return {
            "spooled": self.spooled + self._left_behind,
            "exported": self.exported,
            "batches": self.batches,
            "retried_ambiguous": self.retried_ambiguous,
            "replayed": self.replayed,
            "replay_dropped": self.replay_dropped + evicted,
            "undelivered": 0 if self.undelivered is None else self.undelivered.spans,
            "away": self.away_until is not None,
            "last_export_time": self.last_export_time,
            "last_error": self.last_error,
            "last_error_time": self.last_error_time,
            "exporter": type(self.exporter).__name__,
            "destination": address(self.exporter),
        }
