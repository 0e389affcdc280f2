"""Builds distributions from a copy of the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# When everything is said to have been made, unless a test says otherwise: 2026-01-01.
EPOCH = "1767225600"
NOT_CLONED = shutil.ignore_patterns(
    ".git", ".venv*", "build", "dist", "*.so", "*.egg-info", "__pycache__", ".hypothesis", ".*_cache", ".fasttrace"
)


def left_out(folder: str, names: list[str]) -> set[str]:
    """What a clone has not: what is built here; these tests it has."""
    return NOT_CLONED(folder, names) - ({"build"} if Path(folder).name == "tests" else set())


def build(source: Path, into: Path, what: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """``python -m build`` with the tools that are installed here."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTTRACE_")}
    environment["SOURCE_DATE_EPOCH"] = EPOCH
    command = [sys.executable, "-m", "build", f"--{what}", "--no-isolation", "--outdir", str(into), str(source)]
    return subprocess.run(
        command, env={**environment, **variables}, capture_output=True, text=True, check=False, timeout=500
    )


def wheel_of(source: Path, folder: Path, **variables: str) -> Path:
    run = build(source, folder, "wheel", **variables)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def copy_of(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources as they came, without what another build left in them."""
    folder = tmp_path_factory.mktemp("copy") / "fasttrace"
    shutil.copytree(sources, folder, ignore=left_out)
    return folder
