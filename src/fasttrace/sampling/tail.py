"""Tail rules: which traces are kept whole, whatever the sampler said when they began.

Each function makes a rule; ``name`` is what the kept trace's ``fasttrace.keep_reason`` says. A rule is a value: equal
to another of the same contents, never changed, with a text that ``parse`` reads.
"""

from __future__ import annotations

from fasttrace._core import layout
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import reading, tail_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, NoReturn, TypeAlias

    Value: TypeAlias = str | bool | int | float

__all__ = [
    "Plan",
    "Rule",
    "attribute",
    "baseline",
    "error",
    "exception",
    "http_5xx",
    "latency",
    "parse",
    "percentile",
    "plan",
    "rare",
]

_REASONS = {
    layout.TAIL_KEEP.bit_length() - 1: "keep_trace",
    layout.TAIL_RECALL.bit_length() - 1: "recall",
    layout.TAIL_CALLEE.bit_length() - 1: "callee",
    layout.TAIL_HEAD.bit_length() - 1: "head",
}


class Rule:
    """One tail rule: ``kind``, ``name`` (the keep reason) and ``options``, as they were given to its function."""

    __slots__ = ("kind", "name", "options")
    kind: str
    name: str
    options: Mapping[str, Any]

    def __init__(self, kind: str, name: str | None, options: dict[str, Any]) -> None:
        default = f"attribute:{options['key']}" if kind == "attribute" else kind
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "name", default if name is None else _name(name))
        object.__setattr__(self, "options", options)

    @property
    def default_name(self) -> str:
        """The keep reason of a rule without a name of its own."""
        return f"attribute:{self.options['key']}" if self.kind == "attribute" else self.kind

    @property
    def text(self) -> str:
        """The rule as ``FASTTRACE_TAIL`` has it."""
        return tail_text.write(self)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a tail rule can't be changed: make another with {self.kind}(...)")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __repr__(self) -> str:
        given = [f"{key}={value!r}" for key, value in self.options.items() if value is not None]
        if self.name != self.default_name:
            given.append(f"name={self.name!r}")
        return f"{self.kind}({', '.join(given)})"

    # By its repr, which tells 1 from True and 1.0.
    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other) if isinstance(other, Rule) else NotImplemented

    def __hash__(self) -> int:
        return hash(repr(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return Rule, (self.kind, None if self.name == self.default_name else self.name, dict(self.options))


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.isprintable() or not name.strip() or len(name) > 100:
        raise ConfigurationError(f"name={name!r}: use printable text of 1 to 100 characters")
    if name in _REASONS.values() or set(name) & set(',="') or name != name.strip():
        taken = ", ".join(_REASONS.values())
        raise ConfigurationError(f'name={name!r}: use a name without , = " and outer blanks that is none of {taken}')
    return name


def latency(seconds: float = 2.0, *, name: str | None = None) -> Rule:
    """Traces with a span that took this long."""
    return Rule("latency", name, {"seconds": reading.seconds("seconds", seconds)})


def error(*, name: str | None = None) -> Rule:
    """Traces with a span whose status is ERROR."""
    return Rule("error", name, {})


def http_5xx(*, name: str | None = None) -> Rule:
    """Traces with a span whose ``http.response.status_code`` is 500 to 599."""
    return Rule("http_5xx", name, {})


def exception(*, name: str | None = None) -> Rule:
    """Traces with a span that recorded an exception."""
    return Rule("exception", name, {})


def attribute(
    key: str,
    *,
    value: Value | None = None,
    values: Iterable[Value] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    name: str | None = None,
) -> Rule:
    """Traces with a span that has this attribute: with one of these values, a number in these bounds, or at all."""
    if not isinstance(key, str) or not key:
        raise ConfigurationError(f"key={key!r}: use the name of an attribute")
    if value is not None and values is not None:
        raise ConfigurationError(f"value={value!r}, values={values!r}: use one of them")
    accepted = (value,) if value is not None else _values(values)
    bounds = {"at_least": at_least, "at_most": at_most}
    for bound, limit in bounds.items():
        if limit is not None and not _is_number(limit):
            raise ConfigurationError(f"{bound}={limit!r}: use a number")
    if accepted is not None and (at_least is not None or at_most is not None):
        raise ConfigurationError(f"attribute({key!r}): use values, or at_least and at_most, not both")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ConfigurationError(f"at_least={at_least!r}, at_most={at_most!r}: no number is in between")
    for item in accepted or ():
        if not isinstance(item, (str, bool)) and not _is_number(item):
            raise ConfigurationError(f"value={item!r}: use text, a whole number, a float, True or False")
    one = accepted[0] if accepted is not None and len(accepted) == 1 else None
    several = accepted if one is None else None
    return Rule("attribute", name, {"key": key, "value": one, "values": several, **bounds})


def _is_number(value: Any) -> bool:
    # Not a bool, and neither infinite nor NaN; whole numbers as far as OTLP has them.
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) is float and value - value == 0


def _values(values: Iterable[Value] | None) -> tuple[Value, ...] | None:
    if values is None:
        return None
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise ConfigurationError(f"values={values!r}: use a list of values, or value=")
    found = {(type(item), item): item for item in values}
    if not found:
        raise ConfigurationError("values=[]: use a list of at least one value")
    return tuple(found.values())


def rare(count: int = 10, seconds: float = 60.0, *, name: str | None = None) -> Rule:
    """The first ``count`` traces of each route in a window of ``seconds``."""
    options = {"count": reading.number("count", count), "seconds": reading.seconds("seconds", seconds)}
    return Rule("rare", name, options)


def percentile(ratio: float = 0.99, *, name: str | None = None) -> Rule:
    """Traces that are slower than this share of their route's."""
    read = reading.share("percentile", ratio)
    if not 1 <= round(read * 1e6) <= 999_999:
        raise ConfigurationError(f"percentile={ratio!r}: use a share above 0 and below 1, such as 0.99 or 99%")
    return Rule("percentile", name, {"ratio": read})


def baseline(ratio: float, *, name: str | None = None) -> Rule:
    """This share of all traces, by their id, so that every service keeps the same ones."""
    return Rule("baseline", name, {"ratio": reading.share("baseline", ratio)})


FUNCTIONS = {
    function.__name__: function
    for function in (latency, error, http_5xx, exception, attribute, rare, percentile, baseline)
}


def parse(value: Any) -> tuple[Rule, ...]:
    """Rules from a rule, a list of rules and texts, or one text with commas between; None and empty are none.

    ``latency=2s,error,http_5xx,exception,attribute=user.tier:gold,rare=10/60s,percentile=0.99,baseline=1%``; a name of
    one's own stands before (``slow:latency=2s``). Raises ConfigurationError, naming what is accepted.
    """
    if value is None:
        return ()
    found: list[Rule] = []
    for item in [value] if isinstance(value, (str, Rule)) or not hasattr(value, "__iter__") else value:
        if isinstance(item, Rule):
            found.append(item)
        elif isinstance(item, str):
            found += [_from_text(part) for part in tail_text.split(item)]
        else:
            hint = f" (call it: {item.__name__}(...))" if item in FUNCTIONS.values() else ""
            raise ConfigurationError(f"tail={item!r}: use rules of fasttrace.sampling.tail or their text{hint}")
    return tuple(found)


def _from_text(part: str) -> Rule:
    kind, name, options = tail_text.read(part, tuple(FUNCTIONS))
    try:
        rule: Rule = FUNCTIONS[kind](**options, name=name)
    except ConfigurationError as error:
        raise ConfigurationError(f"tail={part!r}: {error}") from None
    except TypeError:  # an option that is missing
        raise ConfigurationError(f"tail={part!r}: use {tail_text.EXAMPLES[kind]}") from None
    return rule


class Plan:
    """Rules as the core and the store take them.

    ``core_rules``: those that one span decides, ``store_rules``: those of the whole trace, both as plain tuples;
    ``reasons``: the keep reason of each of the 32 bits, or None; ``baseline_ratio``: what the baseline keeps, or
    None; ``by_bit``: the rules by their bit; ``rules``: all of them.
    """

    __slots__ = ("baseline_ratio", "by_bit", "core_rules", "reasons", "rules", "store_rules")

    def __init__(self, rules: tuple[Rule, ...], head_is_baseline: bool) -> None:
        self.rules: tuple[Rule, ...] = rules
        self.baseline_ratio: float | None = None
        self.by_bit: dict[int, Rule] = {}
        reasons = dict(_REASONS)
        core: list[tuple[Any, ...]] = []
        store: list[tuple[Any, ...]] = []
        for rule in rules:
            if rule.kind == "baseline":
                self.baseline_ratio = rule.options["ratio"]
                if head_is_baseline:
                    reasons[layout.TAIL_HEAD.bit_length() - 1] = rule.name
                    continue
            bit = layout.TAIL_FIRST_RULE + len(self.by_bit)
            self.by_bit[bit] = rule
            reasons[bit] = rule.name
            (store if rule.kind in ("rare", "percentile", "baseline") else core).append(_plain(rule, bit))
        self.core_rules: tuple[tuple[Any, ...], ...] = tuple(core)
        self.store_rules: tuple[tuple[Any, ...], ...] = tuple(store)
        self.reasons: tuple[str | None, ...] = tuple(reasons.get(bit) for bit in range(32))


def _plain(rule: Rule, bit: int) -> tuple[Any, ...]:
    options = rule.options
    if rule.kind == "latency":
        return ("latency", bit, reading.nanoseconds(options["seconds"]))
    if rule.kind == "rare":
        return ("rare", bit, options["count"], reading.nanoseconds(options["seconds"]))
    if rule.kind == "percentile":
        return ("percentile", bit, round(options["ratio"] * 1e6))
    if rule.kind == "baseline":
        return ("baseline", bit, round((1 - options["ratio"]) * layout.THRESHOLD_NEVER))
    if rule.kind == "attribute":
        values = options["values"] if options["value"] is None else (options["value"],)
        return ("attribute", bit, options["key"], values, options["at_least"], options["at_most"])
    return (rule.kind, bit)


def plan(rules: Any, head_is_baseline: bool = True) -> Plan:
    """The plan for rules in any form that ``parse`` takes. ``head_is_baseline``: the sampler keeps the baseline.

    Equal rules count once. Raises ConfigurationError for too many, for a second baseline, and for two with one name.
    """
    found = tuple(dict.fromkeys(parse(rules)))
    if len(found) > layout.TAIL_MAX_RULES:
        raise ConfigurationError(f"tail has {len(found)} rules: use at most {layout.TAIL_MAX_RULES}")
    names: dict[str, Rule] = {}
    for rule in found:
        if names.setdefault(rule.name, rule) is not rule:
            raise ConfigurationError(
                f"tail has two rules called {rule.name!r}, {names[rule.name]!r} and {rule!r}: use name= to tell "
                "the traces apart that they keep"
            )
    baselines = [rule for rule in found if rule.kind == "baseline"]
    if len(baselines) > 1:
        raise ConfigurationError(f"tail has {baselines[0]!r} and {baselines[1]!r}: use one baseline")
    return Plan(found, head_is_baseline)
