"""What recipes are made of: the ordinary package clients."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from recipes._peer import MissingError

_SHOWN_LINES = 5

# Of a Collector, and of what is built like one.
OTLP_RECEIVER = """\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:${env:PORT_GRPC}
      http:
        endpoint: 127.0.0.1:${env:PORT_HTTP}
"""


def run(command: Sequence[str | Path], *, cwd: Path | None = None, timeout: float = 3600, **variables: str) -> str:
    """The output of a command. Raises MissingError with its last lines when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        raise MissingError(f"{words[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise MissingError(f"{' '.join(words[:4])} took longer than {timeout:.0f} s") from None
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()][-_SHOWN_LINES:]
        raise MissingError(f"{' '.join(words[:4])} exited with {done.returncode}: {' | '.join(lines)}")
    return done.stdout


def programs(**hints: str) -> str | None:
    """What is not on the PATH of ``program="how to get it"``; None when all are there."""
    lacking = [f"{name} ({hint})" for name, hint in hints.items() if shutil.which(name) is None]
    return f"needs {', '.join(lacking)}" if lacking else None


def venv(into: Path, *requirements: str, python: str | Path | None = None) -> None:
    """A virtual environment at ``into`` with these, by pip; with this Python, or the one that runs this."""
    # A venv made by a venv's Python would stand on the latter, which may go.
    base = python or getattr(sys, "_base_executable", sys.executable)
    run([base, "-m", "venv", into])
    pip = [into / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, *requirements], timeout=600)


def go_needed(at_least: tuple[int, int]) -> str | None:
    """What is lacking to compile Go programs."""
    wanted = ".".join(map(str, at_least))
    if shutil.which("go") is None:
        return f"needs go {wanted} or later on the PATH"
    found = re.search(r"go(\d+)\.(\d+)", run(["go", "version"]))
    if found is None or (int(found[1]), int(found[2])) < at_least:
        return f"needs go {wanted} or later; `go version` says {found[0] if found else 'nothing'}"
    return None


def go_build(source: Path, package: str, binary: Path, variables: Mapping[str, str]) -> None:
    """Compile a package of the module at ``source``; ``variables`` are Go's string variables that are set in it."""
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())])
    build = ["go", "build", "-p", "2", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", binary, package]
    run(["nice", "-n", "10", *build], cwd=source, CGO_ENABLED="0", GOFLAGS="")


def revision(*paths: Path) -> str:
    """A short hash of files: another one for another way to make the same version."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
