"""Virtual environments of the benchmarks, outside of the tree: one per library, for they do not agree on versions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def folder() -> Path:
    """Where they are: by Python's version."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "fasttrace-bench" / f"cpython-{platform.python_version()}"


def python(name: str, requirements: Sequence[str]) -> str | None:
    """The interpreter of an environment that has these; made if need be, None with a message if it can't be."""
    place = folder() / name
    interpreter, mark = place / "bin" / "python", place / "requirements.txt"
    wanted = "\n".join(requirements)
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return str(interpreter)
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
    )
    for step in steps:
        done = subprocess.run(step, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            last = done.stdout.strip().splitlines()[-1:] or ["no message"]
            print(f"{name}: skipped, {', '.join(requirements)} can't be installed: {last[0]}", file=sys.stderr)
            return None
    mark.write_text(wanted, encoding="utf-8")
    return str(interpreter)
