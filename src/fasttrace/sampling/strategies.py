"""Jaeger's sampling strategies (jaeger-idl, ``sampling.proto``, as JSON): read, and made into samplers."""

from __future__ import annotations

import math

from fasttrace.sampling import consistent
from fasttrace.sampling.base import ALWAYS, ASK, DROP, ENTRIES, NEVER, SAMPLE, Sampler
from fasttrace.sampling.probability import Probability
from fasttrace.sampling.ratelimit import Bucket, RateLimited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from fasttrace.sampling.base import Answer, Thresholds

    # ("probabilistic", ratio), ("rate", traces per second) or ("operations", ratio, lower bound, {name: ratio})
    Strategy: TypeAlias = tuple[Any, ...]

# Buckets of operations that the strategy does not name; the others share one.
MAX_OPERATIONS = 2000


class PerOperation(Sampler):
    """A probability for each span name, another for the rest, and at least ``lower_bound`` traces a second of each."""

    _boosted = ENTRIES

    def __init__(self, default: float, lower_bound: float, operations: dict[str, float]) -> None:
        self.default: Probability = Probability(default)
        self.lower_bound = lower_bound
        self.operations: dict[str, Probability] = {name: Probability(ratio) for name, ratio in operations.items()}
        self._buckets: dict[str | None, Bucket] = {}

    def _thresholds(self) -> Thresholds:
        return (ASK, ASK, ASK, ALWAYS, NEVER)

    def _decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        threshold = self.operations.get(name, self.default).threshold
        kept = consistent.keeps(threshold, trace_id, parent)
        # The kept count as well: the bound is for those that would have too few.
        bounded = self._bucket(name).take() if self.lower_bound else False
        if kept:
            return SAMPLE, None, consistent.with_member(parent, consistent.member_of(threshold))
        return (SAMPLE if bounded else DROP), None, consistent.with_member(parent, None)

    def _bucket(self, name: str) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            key = name if name in self.operations or len(self._buckets) < MAX_OPERATIONS else None
            bucket = self._buckets.setdefault(key, Bucket(self.lower_bound, max(1.0, self.lower_bound)))
        return bucket

    def __repr__(self) -> str:
        return f"PerOperation({self.default.ratio}, lower_bound={self.lower_bound}, {len(self.operations)} operations)"


def read(body: bytes) -> Strategy:
    """Jaeger's answer in plain values. Raises ValueError for what is none, saying what it has instead."""
    import json

    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError(f"its answer is no object but {type(answer).__name__}")  # noqa: TRY004 - all are ValueErrors
    operations = answer.get("operationSampling")
    if operations is not None:
        return _operations(_object(operations, "operationSampling"))
    kind = answer.get("strategyType", 0)  # of protobuf's JSON a default may be missing
    if kind in ("PROBABILISTIC", 0) and kind is not False:
        found = _object(answer.get("probabilisticSampling"), "probabilisticSampling")
        return "probabilistic", _number(found, "samplingRate", 1)
    if kind in ("RATE_LIMITING", 1) and kind is not True:
        found = _object(answer.get("rateLimitingSampling"), "rateLimitingSampling")
        return "rate", _number(found, "maxTracesPerSecond", math.inf)
    raise ValueError(f"its strategyType is {kind!r}, not PROBABILISTIC (0) or RATE_LIMITING (1)")


def _operations(found: dict[str, Any]) -> Strategy:
    listed = found.get("perOperationStrategies")
    listed = [] if listed is None else listed
    if not isinstance(listed, list):
        raise ValueError("its perOperationStrategies are no list")  # noqa: TRY004
    ratios: dict[str, float] = {}
    for item in listed:
        one = _object(item, "perOperationStrategies")
        name = one.get("operation", "")
        if not isinstance(name, str):
            raise ValueError(f"an operation's name is {name!r}")  # noqa: TRY004
        probabilistic = _object(one.get("probabilisticSampling"), "probabilisticSampling")
        ratios[name] = _number(probabilistic, "samplingRate", 1)
    default = _number(found, "defaultSamplingProbability", 1)
    return "operations", default, _number(found, "defaultLowerBoundTracesPerSecond", math.inf), ratios


def sampler(strategy: Strategy) -> Sampler:
    """The sampler of a strategy."""
    if strategy[0] == "operations":
        return PerOperation(*strategy[1:])
    return RateLimited(strategy[1]) if strategy[0] == "rate" else Probability(strategy[1])


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"its {name} is {value!r:.100}, no object")  # noqa: TRY004
    return value


def _number(found: dict[str, Any], name: str, largest: float) -> float:
    value = found.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= largest or value == math.inf:
        raise ValueError(f"its {name} is {value!r:.100}")
    return float(value)
