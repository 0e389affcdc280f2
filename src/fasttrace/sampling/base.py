"""What every sampler has: five decisions, a boost that ends by itself, and a view of its state."""

from __future__ import annotations

from fasttrace import _log
from fasttrace._core import layout
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import binding, checks, clock, consistent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, TypeAlias

    Thresholds: TypeAlias = tuple[int, int, int, int, int]
    Members: TypeAlias = tuple[str | None, str | None, str | None, str | None, str | None]
    # The decision (DROP, RECORD or SAMPLE), attributes to add, the new tracestate's text or None for the parent's.
    Answer: TypeAlias = tuple[int, Mapping[str, Any] | None, str | None]

ALWAYS = layout.THRESHOLD_ALWAYS
NEVER = layout.THRESHOLD_NEVER
ASK = layout.THRESHOLD_ASK

DROP, RECORD, SAMPLE = layout.DECISION_DROP, layout.DECISION_RECORD_ONLY, layout.DECISION_RECORD_AND_SAMPLE
# The five cases, as the core numbers them, and what rules and ParentBased call them.
ROOT, REMOTE_SAMPLED, REMOTE_NOT_SAMPLED, LOCAL_SAMPLED, LOCAL_NOT_SAMPLED = range(5)
ALL = (ROOT, REMOTE_SAMPLED, REMOTE_NOT_SAMPLED, LOCAL_SAMPLED, LOCAL_NOT_SAMPLED)
# Where a trace comes into this process.
ENTRIES = (ROOT, REMOTE_SAMPLED, REMOTE_NOT_SAMPLED)
NO_MEMBERS: Members = (None, None, None, None, None)

# Guards the settings of all samplers, so that changes are counted and logged once each; held for a few lines.
_changing = clock.Lock()


class Boost:
    """At least this share, until a point on the monotonic clock."""

    __slots__ = ("bound", "ratio", "threshold", "until_ns")

    def __init__(self, ratio: float, until_ns: int) -> None:
        self.ratio: float = ratio
        self.until_ns: int = until_ns
        self.threshold: int = consistent.threshold_of(ratio)
        self.bound: int = consistent.bound_of(ratio)


