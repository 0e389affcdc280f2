"""What tracing costs in CPU time: the spans, of which the core times some, and the background thread."""

from __future__ import annotations

import time

from fasttrace._core.layout import TIMED_EVERY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace._core import Recorder


class Bill:
    """The CPU seconds of one recorder's spans and of the thread that sends them, from now on.

    ``thread_seconds`` is added to by that thread. A process that has forked makes a new one.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.thread_seconds: float = 0.0
        self._recorder = recorder
        self._span_seconds = 0.0
        self._begin = time.process_time()

    def own_seconds(self) -> float:
        """What tracing has taken; never less than before."""
        timed_ns = self._recorder.counters()["timed_ns"]
        # One step that found the clock slow may count as less than nothing.
        self._span_seconds = max(self._span_seconds, timed_ns * TIMED_EVERY / 1e9)
        return self._span_seconds + self.thread_seconds

    def process_seconds(self) -> float:
        """What the whole process has taken in the same time."""
        return time.process_time() - self._begin

    def stats(self) -> dict[str, Any]:
        """This part of ``fasttrace.stats``."""
        counters = self._recorder.counters()
        timed = counters["timed"]
        own, whole = self.own_seconds(), self.process_seconds()
        return {
            "span_cpu_microseconds": max(0.0, counters["timed_ns"] / timed / 1000) if timed else None,
            "timed_spans": timed,
            "thread_cpu_seconds": self.thread_seconds,
            "cpu_seconds": own,
            "cpu_percent": min(100.0, 100 * own / whole) if whole > 0 else 0.0,
        }


class Meter:
    """The CPU time of the thread that makes it, added to a bill as it goes.

    ``lock`` guards the bill: an old thread may still be coming to its end beside a new one.
    """

    __slots__ = ("_bill", "_counted", "_lock")

    def __init__(self, bill: Bill, lock: Any) -> None:
        self._bill = bill
        self._lock = lock
        self._counted = time.thread_time()

    def count(self) -> None:
        """Add what the thread has taken since the last time."""
        now = time.thread_time()
        with self._lock:
            self._bill.thread_seconds += now - self._counted
        self._counted = now
