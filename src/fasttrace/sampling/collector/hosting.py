"""What a Collector has beside its pipeline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hosting:
    """Probes, figures and a place for what waits; each None for without.

    ``health`` and ``metrics`` are ``host:port`` for probes and for Prometheus, ``data_dir`` a folder that is there
    and can be written: spans that wait go there, in a store the traces. ``queue_bytes`` is how much may wait for one
    receiver (100 MB in memory, 1 GB on disk).
    """

    health: str | None = None
    metrics: str | None = None
    data_dir: str | None = None
    queue_bytes: int | None = None
