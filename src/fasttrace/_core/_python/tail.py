"""Tail rules that one span decides, and the bits that the spans of a local root share."""

from __future__ import annotations

from fasttrace._core.rules import check_span_rules

__all__ = ["LocalTrace", "TailRules"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class LocalTrace:
    """What the spans of one local root share."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        # What was added, each once: adding to a set loses nothing when two threads do so at once.
        self._seen: set[int] = set()

    @property
    def bits(self) -> int:
        """All the bits that were added."""
        bits = 0
        for seen in self._seen.copy():
            bits |= seen
        return bits

    def add(self, bits: int) -> int:
        """All the bits, with these."""
        if bits:
            self._seen.add(bits)
        return self.bits if self._seen else 0


class TailRules:
    """The rules that one span decides: ``TailRules(rules)``, in the plain form of ``rules.py``."""

    def __init__(self, rules: Iterable[Any]) -> None:
        self.rules = check_span_rules(rules)
        self.latency = [(rule[2], 1 << rule[1]) for rule in self.rules if rule[0] == "latency"]
        self.attribute = [(1 << rule[1], *rule[2:]) for rule in self.rules if rule[0] == "attribute"]
        self.error_mask = self._mask("error")
        self.http_5xx_mask = self._mask("http_5xx")
        self.exception_mask = self._mask("exception")

    def _mask(self, kind: str) -> int:
        mask = 0
        for rule in self.rules:
            if rule[0] == kind:
                mask |= 1 << rule[1]
        return mask

    def duration_bits(self, nanoseconds: int) -> int:
        """The bits of the rules that this duration meets."""
        bits = 0
        for limit, mask in self.latency:
            if nanoseconds >= limit:
                bits |= mask
        return bits

    def attribute_bits(self, attributes: dict[str, Any]) -> int:
        """The bits of the rules that these attributes meet."""
        bits = 0
        for mask, key, values, minimum, maximum in self.attribute:
            if key in attributes and _meets(attributes[key], values, minimum, maximum):
                bits |= mask
        return bits


def _meets(value: Any, values: tuple[Any, ...] | None, minimum: float | None, maximum: float | None) -> bool:
    if minimum is not None or maximum is not None:
        if type(value) not in (int, float):
            return False
        number = float(value)
        if not (float("-inf") if minimum is None else float(minimum)) <= number:
            return False
        if not number <= (float("inf") if maximum is None else float(maximum)):
            return False
    return values is None or any(_equal(value, wanted) for wanted in values)


def _equal(value: Any, wanted: Any) -> bool:
    """Text with text, truth values with truth values, numbers with numbers."""
    if type(value) is str:
        return type(wanted) is str and value == wanted
    if type(value) is bool or type(wanted) is bool:
        return value is wanted
    return type(value) in (int, float) and type(wanted) in (int, float) and bool(value == wanted)
