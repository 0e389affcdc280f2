"""The plain form of tail rules, which both implementations take; the users' is ``fasttrace.sampling.tail``."""

from __future__ import annotations

from fasttrace._core.layout import TAIL_FIRST_RULE, TAIL_MAX_RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_LENGTHS = {"latency": 3, "error": 2, "http_5xx": 2, "exception": 2, "attribute": 6}
_FORMS = (
    "('latency', bit, nanoseconds), ('error', bit), ('http_5xx', bit), ('exception', bit), "
    "('attribute', bit, key, values, minimum, maximum)"
)


def check_span_rules(rules: Iterable[Any]) -> tuple[tuple[Any, ...], ...]:
    """The rules that one span decides, as tuples. ValueError for anything else, with the forms."""
    checked = tuple(tuple(rule) for rule in rules)
    for rule in checked:
        if len(rule) < 2 or type(rule[0]) is not str or _LENGTHS.get(rule[0]) != len(rule) or not _fits(rule):
            raise ValueError(f"tail rule {rule!r}: use {_FORMS}")
    return checked


def _fits(rule: tuple[Any, ...]) -> bool:
    if type(rule[1]) is not int or not TAIL_FIRST_RULE <= rule[1] < TAIL_FIRST_RULE + TAIL_MAX_RULES:
        return False
    if rule[0] == "latency":
        return type(rule[2]) is int and 0 <= rule[2] < 2**63
    if rule[0] == "attribute":
        values, bounds = rule[3], rule[4:]
        return (
            type(rule[2]) is str
            and (values is None or (type(values) is tuple and all(type(v) in (str, bool, int, float) for v in values)))
            and all(bound is None or type(bound) in (int, float) for bound in bounds)
        )
    return True
