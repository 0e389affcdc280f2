"""Incidents: a boost that begins by itself when too many requests fail or the slowest get too slow.

It looks at every local root, recorded or not, over a sliding window.
"""

from __future__ import annotations

from collections import deque

from fasttrace import _log
from fasttrace._core import layout
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Snapshots for each window: what the window's length may be off by.
STEPS = 10


class Incident:
    """Raises the ratio to ``ratio`` while requests go wrong.

    It begins when, among at least ``min_requests`` requests of the last ``window`` seconds, the share of failed ones
    is at least ``error_ratio``, or the 99th percentile of their durations at least ``p99`` seconds (None: either is
    not looked at). The boost lasts ``seconds``, and is renewed while it stays so. Durations are counted in buckets,
    four to a power of two, and taken at the lower bound: a p99 below the threshold never counts as above it.
    Raises ConfigurationError for what can't be, naming the value.
    """

    def __init__(
        self,
        error_ratio: float | None = 0.05,
        p99: float | None = 2.0,
        ratio: float = 1.0,
        seconds: float = 60.0,
        min_requests: int = 20,
        window: float = 10.0,
    ) -> None:
        if error_ratio is None and p99 is None:
            raise ConfigurationError("error_ratio=None, p99=None: use at least one of them")
        self.error_ratio: float | None = None if error_ratio is None else reading.share("error_ratio", error_ratio)
        if self.error_ratio == 0:
            raise ConfigurationError("error_ratio=0: use a share above 0, or every moment is an incident")
        self.p99: float | None = None if p99 is None else reading.seconds("p99", p99)
        self.ratio: float = reading.share("ratio", ratio)
        self.seconds: float = reading.seconds("seconds", seconds)
        self.min_requests: int = reading.number("min_requests", min_requests)
        self.window: float = reading.seconds("window", window)

    def __repr__(self) -> str:
        names = ("error_ratio", "p99", "ratio", "seconds", "min_requests", "window")
        return f"Incident({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


class Watch:
    """One incident being watched for in one process. ``observe`` is called about once a second.

    ``until`` is when its boost ends, on the clock that ``observe`` is given, or None while all is well; ``since`` when
    it began; ``count`` how many there were.
    """

    def __init__(self, incident: Incident) -> None:
        self.incident = incident
        self.since: float | None = None
        self.until: float | None = None
        self.count: int = 0
        self._seen: deque[tuple[float, int, int, tuple[int, ...]]] = deque(maxlen=STEPS + 2)

    def observe(self, window: Mapping[str, Any], now: float) -> None:
        """Look at the cumulative counts of ``Recorder.window()``; logs when an incident begins and when it ends."""
        why = self._why(int(window["requests"]), int(window["errors"]), tuple(window["durations"]), now)
        incident = self.incident
        if why is not None:
            if self.until is None or now >= self.until:
                self.since = now
                self.count += 1
                _log.line("WARNING", "incident: %s; sampling %s", why, reading.share_text(incident.ratio))
                self.until = now + incident.seconds
            elif self.until - now < incident.seconds / 2:
                self.until = now + incident.seconds
        elif self.until is not None and now >= self.until:
            lasted = now - (self.since or now)
            self.since = self.until = None
            _log.line("WARNING", "incident is over after %.0f s; sampling as before", lasted)

    def _why(self, requests: int, errors: int, durations: tuple[int, ...], now: float) -> str | None:
        seen = self._seen
        if seen and (requests < seen[-1][1] or errors < seen[-1][2] or now - seen[-1][0] > 2 * self.incident.window):
            # Another process's counts after a fork, or nobody looked for so long that it says nothing about now.
            seen.clear()
        while len(seen) > 1 and seen[1][0] <= now - self.incident.window:
            seen.popleft()
        if not seen:
            seen.append((now, requests, errors, durations))
            return None
        _, requests_before, errors_before, durations_before = seen[0]
        if now - seen[-1][0] >= self.incident.window / STEPS:
            seen.append((now, requests, errors, durations))
        count = requests - requests_before
        if count < self.incident.min_requests:
            return None
        failed = max(0, errors - errors_before)
        limit = self.incident.error_ratio
        if limit is not None and failed >= limit * count:
            return f"{failed} of {count} requests failed"
        if self.incident.p99 is not None and len(durations) == len(durations_before):
            counts = [max(0, after - before) for after, before in zip(durations, durations_before, strict=True)]
            slow = percentile(counts, 0.99) / 1e9
            if slow >= self.incident.p99:
                return f"99 % of {count} requests take up to {slow:.3g} s or more"
        return None


def percentile(counts: list[int], share: float) -> int:
    """The lower bound, in nanoseconds, of the bucket that holds this percentile; 0 without any counts."""
    rank = share * sum(counts)
    below = 0
    for bucket, count in enumerate(counts):
        below += count
        if count and below >= rank:
            return layout.duration_of(bucket)
    return 0
