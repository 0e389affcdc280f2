"""The page of all settings, from the table in ``fasttrace.config.table``."""

from __future__ import annotations

import inspect

import fasttrace
from fasttrace import config
from fasttrace._core import SpanLimits

HEAD = """\
# Configuration

```sh
FASTTRACE_SERVICE_NAME=checkout FASTTRACE_SAMPLER=10% OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 python app.py
```

<!-- written by `python docs/reference` from src/fasttrace/config/table.py -->

Every setting is an argument of [`fasttrace.configure`](api.md), a variable, or both. The argument wins, then `FASTTRACE_*`, then
`OTEL_*`, then the default. A `FASTTRACE_*` variable with a bad value, or with a name that does not exist, is a `ConfigurationError` that
says what is accepted; a bad `OTEL_*` value warns and counts as unset, as OpenTelemetry's specification has it. An empty variable is unset.
`fasttrace doctor` shows each setting, its value, and where it came from.

Times are `500ms`, `2s`, `10m`, `12h`, `7d`, or a number of seconds; sizes `512k`, `16MiB`, or a number of bytes; shares `3%` or `0.03`.
"""

# By what a person wants to do. Of each setting: what the default comes to, where the table has None, and an example.
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Who, and where to": {
        "service_name": ("what the platform says, else `unknown_service:python`", "checkout"),
        "exporter": ("`otlp` with an endpoint, else `spool`", "otlp"),
        "jsonlines_path": ("", "/var/log/traces.jsonl"),
        "disabled": ("", "true"),
    },
    "Which traces": {
        "sampler": ("everything, as the parent says", "10%"),
        "sampler_argument": ("what the sampler's own is", "0.1"),
        "tail": ("no rules", "latency=2s,error,http_5xx,baseline=1%"),
        "incident": ("nothing does", ""),
        "control_file": (
            "`fasttrace/sampling.toml` in `$XDG_STATE_HOME` or `~/.local/state`",
            "/run/shop/sampling.toml",
        ),
        "max_cpu_ratio": ("no limit", "3%"),
    },
    "Headers": {
        "propagators": ("`tracecontext,baggage`", "tracecontext,b3,datadog"),
        "baggage_attributes": ("", "tenant,user.tier"),
    },
    "Queue, batches, exit": {
        "max_queue_spans": ("", "20k"),
        "max_queue_bytes": ("", "32MiB"),
        "max_batch_spans": ("", "1000"),
        "max_batch_bytes": ("", "512k"),
        "schedule_delay": ("", "500ms"),
        "exit_timeout": ("", "3s"),
        "flush_on_sigterm": ("", "true"),
    },
    "On disk": {
        "spool_dir": ("`.fasttrace/spool` in the project", "/var/lib/shop/spool"),
        "spool_max_bytes": ("", "2GiB"),
        "spool_max_age": ("", "12h"),
        "undelivered_dir": (
            "`fasttrace/undelivered` in `$XDG_STATE_HOME` or `~/.local/state`",
            "/var/lib/shop/undelivered",
        ),
        "undelivered_max_bytes": ("", "1GiB"),
    },
    "Integrations": {
        "instrument": ("", "httpx,flask"),
        "instrument_not": ("", "redis,logging"),
        "skip_paths": ("", "/healthz,/static/*"),
        "capture_headers": ("", "x-request-id"),
        "request_durations": ("", "true"),
    },
}
# Of the same setting, for variables that are written in another way.
EXAMPLES = {
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
    "OTEL_PYTHON_EXCLUDED_URLS": "healthz,^http://internal",
}

ARGUMENTS = """
## In code only

| argument of `configure` | meaning |
|---|---|
"""
IN_CODE = {
    "resource": "attributes of every span: `resource={\"service.version\": \"1.4.0\"}`; [infrastructure tags](integrations/infrastructure.md)",
    "resource_detectors": "functions that find [more of them](integrations/infrastructure.md#of-your-own)",
    "span_limits": "how much one span may hold, below",
    "id_generator": "an object with `generate_trace_id()` and `generate_span_id()`, which give numbers; the core's own is the fast way, and safe in forks",
}  # fmt: skip

LIMITS = """
## Span limits

`configure(span_limits=fasttrace.SpanLimits(max_events=500))`, or OpenTelemetry's variables. What is beyond is left out and counted on the span.

| variable | argument of `SpanLimits` | default |
|---|---|---|
"""

