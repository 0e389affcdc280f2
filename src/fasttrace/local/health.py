"""How tracing goes in each process that writes to a spool, as they say it themselves beside the segments.

Plain dicts that ``json`` takes. Instants are nanoseconds since 1970, as text, since browsers' numbers have 53 bits.
"""

from __future__ import annotations

import os
from typing import Any

from fasttrace.export import stats_file
from fasttrace.export.stats_file import ProcessStats
from fasttrace.local.text import plural

_FIGURES = ("active", "queued", "max_queue_spans", "held", "spooled", "exported", "sampled_out", "stats_file_errors")


def processes(directory: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Each process: ``service``, ``pid``, ``state`` (running, ended, or gone without a last word), its figures.

    ``dropped`` has the lost spans by reason; ``cost`` what tracing takes of the process, as ``fasttrace.stats`` names
    it. Those that run come first. Never raises.
    """
    return [_process(one) for one in stats_file.read(directory)]


def _process(one: ProcessStats) -> dict[str, Any]:
    return {
        "service": one.service,
        "pid": one.pid,
        "state": one.state,
        "start_ns": str(one.start_ns),
        "written_ns": str(one.written_ns),
        **{name: one.stats[name] for name in _FIGURES},
        "dropped": one.dropped,
        "cost": _cost(one.stats),
        "last_error": one.stats["last_error"],
        "implementation": one.stats["implementation"],
    }


def _cost(stats: dict[str, Any]) -> dict[str, float]:
    """The figures of CPU and cost, those of a group of them by their own names."""
    found: dict[str, float] = {}
    for name, value in stats.items():
        if "cost" in name or "cpu" in name:
            group = value if isinstance(value, dict) else {name: value}
            found |= {
                key: number
                for key, number in group.items()
                if isinstance(number, int | float) and not isinstance(number, bool)
            }
    return found


class Losses:
    """The spans that all processes of a spool have lost: how many, by reason, and whose."""

    __slots__ = ("processes", "reasons", "spans")

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        losers = [one for one in stats_file.read(directory) if one.dropped]
        self.reasons: dict[str, int] = {}
        for one in losers:
            for reason, count in one.dropped.items():
                self.reasons[reason] = self.reasons.get(reason, 0) + count
        self.spans: int = sum(self.reasons.values())
        self.processes: list[tuple[str, int]] = [(one.service, one.pid) for one in losers]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {"spans": self.spans, "reasons": self.reasons, "processes": len(self.processes)}

    def sentence(self) -> str:
        """``12 spans were dropped by shop, pid 4711 (queue_full 12)``; of several processes how many they are."""
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.reasons.items()))
        if len(self.processes) == 1:
            service, pid = self.processes[0]
            by = f"{service}, pid {pid}"
        else:
            by = plural(len(self.processes), "process", "processes")
        was = "was" if self.spans == 1 else "were"
        return f"{plural(self.spans, 'span')} {was} dropped by {by} ({reasons})"
