"""Programs of ours that a test starts: in a process group of their own, ended with the test whatever happens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from recipes import _peer, _running

KEEPER = Path(_running.__file__).with_name("_keeper.py")


class Program:
    """A program that runs once it takes connections at ``port``; ``stop`` ends it and its children."""

    def __init__(
        self, command: Sequence[str], port: int, environment: Mapping[str, str], cwd: Path, log_file: Path
    ) -> None:
        self.port, self.log_file = port, log_file
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), str(_running.GRACE_SECONDS), *command],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while not _peer.accepts({"": self.port}):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log_file.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
