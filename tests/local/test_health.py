"""What readers of a spool are told of its processes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import fasttrace
from fasttrace.export import SpoolExporter
from fasttrace.local import health


def told(directory: Path, number: int, **stats: Any) -> None:
    content = {"service": f"s{number}", "pid": number, "written_ns": number, "ended": True, "stats": stats}
    (directory / f"stats-{number}-1.json").write_text(json.dumps(content))


def test_a_process_is_shown_with_its_figures(tmp_path: Path) -> None:
    provider = fasttrace.TracerProvider(service_name="shop", exporter=SpoolExporter(tmp_path))
    for _ in range(3):
        provider.get_tracer("test").start_span("operation").end()
    assert provider.shutdown(20)
    (found,) = health.processes(tmp_path)
    stats = provider.stats()
    assert (found["service"], found["pid"], found["state"]) == ("shop", os.getpid(), "ended")
    assert found["exported"] == 3
    assert {key: found[key] for key in ("queued", "held", "spooled", "sampled_out")} == {
        key: stats[key] for key in ("queued", "held", "spooled", "sampled_out")
    }
    assert found["dropped"] == {}
    assert 0 < found["cost"]["thread_cpu_seconds"] <= stats["thread_cpu_seconds"]


def test_costs_are_whatever_figures_there_are(tmp_path: Path) -> None:
    told(tmp_path, 1, cost={"microseconds_per_span": 0.9, "note": "text"}, own_cost_percent=0.2, thread_cpu_seconds=1.5)
    told(tmp_path, 2)
    second, first = health.processes(tmp_path)
    costs = {"microseconds_per_span": 0.9, "own_cost_percent": 0.2, "thread_cpu_seconds": 1.5}
    assert first["cost"] == {**second["cost"], **costs}
    assert second["cost"]["thread_cpu_seconds"] == 0.0
    assert not set(costs) - {"thread_cpu_seconds"} & set(second["cost"])


def test_losses_are_added_up_and_said_in_a_sentence(tmp_path: Path) -> None:
    told(tmp_path, 1, dropped={"queue_full": 0})
    assert health.Losses(tmp_path).spans == 0
    told(tmp_path, 2, dropped={"queue_full": 1})
    assert health.Losses(tmp_path).sentence() == "1 span was dropped by s2, pid 2 (queue_full 1)"
    told(tmp_path, 3, dropped={"queue_full": 1000, "rejected": 2}, replay_dropped=4)
    losses = health.Losses(tmp_path)
    said = "1,007 spans were dropped by 2 processes (queue_full 1,001, rejected 2, replay_dropped 4)"
    assert losses.sentence() == said
    reasons = {"queue_full": 1001, "rejected": 2, "replay_dropped": 4}
    assert losses.to_dict() == {"spans": 1007, "reasons": reasons, "processes": 2}
