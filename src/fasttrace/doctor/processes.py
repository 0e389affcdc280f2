"""How tracing goes in the processes that write to the spool, or have: from the files that they leave beside it."""

from __future__ import annotations

import os
from typing import Any

from fasttrace.config import Settings
from fasttrace.doctor.report import Report
from fasttrace.export import spool, stats_file
from fasttrace.export.stats_file import ProcessStats

# Of those that lost nothing.
MAX_SHOWN = 20
_ADVICE = {
    "queue_full": "raise FASTTRACE_MAX_QUEUE_SPANS and FASTTRACE_MAX_QUEUE_BYTES, or sample less (FASTTRACE_SAMPLER)",
    "too_large": "above 4 MiB no span is kept: record less in attributes and events",
    "after_shutdown": "end spans before fasttrace.shutdown()",
    "forked": "spans that are begun before a fork and end in the child are lost: begin them in the child",
    "spool_full": "raise FASTTRACE_UNDELIVERED_MAX_BYTES, or see why the receiver is away",
}
_OTHERWISE = "help(fasttrace.stats) says what each reason means"


def examine_processes(report: Report, settings: Settings) -> None:
    """What each process of the spool says of itself; a lost span is a warning."""
    directory = settings.spool_dir or spool.default_directory()
    if not os.path.isdir(directory):
        return
    report.begin("processes")
    found = stats_file.read(directory)
    if not found:
        report.ok("processes", "none has written to this spool", running=0)
        return
    quiet = [one for one in found if not _trouble(one)][:MAX_SHOWN]
    running = sum(one.state == "running" for one in found)
    dropped = sum(sum(one.dropped.values()) for one in found)
    text = f"{running} running, {len(found) - running} that have ended; {dropped:,} spans dropped"
    report.ok("processes", text, running=running, ended=len(found) - running, dropped=dropped)
    for one in found:
        if one in quiet or _trouble(one):
            _tell(report, one)


def _trouble(one: ProcessStats) -> bool:
    return bool(one.dropped) or (one.state == "gone" and one.stats["queued"] > 0)


def _tell(report: Report, one: ProcessStats) -> None:
    stats = one.stats
    state = one.state if one.state != "gone" else "gone without a last word"
    parts = [f"{stats['exported']:,} exported", f"{stats['queued']:,} of {stats['max_queue_spans']:,} queued"]
    parts += [f"{stats[name]:,} {name}" for name in ("held", "spooled") if stats[name]]
    parts += [f"{count:,} dropped ({reason})" for reason, count in one.dropped.items()]
    for name, unit in (("span_cpu_microseconds", "µs of CPU a span"), ("cpu_percent", "% of its CPU time")):
        if isinstance(figure := stats.get(name), int | float):
            parts.append(f"{figure:.2g} {unit}")
    text = f"{one.service}, pid {one.pid}, {state}: {', '.join(parts)}"
    data: dict[str, Any] = {
        "service": one.service,
        "pid": one.pid,
        "state": one.state,
        "start_ns": one.start_ns,
        "written_ns": one.written_ns,
        "dropped": one.dropped,
        "stats": stats,
    }
    if one.dropped:
        report.warning("process", text, "; ".join(_advice(one)), **data)
    elif _trouble(one):
        report.warning("process", text, "it was killed: what was queued then is lost, about a second's spans", **data)
    else:
        report.ok("process", text, **data)


def _advice(one: ProcessStats) -> list[str]:
    found = [_ADVICE[reason] for reason in one.dropped if reason in _ADVICE]
    if len(found) < len(one.dropped):
        found.append(f"the last error was {one.stats['last_error']}" if one.stats["last_error"] else _OTHERWISE)
    return found
