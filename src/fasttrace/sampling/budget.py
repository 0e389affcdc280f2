"""A budget of CPU: what tracing may take of the process, and what is given up when it takes more.

Detail goes first, trace by trace: the spans below local roots, then attributes. After that the head ratio is halved as
often as it takes. It comes back one step at a time.
"""

from __future__ import annotations

import math
import time

from fasttrace import _log
from fasttrace._core.layout import DETAIL_BARE, DETAILS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# One look may fall on a garbage collection, or on the start of a connection.
LOOKS = 2
# A step back may double the bill.
CALM_SHARE = 0.5
HOLD_SECONDS = 30.0
# A step back that had to be taken again is tried after twice the time, up to this one.
MAX_HOLD_SECONDS = 600.0
# A process that takes less of one core can't be harmed.
IDLE_SHARE = 0.02
HALVINGS = 10
LAST_STEP = DETAIL_BARE + HALVINGS
# More at once would go by a bill that is an estimate.
LARGEST_STRIDE = 3


class Budget:
    """Keeps what tracing costs below a share of the process's CPU. ``look`` is called about once a second.

    ``bill()`` gives the CPU seconds of tracing and of the process so far; ``ratio()`` the sampler's own ratio, None if
    it is no fixed one; ``apply(detail, max_ratio)`` puts a level of detail and a cap of the ratio in force. ``clock``
    is monotonic, in seconds.
    """

    def __init__(
        self,
        max_cpu_ratio: float,
        bill: Callable[[], tuple[float, float]],
        apply: Callable[[int, float], None],
        ratio: Callable[[], float | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_cpu_ratio = max_cpu_ratio
        self._bill = bill
        self._apply = apply
        self._ratio = ratio
        self._clock = clock
        self._applied = (0, 1.0)
        self.restart()

    def restart(self) -> None:
        """Begin with everything, as a process does that was forked."""
        self.step: int = 0
        self.lowered: int = 0
        self.cpu_ratio: float = 0.0
        self._seen: tuple[float, float, float] | None = None
        self._over = 0
        self._calm_since: float | None = None
        self._hold = HOLD_SECONDS
        self._raised_at = -math.inf
        self._enforce()

    @property
    def detail(self) -> int:
        """The level of detail in force."""
        return min(self.step, DETAIL_BARE)

    @property
    def max_ratio(self) -> float:
        """The cap of the head ratio in force, 1 for none."""
        halvings = max(0, self.step - DETAIL_BARE)
        if not halvings:
            return 1.0
        ratio = self._ratio()
        return (1.0 if ratio is None else ratio) * 0.5**halvings

    def look(self) -> None:
        """Compare the bill since the last look with the budget, and give up, or take back, what it asks for."""
        now = self._clock()
        own, whole = self._bill()
        before, self._seen = self._seen, (now, own, whole)
        if before is None or now <= before[0]:
            return
        spent, used = own - before[1], whole - before[2]
        idle = used < IDLE_SHARE * (now - before[0])
        self.cpu_ratio = 0.0 if idle else min(1.0, spent / used)
        if self.cpu_ratio > self.max_cpu_ratio:
            self._calm_since = None
            self._over += 1
            if self._over >= LOOKS:
                self._over = 0
                self._lower(now)
        else:
            self._over = 0
            self._recover(now, before[0])
        self._enforce()

    def _lower(self, now: float) -> None:
        if self.step == LAST_STEP:
            return
        if self.step == 0:
            _log.line(
                "WARNING",
                "tracing takes %.1f %% of the process's CPU, more than max_cpu_ratio=%g: spans below local roots are "
                "left out, then attributes, then traces, until it does not; "
                "fasttrace.stats()['sampling']['budget'] tells how far",
                100 * self.cpu_ratio,
                self.max_cpu_ratio,
            )
        if now - self._raised_at < self._hold:
            self._hold = min(2 * self._hold, MAX_HOLD_SECONDS)
        stride = 1
        if self.step >= DETAIL_BARE:
            stride = max(1, min(LARGEST_STRIDE, math.ceil(math.log2(self.cpu_ratio / self.max_cpu_ratio))))
        self.step = min(LAST_STEP, self.step + stride)
        self.lowered += 1

    def _recover(self, now: float, before: float) -> None:
        if self.cpu_ratio >= CALM_SHARE * self.max_cpu_ratio:
            self._calm_since = None
            return
        if self._calm_since is None:
            self._calm_since = before
        if self.step == 0:
            if now - self._raised_at >= MAX_HOLD_SECONDS:
                self._hold = HOLD_SECONDS
        elif now - self._calm_since >= self._hold:
            self._calm_since = self._raised_at = now
            self.step -= 1
            if self.step == 0:
                _log.line("WARNING", "tracing is within max_cpu_ratio=%g: everything is recorded", self.max_cpu_ratio)

    def _enforce(self) -> None:
        wanted = (self.detail, self.max_ratio)
        if wanted != self._applied:
            self._apply(*wanted)
            self._applied = wanted

    def state(self) -> dict[str, Any]:
        """For ``stats()``: the budget, the last look's bill, the detail, the cap or None, how often it was lowered."""
        return {
            "max_cpu_ratio": self.max_cpu_ratio,
            "cpu_ratio": round(self.cpu_ratio, 5),
            "detail": DETAILS[self.detail],
            "max_ratio": self.max_ratio if self.max_ratio < 1 else None,
            "lowered": self.lowered,
        }
