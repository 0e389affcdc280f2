"""The storm of forks at a small scale; the full one is for hand and night."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "stress" / "fork_storm.py"


def test_a_storm_of_forks_loses_and_repeats_nothing() -> None:
    command = [sys.executable, str(PROGRAM), "--scale", "0.04"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
