"""The README's first command, as a new user types it: from a clone to the waterfall, in a fresh environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.build
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough")
def test_one_command_sets_up_and_runs_the_demo(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## See it work")[2]
    match = re.search(r"```sh\n(.+?)\n```", section, re.DOTALL)
    assert match is not None
    (command,) = match[1].splitlines()
    clone = tmp_path / "clone"
    left_out = shutil.ignore_patterns(
        ".git", ".venv*", "build", "*.so", "__pycache__", ".hypothesis", ".*_cache", ".fasttrace"
    )
    shutil.copytree(ROOT, clone, ignore=left_out)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTTRACE_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    run = subprocess.run(command, shell=True, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "The slowest of 60 requests" in run.stdout
    assert "inventory is the bottleneck" in " ".join(run.stdout.split())
    shown = subprocess.run(
        [".venv/bin/fasttrace", "show", "slow"], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    for service in ("gateway", "checkout", "inventory", "payments", "shipping"):
        assert service in shown.stdout
