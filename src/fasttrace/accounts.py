"""The shape of ``stats()``: every key, always; ``fasttrace.stats`` says what each means."""

from __future__ import annotations

from fasttrace._core import IMPL
from fasttrace._core.layout import DROP_REASONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def blank() -> dict[str, Any]:
    """The accounts of a process that has not begun to trace."""
    return {
        "started": 0,
        "active": 0,
        "abandoned": 0,
        "queued": 0,
        "held": 0,
        "spooled": 0,
        "exported": 0,
        "sampled_out": 0,
        "dropped": dict.fromkeys(DROP_REASONS, 0),
        "queued_bytes": 0,
        "max_queue_spans": 0,
        "max_queue_bytes": 0,
        "held_bytes": 0,
        "held_traces": 0,
        "recall_seconds": 0.0,
        "kept_traces": {},
        "truncated_traces": 0,
        "detail_spans": 0,
        "detail_attributes": 0,
        "sampler_errors": 0,
        "sampling": {},
        "batches": 0,
        "retried_ambiguous": 0,
        "undelivered": 0,
        "replayed": 0,
        "replay_dropped": 0,
        "stats_file_errors": 0,
        "away": False,
        "last_export_time": None,
        "last_error": None,
        "last_error_time": None,
        "span_cpu_microseconds": None,
        "timed_spans": 0,
        "thread_cpu_seconds": 0.0,
        "cpu_seconds": 0.0,
        "cpu_percent": 0.0,
        "exporter": None,
        "destination": None,
        "implementation": IMPL,
    }