OTHERS = """
## Read elsewhere

| variable | meaning | example |
|---|---|---|
"""
# Each: name, meaning, example.
ELSEWHERE = (
    ("FASTTRACE_IMPL", "which core: `cython`, which refuses to fall back, `python`, or `auto` (default); [two implementations](implementations.md)", "cython"),
    ("FASTTRACE_RUN_ANNOUNCE", "set by `fasttrace run`: which of its processes say where spans go and what is traced", "all"),
    ("FASTTRACE_BUILD", "when installing from source: `cython` (default; fails without a compiler) or `pure`", "pure"),
    ("FASTTRACE_BUILD_TRACE", "when installing from source: line tracing, for coverage", "1"),
    ("FASTTRACE_BUILD_ANNOTATE", "when installing from source: annotated HTML beside the generated C", "1"),
    ("FASTTRACE_BUILD_DEBUG", "when installing from source: no optimisation, assertions", "1"),
    ("FASTTRACE_BUILD_CFLAGS", "when installing from source: more flags for the compiler", "-g -fsanitize=address"),
    ("FASTTRACE_BUILD_LDFLAGS", "when installing from source: more flags for the linker", "-fsanitize=address"),
    ("FASTTRACE_PEERS", "in the repository: where `tools/peers` keeps the programs of others that are tested against", "/var/cache/peers"),
    ("OTEL_RESOURCE_ATTRIBUTES", "attributes of every span: [infrastructure tags](integrations/infrastructure.md)", "team=blue,deployment.environment.name=staging"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "makes `otlp` the default exporter; it and the others of OTLP and Zipkin: [exporting](exporting.md#otlp)", "http://collector:4318"),
    ("OTEL_CONFIG_FILE", "not read, nor is `OTEL_EXPERIMENTAL_CONFIG_FILE`: set, it warns; give what it says of traces as variables", "otel.yaml"),
    ("XDG_STATE_HOME", "where the control file and undelivered spans are", "/var/lib/shop"),
)  # fmt: skip


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, members in GROUPS.items():
        parts.append(f"\n## {title}\n\n| argument, variables | meaning | default | example |\n|---|---|---|---|\n")
        parts += [_row(_setting(name), *said) for name, said in members.items()]
    parts.append(ARGUMENTS)
    arguments = set(inspect.signature(fasttrace.configure).parameters) - set(grouped())
    parts += [f"| `{name}=` | {IN_CODE[name]} |\n" for name in sorted(arguments)]
    parts.append(LIMITS)
    parts += [_limit(name, variables) for name, variables in config.LIMITS.items()]
    parts.append(OTHERS)
    known = config.known_names()
    parts += [
        f"| `{name}` | {meaning} | `{example}` |\n"
        for name, meaning, example in ELSEWHERE
        if name in known or not name.startswith("FASTTRACE_")
    ]
    return "".join(parts)


def examples() -> dict[str, str]:
    """An example for every variable of the table: what its row shows."""
    return {
        variable: EXAMPLES.get(variable, GROUPS[group][setting.name][1])
        for group, members in GROUPS.items()
        for setting in map(_setting, members)
        for variable, _ in setting.variables
    }


def grouped() -> list[str]:
    """The names of all settings that have a place on the page."""
    return [name for members in GROUPS.values() for name in members]


def _setting(name: str) -> config.Setting:
    return next(setting for setting in config.SETTINGS if setting.name == name)


def _row(setting: config.Setting, default: str, example: str) -> str:
    names = [f"`{setting.name}=`"] if setting.name in inspect.signature(fasttrace.configure).parameters else []
    names += [f"`{variable}`" for variable, _ in setting.variables]
    shown = (
        f"`{EXAMPLES.get(setting.variables[0][0], example)}`"
        if setting.variables
        else "[incidents](sampling-tail.md#incidents)"
    )
    default = default or _text(setting.name, setting.default)
    cells = ["<br>".join(names), setting.meaning, default, shown]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _limit(name: str, variables: tuple[tuple[str, object], ...]) -> str:
    default = getattr(SpanLimits(), name)
    text = "none" if default is None else str(default)
    return f"| {', '.join(f'`{variable}`' for variable, _ in variables)} | `{name}` | {text} |\n"


def _text(name: str, default: object) -> str:
    """A default as one would write it in a variable."""
    if default == ():
        return "none"
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if name.endswith("_bytes") and isinstance(default, int):
        return f"`{default >> 20}MiB`"
    if name == "spool_max_age" and isinstance(default, float):
        return f"`{default / 86400:g}d`"
    if isinstance(default, float):
        return f"`{default:g}s`"
    return f"`{default}`"
