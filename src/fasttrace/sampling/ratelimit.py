"""So many traces a second and no more."""

from __future__ import annotations

from fasttrace.errors import ConfigurationError
from fasttrace.sampling import checks, clock, consistent
from fasttrace.sampling.base import ALWAYS, ASK, DROP, ENTRIES, NEVER, SAMPLE, Sampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.sampling.base import Answer, Thresholds


class Bucket:
    """A token bucket on the monotonic clock: never below nothing, never above ``burst``."""

    __slots__ = ("_lock", "_taken_ns", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate: float = rate
        self.burst: float = burst
        self._tokens = burst
        self._taken_ns = clock.now_ns()
        # Two threads never take the same token.
        self._lock = clock.Lock()

    def take(self) -> bool:
        """Take a token; False if there is none."""
        now = clock.now_ns()
        # Most find nothing, and need no lock for that: what another thread takes meanwhile is not theirs either way.
        if self._tokens + (now - self._taken_ns) * self.rate / clock.SECOND_NS < 1:
            return False
        with self._lock:
            elapsed = now - self._taken_ns
            if elapsed > 0:
                self._tokens = min(self.burst, self._tokens + elapsed * self.rate / clock.SECOND_NS)
                self._taken_ns = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class RateLimited(Sampler):
    """Records the first traces of each second, up to a rate: a token bucket of ``burst`` traces, full at the start.

    ``traces_per_second`` may be a fraction, 0 is none; ``burst`` is one second's worth and at least 1 unless given.
    Decides where a trace comes into this process, at a root or below a remote parent; all else does what its local
    parent did. Put it below ParentBased to do what remote parents did, too. Raises ConfigurationError.
    """

    _boosted = ENTRIES

    def __init__(self, traces_per_second: float, *, burst: float | None = None) -> None:
        self.traces_per_second: float = checks.rate(traces_per_second, "traces_per_second")
        if burst is None:
            burst = max(1.0, self.traces_per_second) if self.traces_per_second else 0.0
        elif checks.rate(burst, "burst") < 1:
            raise ConfigurationError(f"burst={burst!r}: use a number of traces of at least 1")
        self.burst: float = float(burst)
        self._bucket = Bucket(self.traces_per_second, self.burst)

    def _thresholds(self) -> Thresholds:
        return (ASK, ASK, ASK, ALWAYS, NEVER)

    def _decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        # How many traces a kept one stands for is not known: no `th`.
        return (SAMPLE if self._bucket.take() else DROP), None, consistent.with_member(parent, None)

    def __repr__(self) -> str:
        return f"RateLimited({self.traces_per_second})"
