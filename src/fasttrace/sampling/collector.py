"""The same tail rules as a configuration of the OpenTelemetry Collector (its contrib distribution, as of v0.156).

Two tiers: load balancers that send every span of a trace to one sampler, and samplers that decide on whole traces.
The names are those of ``tailsamplingprocessor``'s config.go and ``loadbalancingexporter``'s config.schema.yaml in
opentelemetry-collector-contrib; ``load_balancing`` was ``loadbalancing`` before v0.153 (its pull request 48533).
"""

from __future__ import annotations

import math
import re

from fasttrace.errors import ConfigurationError
from fasttrace.sampling import reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasttrace.sampling.tail import Rule

_LEFT_OUT = {
    "rare": "no policy counts the traces of a route; rate_limiting counts spans of all of them",
    "percentile": "no policy knows how long the other traces of a route took; use latency with a fixed time",
}
_RECEIVERS = """\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 0.0.0.0:4317
      http:
        endpoint: 0.0.0.0:4318
"""


def load_balancer(samplers: str) -> str:
    """The first tier, for ``host:port,host:port`` or ``dns:name[:port]``. Raises ConfigurationError."""
    return f"""\
# Tier 1, load balancers: as many as you like, any of them takes any span.
# Every span of a trace goes to the same sampler, by its trace id. load_balancing was loadbalancing before v0.153.
{_RECEIVERS}
exporters:
  load_balancing:
    routing_key: traceID
    # Off by default: without them the spans for a sampler that is away are lost.
    retry_on_failure:
      enabled: true
    sending_queue:
      enabled: true
    protocol:
      otlp:
        tls:
          insecure: true
    resolver:
{_resolver(samplers)}
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [load_balancing]
"""


def sampler(rules: tuple[Rule, ...], endpoint: str, *, keep_sampled: bool = False) -> str:
    """The second tier, for rules and the place where kept traces go. Raises ConfigurationError."""
    kept = _KEPT + (_SAMPLED if keep_sampled else _indented_comment(_SAMPLED))
    names: set[str] = set()
    policies = "".join(_policy(rule, names) for rule in rules)
    name, exporter = _exporter(endpoint)
    return f"""\
# Tier 2, samplers: each decides on the whole traces that tier 1 sends it. A trace is kept when any policy says so.
# The applications must send everything, or the policies see only what was already kept: sampler always_on, no tail.
{_RECEIVERS}
processors:
  tail_sampling:
    # From the first span of a trace to its decision: longer than your longest request.
    decision_wait: 30s
    # At least twice the traces per second that one sampler gets, times decision_wait.
    num_traces: 50000
    # So that late spans share the fate of their trace; larger than num_traces.
    decision_cache:
      sampled_cache_size: 200000
      non_sampled_cache_size: 200000
    policies:
{kept}{policies}{_left_out(rules)}
exporters:
{exporter}
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [tail_sampling]
      exporters: [{name}]
"""


# --- policies

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


def _indented_comment(block: str) -> str:
    lines = block.splitlines()
    return "".join(
        f"{line}\n" if line.lstrip().startswith("#") else f"      # {line.removeprefix('      ')}\n" for line in lines
    )


