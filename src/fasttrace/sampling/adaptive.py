"""A rate for each route, reached by a probability that follows the traffic."""

from __future__ import annotations

from fasttrace.sampling import checks, clock, consistent
from fasttrace.sampling.base import ALWAYS, ASK, DROP, ENTRIES, NEVER, SAMPLE, Sampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.sampling.base import Answer, Thresholds

MAX_ROUTES = 1000
MAX_NAME = 256
# The share of the newest second in the rate.
SMOOTHING = 0.5
# A route is seen again after so many seconds, whatever its probability, unless its target is rarer.
SEEN_EVERY_SECONDS = 5.0
METHODS = ("http.request.method", "http.method")


class _Route:
    """What is known of one route: its rate, and the threshold that follows from it."""

    __slots__ = ("count", "look_at", "rate", "seen_ns", "since_ns", "threshold")

    def __init__(self, now: int, target: float) -> None:
        self.since_ns = now
        self.seen_ns = now
        self.count = 0
        self.rate: float | None = None
        self.threshold = ALWAYS
        # The number of this second's traces at which to look before the second is over.
        self.look_at = max(1.0, target)

    def observe(self, now: int, target: float) -> None:
        """Count one trace; after a second, or when there are twice as many as expected, set the probability anew."""
        elapsed = now - self.since_ns
        if elapsed >= clock.SECOND_NS:
            seconds = elapsed / clock.SECOND_NS
            observed = self.count / seconds
            if self.rate is None:
                self.rate = observed
            else:
                # Of logarithms: a rate falls to a hundredth as fast as it rises a hundredfold.
                old = (1 - SMOOTHING) ** seconds
                self.rate = self.rate**old * observed ** (1 - old)
            self.since_ns = now
            self.count = 0
            self._follow(self.rate, target)
        self.count += 1
        if self.count > self.look_at:
            self._follow(max(self.count, self.rate or 0.0), target)

    def _follow(self, rate: float, target: float) -> None:
        self.threshold = ALWAYS if rate <= target else consistent.threshold_of(target / rate)
        self.look_at = 2 * max(rate, target, 1.0)


class Adaptive(Sampler):
    """Records about ``target_traces_per_second`` of each route, the busy ones thinly and the rare ones whole.

    A route is a span's name and, if it is given at the start, its HTTP method; beyond ``max_routes`` the others share
    one. Each second the probability is set anew from the observed rate; a route is seen every few seconds at least.
    Decides where a trace comes into this process, as RateLimited does. Raises ConfigurationError.
    """

    _boosted = ENTRIES

    def __init__(self, target_traces_per_second: float, *, max_routes: int = MAX_ROUTES) -> None:
        self.target_traces_per_second: float = checks.positive(target_traces_per_second, "target_traces_per_second")
        self.max_routes: int = int(checks.positive(max_routes, "max_routes"))
        self._seen_every_ns = round(max(SEEN_EVERY_SECONDS, 1 / self.target_traces_per_second) * clock.SECOND_NS)
        self._routes: dict[tuple[str, str] | None, _Route] = {}
        # Keeps a route's count and rate together, and the number of routes bounded.
        self._lock = clock.Lock()

    def probability(self, name: str, method: str = "") -> float | None:
        """The present probability of a route; None if it was not seen."""
        route = self._routes.get((name[:MAX_NAME], method))
        return None if route is None else 1 - route.threshold / NEVER

    def state(self) -> dict[str, Any]:
        """As for every sampler, with the number of ``routes``."""
        return {**super().state(), "routes": len(self._routes)}

    def _thresholds(self) -> Thresholds:
        return (ASK, ASK, ASK, ALWAYS, NEVER)

    def _decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        key = name[:MAX_NAME], _method(attributes)
        randomness = consistent.randomness(trace_id, parent)
        now = clock.now_ns()
        with self._lock:
            route = self._routes.get(key)
            if route is None:
                shared = None if len(self._routes) >= self.max_routes else key
                route = self._routes.setdefault(shared, _Route(now, self.target_traces_per_second))
            route.observe(now, self.target_traces_per_second)
            threshold = route.threshold
            overdue = now - route.seen_ns >= self._seen_every_ns
            if randomness >= threshold or overdue:
                route.seen_ns = now
        if randomness >= threshold:
            return SAMPLE, None, consistent.with_member(parent, consistent.member_of(threshold))
        return (SAMPLE if overdue else DROP), None, consistent.with_member(parent, None)

    def __repr__(self) -> str:
        return f"Adaptive({self.target_traces_per_second})"


def _method(attributes: Any) -> str:
    if attributes:
        for name in METHODS:
            method = attributes.get(name)
            if isinstance(method, str):
                return method[:MAX_NAME]
    return ""
