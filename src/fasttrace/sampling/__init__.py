"""Head samplers: whether a trace is recorded is decided where it starts, from its id alone.

A sampler that depends on the trace id only is five thresholds, which the core compares with the low
56 bits of the id (kept at or above), so that no Python runs and every service decides alike.
"""

from __future__ import annotations

from fasttrace._core.layout import RANDOMNESS_BITS, THRESHOLD_ALWAYS, THRESHOLD_NEVER
from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Thresholds: TypeAlias = tuple[int, int, int, int, int]

__all__ = ["AlwaysOff", "AlwaysOn", "ParentBased", "Probability", "Sampler", "parse"]

ACCEPTED = (
    "always_on, always_off, a ratio (0.1) or percentage (10%), traceidratio with an argument, "
    "parentbased_always_on, parentbased_always_off, parentbased_traceidratio, or a sampler object"
)


class Sampler:
    """Decides by five thresholds on the trace id's low 56 bits, so that a decision costs one compare.

    They are those of a root, of a span below a remote sampled parent, a remote unsampled one, a local sampled one
    and a local unsampled one.
    """

    def thresholds(self) -> Thresholds:
        """Five integers of 0 (always) to 2**56 (never)."""
        raise NotImplementedError


class AlwaysOn(Sampler):
    """Records every span."""

    def thresholds(self) -> Thresholds:
        """As for every sampler."""
        return (THRESHOLD_ALWAYS,) * 5

    def __repr__(self) -> str:
        return "AlwaysOn()"


class AlwaysOff(Sampler):
    """Records nothing; contexts are still propagated."""

    def thresholds(self) -> Thresholds:
        """As for every sampler."""
        return (THRESHOLD_NEVER,) * 5

    def __repr__(self) -> str:
        return "AlwaysOff()"


class Probability(Sampler):
    """Records this share of the traces, the same ones in every service (OpenTelemetry, "Probability Sampling").

    ``ratio`` is 0 to 1. A trace is kept when the low 56 bits of its id are at or above (1 - ratio) * 2**56.
    Raises ConfigurationError for any other ratio.
    """

    def __init__(self, ratio: float) -> None:
        if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
            raise ConfigurationError(f"ratio={ratio!r}: the share of traces to record is a number from 0 to 1")
        self.ratio = float(ratio)
        self.threshold = round((1 - self.ratio) * (1 << RANDOMNESS_BITS))

    def thresholds(self) -> Thresholds:
        """As for every sampler."""
        return (self.threshold,) * 5

    def __repr__(self) -> str:
        return f"Probability({self.ratio})"


class ParentBased(Sampler):
    """Does what the parent did; ``root`` decides for spans without one (OpenTelemetry Trace SDK, "ParentBased")."""

    def __init__(
        self,
        root: Sampler,
        *,
        remote_parent_sampled: Sampler | None = None,
        remote_parent_not_sampled: Sampler | None = None,
        local_parent_sampled: Sampler | None = None,
        local_parent_not_sampled: Sampler | None = None,
    ) -> None:
        on, off = AlwaysOn(), AlwaysOff()
        self.delegates = (
            root,
            remote_parent_sampled or on,
            remote_parent_not_sampled or off,
            local_parent_sampled or on,
            local_parent_not_sampled or off,
        )
        for delegate in self.delegates:
            if not isinstance(delegate, Sampler):
                raise ConfigurationError(f"{delegate!r} is no sampler of fasttrace.sampling")

    def thresholds(self) -> Thresholds:
        """As for every sampler."""
        values = [delegate.thresholds()[index] for index, delegate in enumerate(self.delegates)]
        return (values[0], values[1], values[2], values[3], values[4])

    def __repr__(self) -> str:
        return f"ParentBased({self.delegates[0]!r})"


def parse(value: Sampler | str | float | None, argument: str | float | None = None) -> Sampler:
    """A sampler from a sampler, a ratio, or its name in OTEL_TRACES_SAMPLER with OTEL_TRACES_SAMPLER_ARG.

    None is ``ParentBased(AlwaysOn())``, OpenTelemetry's default. A bare ratio is the root's, below ParentBased.
    Raises ConfigurationError, naming what is accepted.
    """
    if value is None:
        return ParentBased(AlwaysOn())
    if isinstance(value, Sampler):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return ParentBased(Probability(value))
    if isinstance(value, str):
        name = value.strip().lower()
        parent_based, _, root_name = name.rpartition("parentbased_")
        root = _root(root_name if parent_based or name.startswith("parentbased_") else name, argument)
        if root is not None:
            bare_name = name in ("always_on", "always_off", "traceidratio")
            return root if bare_name else ParentBased(root)
    raise ConfigurationError(f"sampler={value!r}: use {ACCEPTED}")


def _root(name: str, argument: str | float | None) -> Sampler | None:
    if name == "always_on":
        return AlwaysOn()
    if name == "always_off":
        return AlwaysOff()
    if name == "traceidratio":
        return Probability(_ratio(argument) if argument not in (None, "") else 1.0)
    try:
        return Probability(_ratio(name))
    except ConfigurationError:
        return None


def _ratio(value: str | float | None) -> float:
    text = str(value).strip()
    percent = text.endswith("%")
    digits = text[:-1] if percent else text
    try:
        number = float(digits) if digits.isascii() and "_" not in digits else None
    except ValueError:
        number = None
    if number is None:
        raise ConfigurationError(f"ratio={value!r}: a number from 0 to 1, or a percentage such as 10%")
    return Probability(number / 100 if percent else number).ratio
