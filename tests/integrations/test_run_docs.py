"""docs/integrations: the examples of the pages on running and on infrastructure run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fasttrace.resource.kubernetes import _VARIABLES

DOCS = Path(__file__).parents[2] / "docs" / "integrations"


@pytest.mark.parametrize("page", ["run", "infrastructure"])
def test_the_example_runs_as_it_stands(page: str) -> None:
    (code,) = re.findall(r"```python\n(.+?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_every_variable_that_is_believed_anywhere_is_named() -> None:
    text = (DOCS / "infrastructure.md").read_text()
    for names in _VARIABLES.values():
        assert names[0] in text
