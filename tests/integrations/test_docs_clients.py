"""docs/integrations/clients.md: its program runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs" / "integrations" / "clients.md").read_text()


def test_the_program_runs_as_it_stands() -> None:
    match = re.search(r"```python\n(.+?)```", TEXT, re.DOTALL)
    assert match is not None
    run = subprocess.run([sys.executable, "-c", match[1]], capture_output=True, text=True, timeout=60, env=os.environ)
    assert run.returncode == 0, run.stderr
    first, second = run.stderr.splitlines()
    assert "  GET  " in first and "/stock?item=7&token=REDACTED" in first and "s3cret" not in first
    assert "  order  " in second
