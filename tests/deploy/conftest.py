"""What stands below deploy/ is looked at once: on the first Python and with one core, since neither changes it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("TEST_EVERYTHING"):
        return
    once = sys.version_info[:2] == (3, 11) and config.getoption("--impl") != "python"
    others = [item for item in items if HERE not in item.path.parents]
    if not once and others:  # unless it is these that were asked for
        config.hook.pytest_deselected(items=[item for item in items if HERE in item.path.parents])
        items[:] = others
