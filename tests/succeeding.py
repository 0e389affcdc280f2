"""Programs that a test runs to their end, and that must succeed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any


def succeed(
    command: Sequence[str], *, quiet: bool = False, timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, within ``timeout`` seconds; with ``quiet`` it must say nothing on standard error."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert not quiet or done.stderr == "", done.stderr
    return done