def _policy(rule: Rule, names: set[str]) -> str:
    return "".join(
        f"{comment}      - name: {_quoted(_unique(rule.name, names))}\n        type: {kind}\n{body}"
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
        percentage = _plain(options["ratio"] * 100)
        yield comment, "probabilistic", _block("probabilistic", f"sampling_percentage: {percentage}")
    elif rule.kind == "attribute":
        yield from _attribute(rule)


def _attribute(rule: Rule) -> Iterator[tuple[str, str, str]]:
    key, low, high = (rule.options[name] for name in ("key", "at_least", "at_most"))
    quoted = _quoted(key)
    path = f"span.attributes[{quoted}]"
    values = rule.options["values"] if rule.options["value"] is None else (rule.options["value"],)
    if values is None and low is None and high is None:
        yield "", "ottl_condition", _ottl("span", [f"{path} != nil"])
    elif values is None and type(low) is int and type(high) is int and (low > 0 or high < 0):
        # A value of another type counts as 0 there.
        lines = [f"key: {quoted}", f"min_value: {low}", f"max_value: {high}"]
        yield "", "numeric_attribute", _block("numeric_attribute", *lines)
    elif values is None:
        bounds = [
            f"{path} {sign} {_literal(limit)}" for sign, limit in ((">=", low), ("<=", high)) if limit is not None
        ]
        yield "", "ottl_condition", _ottl("span", [" and ".join(bounds)])
    elif all(type(value) is str for value in values):
        lines = [f"key: {quoted}", f"values: [{', '.join(map(_quoted, values))}]"]
        yield "", "string_attribute", _block("string_attribute", *lines)
    elif values == (True,):
        yield "", "boolean_attribute", _block("boolean_attribute", f"key: {quoted}", "value: true")
    else:
        yield "", "ottl_condition", _ottl("span", [f"{path} == {_literal(value)}" for value in values])


def _quoted(text: str) -> str:
    """Text in quotes, with escapes that YAML and the Collector's transformation language read alike."""
    escaped = (
        f"\\{c}"
        if c in '"\\'
        else c
        if c.isprintable()
        else f"\\u{ord(c):04X}"
        if ord(c) < 1 << 16
        else f"\\U{ord(c):08X}"
        for c in text
    )
    return f'"{"".join(escaped)}"'


def _literal(value: str | bool | float) -> str:
    """A value in the Collector's transformation language."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    return _plain(value)


def _plain(value: float) -> str:
    """A number without an exponent."""
    if isinstance(value, int):
        return str(value)
    text = repr(value)
    return text if "e" not in text else f"{value:.1100f}".rstrip("0") + ("0" if value == int(value) else "")


def _block(kind: str, *lines: str) -> str:
    return f"        {kind}:\n" + "".join(f"          {line}\n" for line in lines)


def _ottl(where: str, conditions: list[str]) -> str:
    listed = [f"  - {_quoted(condition)}" for condition in conditions]
    return _block("ottl_condition", "error_mode: ignore", f"{where}:", *listed)


def _left_out(rules: tuple[Rule, ...]) -> str:
    lines = [f"      #   {rule.text}: {_LEFT_OUT[rule.kind]}" for rule in rules if rule.kind in _LEFT_OUT]
    if not lines:
        return ""
    return "\n".join(["      # Rules that can't be said here, and why:", *lines, ""])


# --- places

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%]+\]):(\d{1,5})")


def _host(text: str, example: str) -> str:
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match[1]) < 65536:
        raise ConfigurationError(f"{text!r}: use {example}")
    return text


def _resolver(samplers: str) -> str:
    kind, _, rest = samplers.strip().partition(":")
    if kind == "dns":
        name, _, port = rest.partition(":")
        _host(f"{name}:{port or 4317}", "dns:NAME or dns:NAME:PORT for the samplers")
        return f"      dns:\n        hostname: {_quoted(name)}\n        port: {_quoted(port or '4317')}\n"
    hosts = [host.strip() for host in samplers.split(",") if host.strip()]
    if not hosts:
        raise ConfigurationError(f"{samplers!r}: use host:port of at least one sampler, or dns:NAME")
    lines = [f"          - {_quoted(_host(host, 'host:port for each sampler, or dns:NAME'))}" for host in hosts]
    return "\n".join(["      static:", "        hostnames:", *lines, ""])


def _exporter(endpoint: str) -> tuple[str, str]:
    """The name of an exporter, and its settings."""
    from urllib.parse import urlsplit

    url = urlsplit(endpoint)
    if url.scheme in ("http", "https") and url.hostname:
        if url.username or url.password or url.query:
            raise ConfigurationError(
                f"{url.scheme}://{url.hostname}: leave user name, password and query out, and add headers to the output"
            )
        return "otlp_http", f"  # Called otlphttp before.\n  otlp_http:\n    endpoint: {_quoted(endpoint)}\n"
    host = _host(endpoint, "host:port, or an http:// or https:// URL for the endpoint")
    plain = "    tls:\n      insecure: true\n"
    return "otlp_grpc", f"  # Called otlp before.\n  otlp_grpc:\n    endpoint: {_quoted(host)}\n{plain}"
