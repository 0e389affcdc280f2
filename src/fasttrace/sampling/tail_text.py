"""The text form of tail rules, for an environment variable: ``slow:latency=2s,error,attribute=user.tier:gold|silver``.

In quotes, as JSON has them, a key or a value may hold anything: ``attribute="a,b":"42"``.
"""

from __future__ import annotations

import re

from fasttrace.errors import ConfigurationError
from fasttrace.sampling import reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.sampling.tail import Rule

EXAMPLES = {
    "latency": "latency=2s",
    "error": "error, without a value",
    "http_5xx": "http_5xx, without a value",
    "exception": "exception, without a value",
    "attribute": "attribute=KEY, attribute=KEY:value, attribute=KEY:one|two or attribute=KEY:1..5",
    "rare": "rare=10/60s",
    "percentile": "percentile=0.99",
    "baseline": "baseline=1%",
}
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PIECE = re.compile(rf'(?:{_QUOTED}|[^",])+')
_KEY = re.compile(rf'({_QUOTED}|[^":]+)(?::(.*))?', re.DOTALL)
_VALUE = re.compile(rf'({_QUOTED}|[^"|]+)(?:\||$)', re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_BOUNDS = re.compile(rf"({_NUMBER.pattern})?\.\.({_NUMBER.pattern})?")
# What may stand without quotes.
_BARE_KEY = re.compile(r"[\w.\-/@]+")
_BARE_VALUE = re.compile(r"[\w\-/@+]+(?:\.[\w\-/@+]+)*")


def split(text: str) -> list[str]:
    """The rules of a text, one by one."""
    if text.count('"') and _PIECE.sub("", text).strip(","):
        raise ConfigurationError(f"tail={text!r}: a quotation mark has no end")
    return [part.strip() for part in _PIECE.findall(text) if part.strip()]


def read(part: str, known: tuple[str, ...]) -> tuple[str, str | None, dict[str, Any]]:
    """Kind, name and options of one rule."""
    head, equals, value = part.partition("=")
    name, colon, kind = (word.strip() for word in head.rpartition(":"))
    if kind not in known:
        raise ConfigurationError(f"tail={part!r}: no rule is called {kind!r}, {reading.nearest(kind, known)}")
    try:
        options = _options(kind, value.strip()) if equals else {}
    except ValueError as error:
        why = f"{error}; " if isinstance(error, ConfigurationError) else ""
        raise ConfigurationError(f"tail={part!r}: {why}use {EXAMPLES[kind]}") from None
    return kind, name if colon else None, options


def _options(kind: str, value: str) -> dict[str, Any]:
    if kind == "latency":
        return {"seconds": reading.seconds("seconds", value)}
    if kind == "rare":
        count, slash, seconds = value.partition("/")
        found = {"count": reading.number("count", count.strip())}
        return {**found, "seconds": reading.seconds("seconds", seconds.strip())} if slash else found
    if kind in ("percentile", "baseline"):
        return {"ratio": reading.share(kind, value)}
    if kind == "attribute":
        return _attribute(value)
    raise ValueError


def _attribute(text: str) -> dict[str, Any]:
    match = _KEY.fullmatch(text)
    if match is None:
        raise ValueError
    found: dict[str, Any] = {"key": _unquoted(match[1].strip())}
    rest = match[2]
    if rest is None:
        return found
    bounds = _BOUNDS.fullmatch(rest.strip())
    if bounds is not None and (bounds[1] or bounds[2]):
        low, high = (None if bound is None else _literal(bound) for bound in bounds.groups())
        return {**found, "at_least": low, "at_most": high}
    values = []
    position = 0
    while position < len(rest):
        piece = _VALUE.match(rest, position)
        if piece is None:
            raise ValueError
        values.append(_literal(piece[1].strip()))
        position = piece.end()
    if not values or rest.endswith("|"):
        raise ValueError
    return {**found, "values": values}


def _unquoted(word: str) -> str:
    if not word.startswith('"'):
        return word
    import json

    found: str = json.loads(word)
    return found


def _literal(word: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    if _NUMBER.fullmatch(word):
        return int(word) if word.lstrip("+-").isdigit() else float(word)
    return _unquoted(word)


# --- the way back


def write(rule: Rule) -> str:
    """A rule as text that ``read`` takes."""
    options = rule.options
    name = "" if rule.name == rule.default_name else f"{rule.name}:"
    if rule.kind == "latency":
        value = reading.seconds_text(options["seconds"])
    elif rule.kind == "rare":
        value = f"{options['count']}/{reading.seconds_text(options['seconds'])}"
    elif rule.kind == "percentile":
        value = reading.share_text(options["ratio"], percent=False)
    elif rule.kind == "baseline":
        value = reading.share_text(options["ratio"])
    elif rule.kind == "attribute":
        value = _attribute_text(options)
    else:
        return name + rule.kind
    return f"{name}{rule.kind}={value}"


def _attribute_text(options: Any) -> str:
    key = _quoted(options["key"], _BARE_KEY)
    low, high = options["at_least"], options["at_most"]
    if low is not None or high is not None:
        return f"{key}:{'' if low is None else repr(low)}..{'' if high is None else repr(high)}"
    values = options["values"] if options["value"] is None else (options["value"],)
    if values is None:
        return key
    return key + ":" + "|".join(_value_text(value) for value in values)


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    looks_otherwise = value in ("true", "false") or _NUMBER.fullmatch(value)
    return _quoted(value, None if looks_otherwise else _BARE_VALUE)


def _quoted(word: str, bare: re.Pattern[str] | None) -> str:
    if bare is not None and bare.fullmatch(word):
        return word
    import json

    return json.dumps(word)
