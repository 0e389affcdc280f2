"""The stress programs, a hundredth of each; at full scale they run every night."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STRESS = Path(__file__).parents[2] / "stress"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc, forks, and counts what glibc has given out"
)


def run(program: str, *arguments: str) -> str:
    """What a program prints at a small scale; which implementation it uses is the leg's choice."""
    command = [sys.executable, str(STRESS / f"{program}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok" in done.stdout
    return done.stdout


def test_a_flood_against_a_blocked_exporter_costs_spans_and_nothing_else() -> None:
    run("flood", "--scale", "0.02", "--counters-only")


def test_under_chaos_every_span_arrives_or_waits_or_is_counted() -> None:
    run("chaos", "--scale", "0.07")


def test_what_killed_processes_have_written_is_there_once() -> None:
    run("kill", "--scale", "0.02")


def test_memory_stays_flat_on_every_path() -> None:
    run("memory", "--scale", "0.005")


def test_at_the_highest_rate_every_span_arrives_and_memory_stays_flat() -> None:
    run("soak", "--scale", "0.001", "--counters-only")


def test_threads_that_race_for_all_that_is_shared_break_nothing() -> None:
    run("race", "--scale", "0.03")
