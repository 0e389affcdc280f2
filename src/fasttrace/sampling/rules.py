"""Rules for what is known at the start of a span: name, kind, attributes, parent. The first that matches decides."""

from __future__ import annotations

from fasttrace._core import SpanKind
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import checks
from fasttrace.sampling.base import (
    ALL,
    ALWAYS,
    ASK,
    ENTRIES,
    LOCAL_NOT_SAMPLED,
    LOCAL_SAMPLED,
    NEVER,
    ROOT,
    Sampler,
    check_sampler,
    compared,
    with_ratio,
)
from fasttrace.sampling.probability import AlwaysOff, AlwaysOn, Probability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from fasttrace.sampling.base import Answer, Members, Thresholds

# The cases that a word of `parent` stands for.
PARENTS: dict[str, tuple[int, ...]] = {
    "root": (0,),
    "remote": (1, 2),
    "local": (3, 4),
    "sampled": (1, 3),
    "not_sampled": (2, 4),
    "remote_sampled": (1,),
    "remote_not_sampled": (2,),
    "local_sampled": (3,),
    "local_not_sampled": (4,),
}
KEYS = ("name", "kind", "attributes", "parent", "sample")
_KINDS = {kind.name.lower(): int(kind) for kind in SpanKind}


class Rule:
    """One rule: what a span must be at its start, all of it, and ``sample``, a sampler, a ratio, True or False.

    ``name`` is a glob (``GET /health*``), ``kind`` a SpanKind or its name, ``attributes`` globs for text and equal
    values for the rest, ``parent`` a word of root, remote, local, sampled, not_sampled, remote_sampled,
    remote_not_sampled, local_sampled, local_not_sampled. Each may be a list, of which one must hold. A rule that names
    no parent holds for all but those below a local parent that was left out: the child would be alone. Raises
    ConfigurationError.
    """

    def __init__(
        self,
        *,
        sample: Any,
        name: str | Iterable[str] | None = None,
        kind: Any = None,
        attributes: Mapping[str, Any] | None = None,
        parent: str | Iterable[str] | None = None,
    ) -> None:
        self._said = {"name": name, "kind": kind, "attributes": attributes, "parent": parent}
        self.sampler: Sampler = sampler_of(sample, "sample")
        self._names = None if name is None else _matcher(name, "name", only_text=True)
        self._kinds = None if kind is None else frozenset(_kind(one) for one in _listed(kind))
        if attributes is not None and not (
            hasattr(attributes, "items") and all(isinstance(k, str) for k in attributes)
        ):
            raise ConfigurationError(f"attributes={attributes!r}: use a mapping such as {{'url.path': '/health*'}}")
        self._attributes = tuple((key, _matcher(value, key)) for key, value in (attributes or {}).items())
        if parent is None:
            self.cases: frozenset[int] = frozenset(ALL) - {LOCAL_NOT_SAMPLED}
        else:
            self.cases = frozenset(case for word in _listed(parent) for case in _cases(word))

    @classmethod
    def of(cls, value: Any) -> Rule:
        """A rule, or a plain mapping with its keys."""
        if isinstance(value, Rule):
            return value
        if not hasattr(value, "items"):
            raise ConfigurationError(f"rules: {value!r} is no Rule and no mapping with keys of {', '.join(KEYS)}")
        for key in value:
            if key not in KEYS:
                near = checks.nearest(str(key), KEYS)
                raise ConfigurationError(f"rules: {key!r} is no key of a rule{near}: use {', '.join(KEYS)}")
        if "sample" not in value:
            raise ConfigurationError(f"rules: {value!r} has no 'sample': a sampler, a ratio, True or False")
        return cls(**value)

    def matches(self, name: str, kind: int, attributes: Any) -> bool:
        """Whether a span is as the rule says, its parent apart."""
        if self._names is not None and not self._names(name):
            return False
        if self._kinds is not None and kind not in self._kinds:
            return False
        if not self._attributes:
            return True
        if not attributes:
            return False
        return all(key in attributes and holds(attributes[key]) for key, holds in self._attributes)

    def __repr__(self) -> str:
        said = "".join(f"{key}={value!r}, " for key, value in self._said.items() if value is not None)
        return f"Rule({said}sample={self.sampler!r})"


