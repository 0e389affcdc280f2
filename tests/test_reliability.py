"""docs/reliability.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    line
    for line in (ROOT / "docs" / "reliability.md").read_text().partition("## Promises")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| promise ")
]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:60] for row in ROWS])
def test_every_promise_names_tests_that_exist(row: str) -> None:
    assert row.count("|") == 4
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.split("|")[3])
    assert named, "no test is named"
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


def test_there_are_promises() -> None:
    assert len(ROWS) > 30