class Sampler:
    """Decides which spans are recorded, in five cases: by ``thresholds`` in the core, or by ``decide`` when one is ASK.

    The cases are a root, a span below a remote sampled parent, below a remote unsampled one, below a local sampled one
    and below a local unsampled one. Samplers may be shared and changed from any thread. For one of your own write a
    class with ``should_sample``, as OpenTelemetry has it.
    """

    # The cases that a boost changes.
    _boosted: tuple[int, ...] = ALL
    _boost: Boost | None = None
    _changes = 0

    # --- what the core takes

    def thresholds(self) -> Thresholds:
        """Five integers: 0 (always) to 2**56 (never), -1 to -2**64 for OpenTelemetry's compare, or ASK."""
        plain = self._thresholds()
        boost = self._active_boost()
        if boost is None:
            return plain
        raised = [_raised(value, boost) if case in self._boosted else value for case, value in enumerate(plain)]
        return (raised[0], raised[1], raised[2], raised[3], raised[4])

    def ot_members(self) -> Members:
        """What a span that was sampled in each case gets into ``ot`` of its tracestate: ``th:...`` or None."""
        members = self._members()
        if self._active_boost() is None:
            return members
        plain, raised = self._thresholds(), self.thresholds()
        found = [
            member if before == now or now < 0 else consistent.member_of(now)
            for member, before, now in zip(members, plain, raised, strict=True)
        ]
        return (found[0], found[1], found[2], found[3], found[4])

    def decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        """The answer for a case whose threshold is ASK; ``parent`` is a Context, a Span or None."""
        boost = self._active_boost()
        if boost is not None and rule in self._boosted and consistent.keeps(boost.threshold, trace_id, parent):
            return SAMPLE, None, consistent.with_member(parent, consistent.member_of(boost.threshold))
        return self._decide(rule, parent, trace_id, name, kind, attributes, links)

    def judge(self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any) -> Answer:
        """The answer for any case, for a sampler that stands inside of another one which was asked."""
        threshold = self.thresholds()[rule]
        if threshold == ASK:
            return self.decide(rule, parent, trace_id, name, kind, attributes, links)
        return compared(threshold, self.ot_members()[rule], trace_id, parent)

    # --- what changes

    def set_ratio(self, ratio: float) -> None:
        """Record this share of traces from now on. Raises ConfigurationError where there is no ratio to set."""
        raise ConfigurationError(
            f"set_ratio({ratio!r}): {self!r} has no ratio; it is accepted by Probability, TraceIdRatio, by ParentBased "
            "for its root and by Rules for its default; boost(ratio, seconds) is accepted by all"
        )

    def boost(self, ratio: float, seconds: float) -> None:
        """Record at least this share of traces for so many seconds; a second boost replaces the first, 0 ends it.

        It ends by itself, whatever the wall clock does. It changes the decision for roots, and for other spans where
        this sampler decides rather than their parent; it never lowers a share. Raises ConfigurationError.
        """
        ratio, seconds = checks.ratio(ratio), checks.seconds(seconds)
        if seconds == 0:
            self.end_boost()
            return
        with _changing:
            self._boost = Boost(ratio, clock.now_ns() + round(seconds * clock.SECOND_NS))
            self._changes += 1
        binding.refresh()
        _log.line("WARNING", "sampling: %r is boosted to a ratio of %g for %g s", self, ratio, seconds)

    def end_boost(self) -> None:
        """End a boost before its time."""
        self._end_boost(None, "was ended")

    def _end_boost(self, now: int | None, why: str) -> None:
        """Whoever finds a boost over ends and logs it, once; None ends one that is not."""
        with _changing:
            boost = self._boost
            if boost is None or (now is not None and now < boost.until_ns):
                return
            self._boost = None
            self._changes += 1
        binding.refresh()
        _log.line("WARNING", "sampling: the boost of %r to a ratio of %g %s", self, boost.ratio, why)

    def _changed(self, text: str, *arguments: object) -> None:
        """Count, apply and log one change that was made."""
        with _changing:
            self._changes += 1
        binding.refresh()
        _log.line("WARNING", f"sampling: {text}", *arguments)

    def _active_boost(self) -> Boost | None:
        boost = self._boost
        return boost if boost is not None and clock.now_ns() < boost.until_ns else None

    # --- time

    def wake_ns(self) -> int:
        """When ``wake`` has to be called next, on the monotonic clock; 0 for never."""
        return min((due for sampler in self._tree() if (due := sampler._due_ns())), default=0)

    def wake(self, now: int) -> None:
        """End the boosts that are over."""
        for sampler in self._tree():
            sampler._wake(now)

    def _due_ns(self) -> int:
        boost = self._boost
        return 0 if boost is None else boost.until_ns

    def _wake(self, now: int) -> None:
        self._end_boost(now, "is over")

    # --- the view

    def describe(self) -> str:
        """The sampler and its settings, as ``repr`` shows them."""
        return repr(self)

    def state(self) -> dict[str, Any]:
        """For ``stats()``: ``sampler``, ``ratio`` of roots (None if it is no fixed one), ``boost``, ``changes``.

        ``boost`` is None or its ``ratio`` and ``seconds_left``; ``changes`` counts what was set, boosted and ended.
        """
        now = clock.now_ns()
        tree = list({id(sampler): sampler for sampler in self._tree()}.values())
        for sampler in tree:
            sampler._end_boost(now, "is over")
        boost = next((found for sampler in tree if (found := sampler._active_boost()) is not None), None)
        left = None if boost is None else max(0.0, (boost.until_ns - now) / clock.SECOND_NS)
        return {
            "sampler": self.describe(),
            "ratio": self._ratio(),
            "boost": None if boost is None else {"ratio": boost.ratio, "seconds_left": left},
            "changes": sum(sampler._changes for sampler in tree),
        }

    # --- what a sampler says

    def _thresholds(self) -> Thresholds:
        """The thresholds without a boost of this sampler's own."""
        raise NotImplementedError

    def _members(self) -> Members:
        """The members without a boost of this sampler's own."""
        return NO_MEMBERS

    def _decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        raise NotImplementedError

    def _ratio(self) -> float | None:
        return None

    def _inner(self) -> Iterable[Sampler]:
        """The samplers that this one hands decisions to."""
        return ()

    def _tree(self) -> Iterator[Sampler]:
        yield self
        for sampler in self._inner():
            yield from sampler._tree()


def compared(threshold: int, member: str | None, trace_id: int, parent: Any) -> Answer:
    """The answer that the core gives for a threshold: sampled with the member, or unsampled without a ``th``."""
    if not consistent.keeps(threshold, trace_id, parent):
        return DROP, None, None if member is None else consistent.with_member(parent, None)
    return SAMPLE, None, None if member is None else consistent.with_member(parent, member)


def _raised(threshold: int, boost: Boost) -> int:
    """A threshold that keeps all that it kept, and the boost's share by the same compare."""
    if threshold == ASK:
        return ASK
    return min(threshold, boost.bound if threshold < 0 else boost.threshold)


def with_ratio(sampler: Sampler, ratio: float) -> Sampler:
    """The sampler with another ratio; one that has none since it is all or nothing gives way to a Probability."""
    from fasttrace.sampling.probability import AlwaysOff, AlwaysOn, Probability

    if isinstance(sampler, (AlwaysOff, AlwaysOn)):
        return Probability(ratio)
    sampler.set_ratio(ratio)
    return sampler


def check_sampler(value: Any, name: str) -> Sampler:
    """A sampler, or any object with ``should_sample``. Raises ConfigurationError for anything else."""
    if isinstance(value, Sampler):
        return value
    if callable(getattr(value, "should_sample", None)) and not isinstance(value, type):
        from fasttrace.sampling.user import UserSampler

        return UserSampler(value)
    raise ConfigurationError(
        f"{name}={value!r} is no sampler of fasttrace.sampling and has no should_sample(...), as OpenTelemetry has it"
    )
