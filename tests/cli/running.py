"""Programs under ``fasttrace run``, and what they left in the spool."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fasttrace._core.types import SpanData
from fasttrace.local.store import Store

FASTTRACE = [sys.executable, "-m", "fasttrace", "run"]


class Runner:
    """A folder with a spool and the environment of the programs in it; no setting of the machine reaches them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / ".fasttrace" / "spool"
        (folder / "pyproject.toml").touch()  # the spool is this folder's, whatever is above
        ours = ("FASTTRACE_", "OTEL_", "PYTHON")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
        self.environment["PYTHONDONTWRITEBYTECODE"] = "1"
        if "FASTTRACE_IMPL" in os.environ:
            self.environment["FASTTRACE_IMPL"] = os.environ["FASTTRACE_IMPL"]

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def start(self, *command: str, prefix: list[str] = FASTTRACE, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [*prefix, *command], cwd=self.folder, env=self.environment, text=True, **{**pipes, **options}
        )

    def run(self, *command: str, stdin: str = "", prefix: list[str] = FASTTRACE) -> subprocess.CompletedProcess[str]:
        with self.start(*command, prefix=prefix) as process:
            out, err = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def spans(self, count: int = 0) -> list[SpanData]:
        """What is in the spool, once there are so many."""
        deadline = time.monotonic() + 60
        while len(found := list(Store(self.spool).spans())) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return found
