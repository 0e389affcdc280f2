"""docs/integrations: the examples of the pages on databases, queues and RPC print what they say."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from succeeding import succeed

DOCS = Path(__file__).parents[2] / "docs" / "integrations"


@pytest.mark.parametrize(
    ("page", "needs", "printed"),
    [
        ("databases", "sqlite3", ["checkout", "CREATE TABLE orders", "INSERT orders", "VALUES (?, ?)"]),
        ("queues", "celery", ["checkout", "send shop.charge"]),
        ("rpc", "grpc", ["checkout", "shop.Stock/Reserve", "NOT_FOUND", "reserving"]),
    ],
)
def test_the_example_prints_what_the_page_says(page: str, needs: str, printed: list[str]) -> None:
    pytest.importorskip(needs)
    code, *_ = re.findall(r"```python\n(.+?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    run = succeed([sys.executable, "-W", "error", "-c", code])
    told = run.stdout + run.stderr
    assert all(words in told for words in printed), told
    assert "bob@example.org" not in told