class Rules(Sampler):
    """Asks the sampler of the first rule that matches, else ``default``, a sampler, a ratio, True or False.

    Below a local parent a span that no rule matches does what its parent did. Rules that all name a ``parent`` other
    than local ones cost nothing there; below ParentBased they are asked for roots only. Raises ConfigurationError.
    """

    _boosted = (*ENTRIES, LOCAL_SAMPLED)

    def __init__(self, rules: Iterable[Rule | Mapping[str, Any]], default: Any = True) -> None:
        if isinstance(rules, (str, bytes)) or hasattr(rules, "items") or not hasattr(rules, "__iter__"):
            raise ConfigurationError(f"rules={rules!r}: use a list of Rule(...) or of mappings")
        self.rules: tuple[Rule, ...] = tuple(Rule.of(rule) for rule in rules)
        self.default: Sampler = sampler_of(default, "default")
        self._asked = frozenset(case for rule in self.rules for case in rule.cases)

    def set_ratio(self, ratio: float) -> None:
        """Record this share of what no rule matches from now on."""
        before, default = repr(self), self.default
        changed = with_ratio(default, ratio)
        if changed is not default:
            self.default = changed
            self._changed("%s has now the default %r", before, changed)

    def _thresholds(self) -> Thresholds:
        plain = self.default.thresholds()
        found = [ASK if case in self._asked else plain[case] for case in ENTRIES]
        sampled = ASK if LOCAL_SAMPLED in self._asked else ALWAYS
        return (found[0], found[1], found[2], sampled, ASK if LOCAL_NOT_SAMPLED in self._asked else NEVER)

    def _members(self) -> Members:
        plain = self.default.ot_members()
        found = [None if case in self._asked else plain[case] for case in ENTRIES]
        return (found[0], found[1], found[2], None, None)

    def _decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        number = int(kind or 0)
        for candidate in self.rules:
            if rule in candidate.cases and candidate.matches(name, number, attributes):
                return candidate.sampler.judge(rule, parent, trace_id, name, kind, attributes, links)
        if rule in (LOCAL_SAMPLED, LOCAL_NOT_SAMPLED):
            return compared(ALWAYS if rule == LOCAL_SAMPLED else NEVER, None, trace_id, parent)
        return self.default.judge(rule, parent, trace_id, name, kind, attributes, links)

    def _ratio(self) -> float | None:
        return None if ROOT in self._asked else self.default._ratio()

    def _inner(self) -> Iterable[Sampler]:
        return (*(rule.sampler for rule in self.rules), self.default)

    def __repr__(self) -> str:
        return f"Rules({list(self.rules)!r}, default={self.default!r})"


def sampler_of(value: Any, name: str) -> Sampler:
    """A sampler, a ratio, True or False as a sampler."""
    if isinstance(value, bool):
        return AlwaysOn() if value else AlwaysOff()
    if isinstance(value, (int, float)):
        return Probability(checks.ratio(value, name))
    try:
        return check_sampler(value, name)
    except ConfigurationError:
        raise ConfigurationError(f"{name}={value!r}: use a sampler, a ratio from 0 to 1, True or False") from None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def _matcher(value: Any, name: str, *, only_text: bool = False) -> Callable[[Any], bool]:
    """Whether something is one of the values: text by globs, all else by equality within its type."""
    import fnmatch
    import re

    values = _listed(value)
    texts = [one for one in values if isinstance(one, str)]
    others = [one for one in values if not isinstance(one, str)]
    if not values or (others and only_text) or not all(isinstance(one, (bool, int, float)) for one in others):
        accepted = (
            "text with * and ?" if only_text else "text with * and ?, a number, True or False, or a list of these"
        )
        raise ConfigurationError(f"{name}={value!r}: use {accepted}")
    pattern = re.compile("|".join(fnmatch.translate(text) for text in texts)) if texts else None

    def holds(found: Any) -> bool:
        if isinstance(found, str):
            return pattern is not None and pattern.match(found) is not None
        return any(found == one and isinstance(found, bool) == isinstance(one, bool) for one in others)

    return holds


def _kind(value: Any) -> int:
    if isinstance(value, str):
        if value.lower() not in _KINDS:
            near = checks.nearest(value, _KINDS)
            raise ConfigurationError(f"kind={value!r}: use one of {', '.join(_KINDS)}{near}")
        return _KINDS[value.lower()]
    number = getattr(value, "value", value)
    if isinstance(number, int) and not isinstance(number, bool) and number in _KINDS.values():
        return int(number)
    raise ConfigurationError(f"kind={value!r}: use a SpanKind or one of {', '.join(_KINDS)}")


def _cases(word: Any) -> tuple[int, ...]:
    name = word.lower().replace(" ", "_").replace("-", "_") if isinstance(word, str) else ""
    if name not in PARENTS:
        raise ConfigurationError(f"parent={word!r}: use one of {', '.join(PARENTS)}{checks.nearest(name, PARENTS)}")
    return PARENTS[name]
