"""The arguments of ``Store``, checked for both implementations."""

from __future__ import annotations

from fasttrace._core.layout import RANDOMNESS_BITS, TAIL_FIRST_RULE, TAIL_MAX_RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

BITS = 32
LARGEST = (1 << 63) - 1
KEEP_REASON = "fasttrace.keep_reason"
RARE, PERCENTILE, BASELINE = range(3)
# What follows the bit in a rule's plain form: name, least, most.
_FORMS: dict[str, tuple[int, tuple[tuple[str, int, int], ...]]] = {
    "rare": (RARE, (("count", 1, LARGEST), ("window_ns", 1, LARGEST))),
    "percentile": (PERCENTILE, (("parts_per_million", 1, 999_999),)),
    "baseline": (BASELINE, (("threshold", 0, 1 << RANDOMNESS_BITS),)),
}


def check_number(name: str, value: Any, least: int, most: int = LARGEST) -> int:
    """The value, if it is an int within bounds, else ValueError."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name}={value!r}: an int of {least} to {most}")
    return value


def plain_rules(rules: Iterable[tuple[Any, ...]]) -> list[tuple[int, int, int, int]]:
    """Kind, bit as a mask, amount and window of each rule."""
    found = []
    for rule in rules:
        form = _FORMS.get(rule[0]) if type(rule) is tuple and rule and isinstance(rule[0], str) else None
        if form is None or len(rule) != 2 + len(form[1]):
            accepted = ", ".join(
                f"({', '.join([repr(kind), 'bit', *(name for name, _, _ in fields)])})"
                for kind, (_, fields) in _FORMS.items()
            )
            raise ValueError(f"store rule {rule!r}: one of {accepted}")
        kind, fields = form
        bit = check_number(f"bit of store rule {rule!r}", rule[1], TAIL_FIRST_RULE, TAIL_MAX_RULES)
        numbers = [
            check_number(f"{name} of store rule {rule!r}", value, least, most)
            for (name, least, most), value in zip(fields, rule[2:], strict=True)
        ]
        found.append((kind, 1 << bit, numbers[0], numbers[1] if len(numbers) > 1 else 1))
    if len(found) > TAIL_MAX_RULES:
        raise ValueError(f"{len(found)} store rules: at most {TAIL_MAX_RULES}")
    return found


def names_of_bits(reasons: tuple[str | None, ...] | None) -> tuple[str | None, ...]:
    """32 names or Nones, else ValueError."""
    if reasons is None:
        return (None,) * BITS
    if (
        type(reasons) is not tuple
        or len(reasons) != BITS
        or not all(name is None or type(name) is str for name in reasons)
    ):
        raise ValueError(f"reasons={reasons!r}: a tuple of {BITS}, each a str or None")
    return reasons


def trace_id_bytes(trace_id: int) -> bytes:
    """16 bytes in network byte order, else ValueError."""
    return check_number("trace_id", trace_id, 0, (1 << 128) - 1).to_bytes(16, "big")


def check_mask(bit_mask: int) -> int:
    """Bits that keep a trace: at least one of 32."""
    return check_number("bit_mask", bit_mask, 1, (1 << BITS) - 1)
