"""The rules of a store: which local roots keep their traces, by all that were seen before."""

from __future__ import annotations

from fasttrace._core.layout import (
    DURATION_BUCKETS,
    PERCENTILE_FIRST,
    PERCENTILE_HALVED_AT,
    RANDOMNESS_BITS,
    STORE_ROUTES,
    duration_bucket,
)
from fasttrace._core.storing import PERCENTILE, RARE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class Judge:
    """Rules in the plain form of ``storing.py``, and what they know of each route."""

    __slots__ = ("_durations", "_rare", "_rules")

    def __init__(self, plain_rules: Sequence[tuple[int, int, int, int]]) -> None:
        self._rules = plain_rules
        self._rare = [_Rare(amount, window) if kind == RARE else None for kind, _, amount, window in plain_rules]
        self._durations = _Durations() if any(rule[0] == PERCENTILE for rule in plain_rules) else None

    def bits(self, route: int, trace_id: bytes, duration_ns: int, now_ns: int) -> int:
        """The bits of the rules that keep the trace of this local root, which is an observation in any case."""
        total, above = self._durations.observe(route, duration_ns) if self._durations is not None else (0, 0)
        randomness = int.from_bytes(trace_id[8:], "big") & (1 << RANDOMNESS_BITS) - 1
        bits = 0
        for (kind, bit, amount, _), rare in zip(self._rules, self._rare, strict=True):
            if rare is not None:
                keep = rare.keeps(route, now_ns)
            elif kind == PERCENTILE:
                keep = total >= PERCENTILE_FIRST and 1_000_000 * above <= (1_000_000 - amount) * total
            else:
                keep = randomness >= amount
            if keep:
                bits |= bit
        return bits


class _Rare:
    """Local roots of each route in the current window."""

    def __init__(self, count: int, window_ns: int) -> None:
        self._count = count
        self._window_ns = window_ns
        self._window = -1
        self._counts: dict[int | None, int] = {}

    def keeps(self, route: int, now_ns: int) -> bool:
        window = now_ns // self._window_ns
        if window != self._window:
            self._window = window
            self._counts = {None: 0}
        place = _place(self._counts, route)
        self._counts[place] = self._counts.get(place, 0) + 1
        return self._counts[place] <= self._count


class _Durations:
    """How long the local roots of each route took: counts of ``duration_bucket``, and their sum at the end."""

    def __init__(self) -> None:
        self._counts: dict[int | None, list[int]] = {None: [0] * (DURATION_BUCKETS + 1)}

    def observe(self, route: int, duration_ns: int) -> tuple[int, int]:
        """How many of the route there are, this one included, and how many of them in its bucket or above."""
        counts = self._counts.setdefault(_place(self._counts, route), [0] * (DURATION_BUCKETS + 1))
        bucket = duration_bucket(duration_ns)
        counts[bucket] += 1
        counts[-1] += 1
        total, above = counts[-1], sum(counts[bucket:-1])
        if total >= PERCENTILE_HALVED_AT:
            counts[:-1] = [count // 2 for count in counts[:-1]]
            counts[-1] = sum(counts[:-1])
        return total, above


def _place(places: dict[int | None, Any], route: int) -> int | None:
    """Where a route is counted; None is the place that those share that find no room."""
    return route if route in places or len(places) <= STORE_ROUTES else None
