"""The figures of ``fasttrace.stats()``, and of requests served, in Prometheus' text format.

For a ``/metrics`` page of one's own. The format is Prometheus' text exposition format 0.0.4 (prometheus.io,
"Exposition formats").
"""

from __future__ import annotations

from fasttrace import durations, process
from fasttrace._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Name, type, key of stats(), help.
_FIGURES = (
    ("started_spans_total", "counter", "started", "Spans begun, those that the sampler left out included."),
    ("active_spans", "gauge", "active", "Spans that have not ended."),
    ("queued_spans", "gauge", "queued", "Spans that wait in memory, or are being sent."),
    ("queued_bytes", "gauge", "queued_bytes", "Their size."),
    ("max_queue_spans", "gauge", "max_queue_spans", "The queue's bound in spans."),
    ("max_queue_bytes", "gauge", "max_queue_bytes", "The queue's bound in bytes."),
    ("held_spans", "gauge", "held", "Spans that would be left out, but could still be recalled."),
    ("held_bytes", "gauge", "held_bytes", "Their size."),
    ("held_traces", "gauge", "held_traces", "Their traces."),
    ("recall_seconds", "gauge", "recall_seconds", "How far back they reach."),
    ("truncated_traces_total", "counter", "truncated_traces", "Traces that grew too large and lost spans."),
    ("detail_spans_total", "counter", "detail_spans", "Spans below local roots that max_cpu_ratio left out."),
    ("detail_attributes_total", "counter", "detail_attributes", "Attributes of local roots that it left out."),
    ("sampler_errors_total", "counter", "sampler_errors", "Decisions of a sampler that failed."),
    ("spooled_spans", "gauge", "spooled", "Spans of this process that wait on disk."),
    ("undelivered_spans", "gauge", "undelivered", "Spans that wait on disk in the care of this process."),
    ("batches_total", "counter", "batches", "Requests that were delivered."),
    ("retried_ambiguous_spans_total", "counter", "retried_ambiguous", "Spans sent again though they may have arrived."),
    ("replayed_spans_total", "counter", "replayed", "Spans of earlier processes that were delivered."),
    ("replay_dropped_spans_total", "counter", "replay_dropped", "Spans of earlier processes that were lost."),
    ("receiver_away", "gauge", "away", "1 while the receiver does not answer, else 0."),
    (
        "last_export_timestamp_seconds",
        "gauge",
        "last_export_time",
        "When a batch last arrived; absent for never.",
    ),
    ("last_error_timestamp_seconds", "gauge", "last_error_time", "When something last went wrong; absent for never."),
    (
        "stats_file_errors_total",
        "counter",
        "stats_file_errors",
        "How often these figures could not be written beside the spool.",
    ),
    ("thread_cpu_seconds_total", "counter", "thread_cpu_seconds", "CPU time of the background thread."),
    ("cpu_seconds_total", "counter", "cpu_seconds", "CPU time of tracing: spans, and the background thread."),
    ("cpu_percent", "gauge", "cpu_percent", "Its share of the CPU time of the process, since tracing was configured."),
    ("timed_spans_total", "counter", "timed_spans", "Spans whose start and end were timed."),
    (
        "span_cpu_microseconds",
        "gauge",
        "span_cpu_microseconds",
        "CPU time that start and end of a span take, the mean; absent until one was timed.",
    ),
)
_FINAL_STATES = ("exported", "sampled_out", "abandoned")


def prometheus_text(stats: Mapping[str, Any] | None = None) -> str:
    """The text of a scrape, ``CONTENT_TYPE`` being its type; of the process's ``stats()`` unless others are given.

    Without others the durations of requests that were asked for (``durations=True`` of a server) come at the end.
    """
    after = request_durations_text() if stats is None else ""
    if stats is None:
        stats = process.stats()
    lines: list[str] = []
    about = {
        "version": __version__,
        "implementation": stats["implementation"],
        "exporter": stats["exporter"] or "",
        "destination": stats["destination"] or "",
    }
    _family(lines, "info", "gauge", "What runs, and where its spans go.", [(about, 1)])
    states = [({"state": state}, stats[state]) for state in _FINAL_STATES]
    _family(lines, "spans_total", "counter", "Spans whose fate is known, besides the dropped.", states)
    reasons = [({"reason": reason}, count) for reason, count in stats["dropped"].items()]
    _family(lines, "spans_dropped_total", "counter", "Spans that were lost, by reason.", reasons)
    kept = [({"reason": reason}, count) for reason, count in stats["kept_traces"].items()]
    _family(lines, "kept_traces_total", "counter", "Traces that tail rules have kept, by reason.", kept)
    for name, kind, key, text in _FIGURES:
        if stats[key] is not None:
            _family(lines, name, kind, text, [({}, stats[key])])
    return "".join(lines) + after


def request_durations_text() -> str:
    """How long requests took, as the histogram ``http_server_request_duration_seconds``; "" while there are none.

    Labels are the names of OpenTelemetry's ``http.server.request.duration``, with ``_`` for its dots; what exceeds
    the 2,000 combinations that are told apart is labelled ``otel_metric_overflow``.
    """
    name = "http_server_request_duration_seconds"
    lines: list[str] = []
    for key, counts, total in durations.series():
        about = {"otel_metric_overflow": "true"} if key is None else _labels(*key)
        labels, seen = _pairs(about), 0
        for bound, count in zip((*durations.BOUNDS, "+Inf"), counts, strict=True):
            seen += count
            lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {seen}\n')
        lines.append(f"{name}_sum{{{labels}}} {total!r}\n{name}_count{{{labels}}} {seen}\n")
    if not lines:
        return ""
    return f"# HELP {name} Duration of HTTP server requests.\n# TYPE {name} histogram\n" + "".join(lines)


def _labels(method: str, route: str, status: int) -> dict[str, str]:
    labels = {"http_request_method": method}
    if route:
        labels["http_route"] = route
    if status:
        labels["http_response_status_code"] = str(status)
    return labels


def _family(lines: list[str], name: str, kind: str, text: str, samples: list[tuple[dict[str, str], float]]) -> None:
    lines.append(f"# HELP fasttrace_{name} {text}\n# TYPE fasttrace_{name} {kind}\n")
    for labels, value in samples:
        pairs = _pairs(labels)
        lines.append(f"fasttrace_{name}{f'{{{pairs}}}' if pairs else ''} {value + 0!r}\n")  # + 0: True is 1


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())


def _escaped(value: str) -> str:
    """A label's value; what UTF-8 does not have is a question mark."""
    value = value.encode(errors="replace").decode()
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
