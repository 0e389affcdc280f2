"""Tail rules as policies of the Collector's ``tail_sampling`` processor.

The names are those of ``tailsamplingprocessor``'s config.go in opentelemetry-collector-contrib.
"""

from __future__ import annotations

import math

from fasttrace.sampling import reading
from fasttrace.sampling.collector.text import plain, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasttrace.sampling.tail import Rule

_LEFT_OUT = {
    "rare": "no policy counts the traces of a route; rate_limiting counts spans of all of them",
    "percentile": "no policy knows how long the other traces of a route took; use latency with a fixed time",
}
_KEPT = """\
      # What a fasttrace process has kept by its own tail rules, or by keep_trace(), which no policy can see.
      - name: "fasttrace: kept already"
        type: string_attribute
        string_attribute:
          key: fasttrace.keep_reason
          values: [".+"]
          enabled_regex_matching: true
"""
_SAMPLED = """\
      # What a head sampler has chosen: any span with the sampled flag. Only where the heads choose a share; with
      # always_on every span has it, and this policy keeps everything.
      - name: "head: sampled"
        type: trace_flags
"""


def policies(rules: tuple[Rule, ...], *, keep_sampled: bool) -> str:
    """The entries of ``policies``, with comments for what can't be said there."""
    kept = _KEPT + (_SAMPLED if keep_sampled else _indented_comment(_SAMPLED))
    names: set[str] = set()
    return kept + "".join(_policy(rule, names) for rule in rules) + _left_out(rules)


def _indented_comment(block: str) -> str:
    lines = block.splitlines()
    return "".join(
        f"{line}\n" if line.lstrip().startswith("#") else f"      # {line.removeprefix('      ')}\n" for line in lines
    )


def _policy(rule: Rule, names: set[str]) -> str:
    return "".join(
        f"{comment}      - name: {quoted(_unique(rule.name, names))}\n        type: {kind}\n{body}"
        for comment, kind, body in _bodies(rule)
    )


def _unique(name: str, names: set[str]) -> str:
    found, number = name, 1
    while found in names:
        number += 1
        found = f"{name} {number}"
    names.add(found)
    return found


def _bodies(rule: Rule) -> Iterator[tuple[str, str, str]]:
    """Comment, type and settings of the policies that a rule becomes."""
    options = rule.options
    if rule.kind == "latency":
        comment = "      # From the first start to the last end in the trace; in the process it is any one span.\n"
        milliseconds = math.ceil(reading.nanoseconds(options["seconds"]) / 1e6)
        yield comment, "latency", _block("latency", f"threshold_ms: {milliseconds}")
    elif rule.kind == "error":
        yield "", "status_code", _block("status_code", "status_codes: [ERROR]")
    elif rule.kind == "http_5xx":
        lines = ("key: http.response.status_code", "min_value: 500", "max_value: 599")
        yield "", "numeric_attribute", _block("numeric_attribute", *lines)
    elif rule.kind == "exception":
        yield "", "ottl_condition", _ottl("spanevent", ['spanevent.name == "exception"'])
    elif rule.kind == "baseline":
        comment = "      # By a hash of its own: other traces than the ones that fasttrace's ratio keeps.\n"
        percentage = plain(options["ratio"] * 100)
        yield comment, "probabilistic", _block("probabilistic", f"sampling_percentage: {percentage}")
    elif rule.kind == "attribute":
        yield from _attribute(rule)


def _attribute(rule: Rule) -> Iterator[tuple[str, str, str]]:
    key, low, high = (rule.options[option] for option in ("key", "at_least", "at_most"))
    name = quoted(key)
    path = f"span.attributes[{name}]"
    values = rule.options["values"] if rule.options["value"] is None else (rule.options["value"],)
    if values is None and low is None and high is None:
        yield "", "ottl_condition", _ottl("span", [f"{path} != nil"])
    elif values is None and type(low) is int and type(high) is int and (low > 0 or high < 0):
        # A value of another type counts as 0 there.
        lines = [f"key: {name}", f"min_value: {low}", f"max_value: {high}"]
        yield "", "numeric_attribute", _block("numeric_attribute", *lines)
    elif values is None:
        bounds = [
            f"{path} {sign} {_literal(limit)}" for sign, limit in ((">=", low), ("<=", high)) if limit is not None
        ]
        yield "", "ottl_condition", _ottl("span", [" and ".join(bounds)])
    elif all(type(value) is str for value in values):
        lines = [f"key: {name}", f"values: [{', '.join(map(quoted, values))}]"]
        yield "", "string_attribute", _block("string_attribute", *lines)
    elif values == (True,):
        yield "", "boolean_attribute", _block("boolean_attribute", f"key: {name}", "value: true")
    else:
        yield "", "ottl_condition", _ottl("span", [f"{path} == {_literal(value)}" for value in values])


def _literal(value: str | bool | float) -> str:
    """A value in the Collector's transformation language."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    return plain(value)


def _block(kind: str, *lines: str) -> str:
    return f"        {kind}:\n" + "".join(f"          {line}\n" for line in lines)


def _ottl(where: str, conditions: list[str]) -> str:
    listed = [f"  - {quoted(condition)}" for condition in conditions]
    return _block("ottl_condition", "error_mode: ignore", f"{where}:", *listed)


def _left_out(rules: tuple[Rule, ...]) -> str:
    lines = [f"      #   {rule.text}: {_LEFT_OUT[rule.kind]}" for rule in rules if rule.kind in _LEFT_OUT]
    if not lines:
        return ""
    return "\n".join(["      # Rules that can't be said here, and why:", *lines, ""])
