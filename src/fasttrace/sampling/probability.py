"""Samplers that need the trace id only: the core compares it with a threshold, and no Python runs."""

from __future__ import annotations

from fasttrace.sampling import checks, consistent
from fasttrace.sampling.base import ALL, ALWAYS, NEVER, ROOT, Sampler, check_sampler, with_ratio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fasttrace.sampling.base import Answer, Members, Thresholds


class AlwaysOn(Sampler):
    """Records every span."""

    def _thresholds(self) -> Thresholds:
        return (ALWAYS,) * 5

    def _ratio(self) -> float:
        return 1.0

    def __repr__(self) -> str:
        return "AlwaysOn()"


class AlwaysOff(Sampler):
    """Records nothing; contexts are still propagated."""

    def _thresholds(self) -> Thresholds:
        return (NEVER,) * 5

    def _ratio(self) -> float:
        return 0.0

    def __repr__(self) -> str:
        return "AlwaysOff()"


class Probability(Sampler):
    """Records this share of the traces, the same ones in every service (OpenTelemetry, "Probability Sampling").

    ``ratio`` is 0 to 1. A trace is kept when its randomness, the low 56 bits of its id or ``rv`` of its tracestate, is
    at or above ``threshold``, (1 - ratio) * 2**56; ``ot=th:...`` says so to whoever counts the kept. Raises
    ConfigurationError for any other ratio.
    """

    def __init__(self, ratio: float) -> None:
        self._set(checks.ratio(ratio))

    def _set(self, ratio: float) -> None:
        self.ratio = ratio
        self.threshold: int = consistent.threshold_of(ratio)

    def set_ratio(self, ratio: float) -> None:
        """Record this share of traces from now on. Raises ConfigurationError, and then nothing has changed."""
        ratio = checks.ratio(ratio)
        if ratio != self.ratio:
            before = repr(self)
            self._set(ratio)
            self._changed("the ratio of %s is now %g", before, ratio)

    def _thresholds(self) -> Thresholds:
        return (self.threshold,) * 5

    def _members(self) -> Members:
        return (consistent.member_of(self.threshold),) * 5

    def _ratio(self) -> float:
        return self.ratio

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.ratio})"


class TraceIdRatio(Probability):
    """Records this share of the traces, the same ones as OpenTelemetry's ``TraceIdRatioBased`` in stock SDKs.

    ``ratio`` is 0 to 1. A trace is kept when the low 64 bits of its id are below ratio * 2**64. It is what
    ``traceidratio`` means in OTEL_TRACES_SAMPLER; nothing is written into the tracestate.
    """

    def _set(self, ratio: float) -> None:
        self.ratio = ratio
        self.threshold: int = consistent.bound_of(ratio)

    def _members(self) -> Members:
        return (None,) * 5


class ParentBased(Sampler):
    """Does what the parent did; ``root`` decides for spans without one (OpenTelemetry Trace SDK, "ParentBased")."""

    def __init__(
        self,
        root: Any,
        *,
        remote_parent_sampled: Any = None,
        remote_parent_not_sampled: Any = None,
        local_parent_sampled: Any = None,
        local_parent_not_sampled: Any = None,
    ) -> None:
        delegates = {
            "root": root,
            "remote_parent_sampled": AlwaysOn() if remote_parent_sampled is None else remote_parent_sampled,
            "remote_parent_not_sampled": AlwaysOff()
            if remote_parent_not_sampled is None
            else remote_parent_not_sampled,
            "local_parent_sampled": AlwaysOn() if local_parent_sampled is None else local_parent_sampled,
            "local_parent_not_sampled": AlwaysOff() if local_parent_not_sampled is None else local_parent_not_sampled,
        }
        self.delegates: tuple[Sampler, ...] = tuple(
            check_sampler(delegate, name) for name, delegate in delegates.items()
        )

    @property
    def _boosted(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(case for case in ALL if case == ROOT or isinstance(self.delegates[case], Probability))

    def set_ratio(self, ratio: float) -> None:
        """Record this share of the traces that begin here from now on, also where all or none were until now."""
        before, root = repr(self), self.delegates[ROOT]
        changed = with_ratio(root, ratio)
        if changed is not root:
            self.delegates = (changed, *self.delegates[1:])
            self._changed("%s is now %r", before, self)

    def _thresholds(self) -> Thresholds:
        found = [delegate.thresholds()[case] for case, delegate in enumerate(self.delegates)]
        return (found[0], found[1], found[2], found[3], found[4])

    def _members(self) -> Members:
        found = [delegate.ot_members()[case] for case, delegate in enumerate(self.delegates)]
        return (found[0], found[1], found[2], found[3], found[4])

    def _decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        return self.delegates[rule].decide(rule, parent, trace_id, name, kind, attributes, links)

    def _ratio(self) -> float | None:
        return self.delegates[ROOT]._ratio()

    def _inner(self) -> Iterable[Sampler]:
        return self.delegates

    def __repr__(self) -> str:
        return f"ParentBased({self.delegates[ROOT]!r})"
