"""A budget of CPU: what is given up, in which order, when it comes back, and that all of it is told."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest

import fasttrace
from fasttrace import config
from fasttrace.errors import ConfigurationError
from fasttrace.sampling.budget import HALVINGS, HOLD_SECONDS, LAST_STEP, MAX_HOLD_SECONDS, Budget


class Process:
    """A process that uses a whole core, of which tracing takes ``share``; and what its budget has asked for."""

    def __init__(self, max_cpu_ratio: float = 0.03, ratio: float | None = None) -> None:
        self.now, self.own, self.whole = 1000.0, 0.0, 0.0
        self.share, self.used = 0.0, 1.0
        self.ratio = ratio
        self.applied: list[tuple[int, float]] = []
        self.budget = Budget(
            max_cpu_ratio,
            lambda: (self.own, self.whole),
            lambda *wanted: self.applied.append(wanted),
            lambda: self.ratio,
            lambda: self.now,
        )
        self.budget.look()

    def run(self, seconds: int, share: float | None = None) -> None:
        if share is not None:
            self.share = share
        for _ in range(seconds):
            self.now += 1
            self.whole += self.used
            self.own += self.used * self.share
            self.budget.look()


def test_within_the_budget_nothing_changes() -> None:
    process = Process()
    process.run(1000, share=0.0299)
    assert (process.applied, process.budget.step) == ([], 0)


def test_detail_goes_first_and_then_the_ratio_is_halved_until_there_is_no_more() -> None:
    process = Process()
    process.run(100, share=0.04)
    assert process.applied == [(1, 1.0), (2, 1.0), *((2, 0.5**halving) for halving in range(1, HALVINGS + 1))]
    assert process.budget.step == LAST_STEP


def test_it_stops_where_the_bill_fits() -> None:
    process = Process()
    process.run(4, share=0.05)
    process.run(100, share=0.02)
    assert process.applied == [(1, 1.0), (2, 1.0)]


def test_the_further_above_the_larger_the_steps_of_the_ratio() -> None:
    process = Process()
    process.run(6, share=0.2)
    assert process.applied == [(1, 1.0), (2, 1.0), (2, 0.125)]


def test_the_ratio_is_halved_from_what_the_sampler_has() -> None:
    process = Process(ratio=0.1)
    process.run(6, share=0.04)
    assert process.applied[-1] == (2, 0.05)
    process.ratio = 0.4
    process.run(1)
    assert process.applied[-1] == (2, 0.2)


def test_one_look_above_it_is_an_accident() -> None:
    process = Process()
    for _ in range(50):
        process.run(1, share=0.9)
        process.run(1, share=0.01)
    assert process.applied == []


def test_a_process_that_does_nearly_nothing_is_left_alone() -> None:
    process = Process()
    process.used = 0.019
    process.run(100, share=1.0)
    assert process.applied == []
    process.used = 0.021
    process.run(2)
    assert process.applied == [(1, 1.0)]


def test_it_comes_back_step_by_step_only_when_the_bill_is_half_of_it() -> None:
    process = Process()
    process.run(6, share=0.04)
    del process.applied[:]
    process.run(1000, share=0.016)
    assert process.applied == []
    process.run(int(HOLD_SECONDS) - 1, share=0.014)
    assert process.applied == []
    process.run(3 * int(HOLD_SECONDS) + 1)
    assert process.applied == [(2, 1.0), (1, 1.0), (0, 1.0)]
    assert process.budget.step == 0


def test_what_was_taken_back_too_early_is_tried_again_ever_later() -> None:
    process = Process()
    changes = []
    process.share = 0.05
    for second in range(4000):
        process.run(1, share=0.05 if process.budget.step == 0 else 0.01)
        if process.applied:
            changes += [(second, detail) for detail, _ in process.applied]
            del process.applied[:]
    raised = [second for second, detail in changes if detail == 0]
    pauses = [after - before for before, after in pairwise(raised)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(2 * HOLD_SECONDS, abs=5)
    assert pauses[-1] == pytest.approx(MAX_HOLD_SECONDS, abs=5)


def test_an_hour_asleep_is_calm_enough() -> None:
    process = Process()
    process.run(4, share=0.05)
    process.now += 3600
    process.budget.look()
    assert process.applied[-1] == (1, 1.0)


def test_it_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    with caplog.at_level(logging.WARNING, "fasttrace"):
        process.run(20, share=0.05)
        assert ["5.0 %" in line and "max_cpu_ratio=0.03" in line for line in caplog.messages] == [True]
        assert process.budget.state() == {
            "max_cpu_ratio": 0.03,
            "cpu_ratio": 0.05,
            "detail": "bare",
            "max_ratio": 0.5**8,
            "lowered": 10,
        }
        process.run(10 * int(HOLD_SECONDS) + 5, share=0.0)
    assert len(caplog.messages) == 2
    assert "everything is recorded" in caplog.messages[1]


def test_a_restart_begins_with_everything() -> None:
    process = Process()
    process.run(20, share=0.05)
    process.budget.restart()
    assert process.applied[-1] == (0, 1.0)
    assert process.budget.state()["lowered"] == 0


@pytest.mark.parametrize(("given", "read"), [(0.03, 0.03), ("3%", 0.03), (" 0.5 % ", 0.005), (1, 1.0), ("0.1", 0.1)])
def test_the_setting_is_a_share(given: Any, read: float) -> None:
    assert config.resolve({"max_cpu_ratio": given}, {}).max_cpu_ratio == pytest.approx(read)
    assert config.resolve({}, {"FASTTRACE_MAX_CPU_RATIO": str(given)}).max_cpu_ratio == pytest.approx(read)
    assert config.resolve({}, {}).max_cpu_ratio is None


@pytest.mark.parametrize("given", [0, "0", 1.1, "120%", -0.1, True, "much", "%", "nan", "1e-3"])
def test_what_is_no_share_is_refused_with_what_is_accepted(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"0\.03 or 3%"):
        fasttrace.TracerProvider(max_cpu_ratio=given)


PROGRAM = """
import json, os, sys
import fasttrace
from fasttrace import pipeline
from fasttrace.sampling import budget

