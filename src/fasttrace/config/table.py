"""The table of settings, a row each: name, variables with what reads them, default, meaning."""

from __future__ import annotations

from fasttrace._core.layout import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_SPANS
from fasttrace.config.values import (
    age,
    anything,
    boolean,
    count,
    excluded_urls,
    exporter,
    instrumentations,
    limit,
    milliseconds,
    names,
    otel_propagators,
    propagators,
    seconds,
    share,
    size,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    # In the order in which they are looked at: the variable, and what reads it.
    Variables: TypeAlias = tuple[tuple[str, Callable[[Any], Any]], ...]


class Setting:
    """One row: the attribute and argument, what reads that, its default, its variables in order, its meaning."""

    __slots__ = ("default", "meaning", "name", "read", "variables")

    def __init__(
        self,
        name: str,
        read: Callable[[Any], Any],
        default: Any,
        variables: Variables,
        meaning: str,
    ) -> None:
        self.name: str = name
        self.read: Callable[[Any], Any] = read
        self.default: Any = default
        self.variables: Variables = variables
        self.meaning: str = meaning


def _limits(*parts: str) -> Variables:
    return tuple((f"OTEL_{part}_LIMIT", limit) for part in parts)


SETTINGS = (
    Setting(
        "service_name",
        text,
        None,
        (("FASTTRACE_SERVICE_NAME", text), ("OTEL_SERVICE_NAME", text)),
        "what the traces call this program",
    ),
    Setting(
        "sampler",
        anything,
        None,
        (("FASTTRACE_SAMPLER", text), ("OTEL_TRACES_SAMPLER", text)),
        "which traces are recorded: a name, a ratio (0.1), a percentage (10%), or development, production, auto",
    ),
    Setting(
        "sampler_argument",
        anything,
        None,
        (("FASTTRACE_SAMPLER_ARG", text), ("OTEL_TRACES_SAMPLER_ARG", text)),
        "the ratio of traceidratio, or endpoint=...,pollingIntervalMs=...,initialSamplingRate=... of jaeger_remote",
    ),
    Setting(
        "tail",
        anything,
        None,
        (("FASTTRACE_TAIL", text),),
        "which traces are kept whole whatever the sampler said, such as latency=2s,error,http_5xx,baseline=1%",
    ),
    Setting("incident", anything, None, (), "what raises the sampler's ratio by itself"),
    Setting(
        "control_file",
        text,
        None,
        (("FASTTRACE_CONTROL_FILE", text),),
        "the file through which `fasttrace sampling` speaks to running processes; none: no file",
    ),
    Setting(
        "max_cpu_ratio",
        share,
        None,
        (("FASTTRACE_MAX_CPU_RATIO", share),),
        "what tracing may take of the process's CPU, such as 3%; beyond it detail goes first, then the ratio",
    ),
    Setting(
        "exporter",
        exporter,
        None,
        (("FASTTRACE_EXPORTER", exporter), ("OTEL_TRACES_EXPORTER", exporter)),
        "where spans go; the spool unless an OTLP endpoint is set",
    ),
    Setting(
        "propagators",
        propagators,
        None,
        (("FASTTRACE_PROPAGATORS", propagators), ("OTEL_PROPAGATORS", otel_propagators)),
        "header formats, read in this order and all written; tracecontext,baggage unless set",
    ),
    Setting(
        "baggage_attributes",
        names,
        (),
        (("FASTTRACE_BAGGAGE_ATTRIBUTES", names),),
        "baggage that every span gets as attributes",
    ),
    Setting(
        "max_queue_spans",
        count,
        DEFAULT_QUEUE_SPANS,
        (("FASTTRACE_MAX_QUEUE_SPANS", count), ("OTEL_BSP_MAX_QUEUE_SIZE", count)),
        "spans that may wait; the newest beyond are dropped and counted",
    ),
    Setting(
        "max_queue_bytes",
        size,
        DEFAULT_QUEUE_BYTES,
        (("FASTTRACE_MAX_QUEUE_BYTES", size),),
        "bytes that may wait",
    ),
    Setting(
        "max_batch_spans",
        count,
        512,
        (("FASTTRACE_MAX_BATCH_SPANS", count), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", count)),
        "spans in one request at most",
    ),
    Setting("max_batch_bytes", size, 1 << 20, (("FASTTRACE_MAX_BATCH_BYTES", size),), "bytes in one request at most"),
    Setting(
        "schedule_delay",
        seconds,
        1.0,
        (("FASTTRACE_SCHEDULE_DELAY", seconds), ("OTEL_BSP_SCHEDULE_DELAY", milliseconds)),
        "how long a span waits for a fuller batch (OTEL_BSP_SCHEDULE_DELAY: milliseconds)",
    ),
    Setting(
        "exit_timeout",
        seconds,
        1.0,
        (("FASTTRACE_EXIT_TIMEOUT", seconds),),
        "how long the end of the process may take for what is left",
    ),
    Setting("spool_dir", text, None, (("FASTTRACE_SPOOL_DIR", text),), "the local spool's folder"),
    Setting(
        "spool_max_bytes",
        size,
        512 << 20,
        (("FASTTRACE_SPOOL_MAX_BYTES", size),),
        "what the spool may take; oldest first out",
    ),
    Setting(
        "spool_max_age",
        age,
        7 * 86400.0,
        (("FASTTRACE_SPOOL_MAX_AGE", age),),
        "how long spans stay in the spool, such as 12h or 7d; none: as long as there is room",
    ),
    Setting(
        "undelivered_dir",
        text,
        None,
        (("FASTTRACE_UNDELIVERED_DIR", text),),
        "where spans wait on disk while the collector is away; none: nowhere",
    ),
    Setting(
        "undelivered_max_bytes",
        size,
        512 << 20,
        (("FASTTRACE_UNDELIVERED_MAX_BYTES", size),),
        "what they may take; oldest first out",
    ),
    Setting(
        "flush_on_sigterm",
        boolean,
        False,
        (("FASTTRACE_FLUSH_ON_SIGTERM", boolean),),
        "true: send what is left when the process is terminated, then do what would have been done",
    ),
    Setting(
        "instrument",
        instrumentations,
        ("all",),
        (("FASTTRACE_INSTRUMENT", instrumentations),),
        "what `fasttrace run` and instrument() without names instrument, of what is installed",
    ),
    Setting(
        "instrument_not",
        names,
        (),
        (("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", names),),
        "what they leave out; * is all",
    ),
    Setting(
        "skip_paths",
        names,
        (),
        (("FASTTRACE_SKIP_PATHS", names), ("OTEL_PYTHON_EXCLUDED_URLS", excluded_urls)),
        "requests that servers leave out: paths, * for anything (OTEL_PYTHON_EXCLUDED_URLS: regular expressions)",
    ),
    Setting(
        "capture_headers",
        names,
        (),
        (("FASTTRACE_CAPTURE_HEADERS", names),),
        "headers of requests and answers that servers record; no others ever",
    ),
    Setting(
        "request_durations",
        boolean,
        False,
        (("FASTTRACE_REQUEST_DURATIONS", boolean),),
        "true: servers count how long each request took, for fasttrace.metrics",
    ),
    Setting(
        "jsonlines_path",
        text,
        "traces.jsonl",
        (("FASTTRACE_JSONLINES_PATH", text),),
        "the file of the jsonlines exporter",
    ),
    Setting(
        "disabled",
        boolean,
        False,
        (("FASTTRACE_DISABLED", boolean), ("OTEL_SDK_DISABLED", boolean)),
        "true: contexts are forwarded, nothing is recorded",
    ),
)

# OpenTelemetry's own names for the span limits; the specific one wins over the general one.
LIMITS = {
    "max_span_attributes": _limits("SPAN_ATTRIBUTE_COUNT", "ATTRIBUTE_COUNT"),
    "max_events": _limits("SPAN_EVENT_COUNT"),
    "max_links": _limits("SPAN_LINK_COUNT"),
    "max_event_attributes": _limits("EVENT_ATTRIBUTE_COUNT", "ATTRIBUTE_COUNT"),
    "max_link_attributes": _limits("LINK_ATTRIBUTE_COUNT", "ATTRIBUTE_COUNT"),
    "max_attribute_length": _limits("ATTRIBUTE_VALUE_LENGTH"),
    "max_span_attribute_length": _limits("SPAN_ATTRIBUTE_VALUE_LENGTH"),
}

# A file that says all that variables say, by its two names.
CONFIGURATION_FILES = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
# Either makes otlp the default exporter.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