pipeline.TICK_SECONDS = pipeline.POLL_SECONDS = 0.01
budget.HOLD_SECONDS = 3600.0
exporter = fasttrace.export.MemoryExporter()
fasttrace.configure(exporter=exporter, max_cpu_ratio=0.000001, schedule_delay=0.01, max_queue_spans=100_000, **{options})
tracer = fasttrace.get_tracer("spin")

def request():
    with tracer.start_as_current_span("root", attributes={{"user.id": 7, "http.route": "/"}}) as root:
        with tracer.start_as_current_span("inner") as inner:
            assert inner.sampled == root.sampled
            assert fasttrace.inject({{}})["traceparent"].endswith("03" if root.sampled else "02")
        with tracer.start_as_current_span("inner"):
            pass

levels = []
for _ in range(1_000_000):
    request()
    state = fasttrace.stats()["sampling"]["budget"]
    level = (["full", "local_roots", "bare"].index(state["detail"]), -(state["max_ratio"] or 1))
    if not levels or level != levels[-1]:
        levels.append(level)
    if (state["max_ratio"] or 1) <= 1 / 64:
        break
before = fasttrace.stats()
for _ in range(2000):
    request()
assert fasttrace.flush(30)
stats = fasttrace.stats()
pid = os.fork() if {fork} else -1
if pid == 0:
    # It begins where its parent was, until its own thread has looked once.
    while fasttrace.stats()["sampling"]["budget"]["lowered"]:
        request()
    os._exit(0)
if pid > 0:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
roots = [span for span in exporter.spans if span.name == "root"]
print(json.dumps({{
    "levels": levels,
    "details": sorted({{span.attributes.get("fasttrace.detail", "full") for span in roots}}),
    "bare": sorted({{tuple(sorted(span.attributes)) for span in roots if span.attributes.get("fasttrace.detail") == "bare"}}),
    "orphans": sum(span.parent_span_id not in {{root.span_id for root in roots}} for span in exporter.spans if span.name == "inner"),
    "late_exported": stats["exported"] - before["exported"] - before["queued"],
    "late_detail": stats["detail_spans"] - before["detail_spans"],
    "stats": stats,
}}))
"""
PARTS = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")


def spin(options: str = "{}", fork: bool = False) -> Any:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    program = PROGRAM.format(options=options, fork=fork)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=environ)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("max_cpu_ratio=1e-06") == 1, run.stderr
    return json.loads(run.stdout)


def test_a_process_that_only_makes_spans_gives_up_detail_then_traces_and_counts_all_of_it() -> None:
    found = spin()
    levels = [tuple(level) for level in found["levels"]]
    assert levels == sorted(levels)
    assert levels[:3] == [(0, -1), (1, -1), (2, -1)]
    assert levels[-1][1] >= -1 / 64
    assert found["details"] == ["bare", "full", "local_roots"]
    assert found["bare"] == [["fasttrace.detail", "http.route"]]
    assert found["orphans"] == 0
    # Of 2,000 requests a 64th or less, each of one span.
    assert found["late_exported"] < 100
    stats = found["stats"]
    assert stats["detail_spans"] > 0 < stats["detail_attributes"]
    assert stats["started"] == sum(stats[part] for part in PARTS) + sum(stats["dropped"].values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_tail_rules_go_on_judging_and_a_forked_child_begins_with_everything() -> None:
    found = spin("{'sampler': 'always_on', 'tail': 'error,latency=2s'}", fork=True)
    stats = found["stats"]
    assert set(stats["kept_traces"]) <= {"head", "error", "latency"}
    assert stats["started"] == sum(stats[part] for part in PARTS) + sum(stats["dropped"].values())
