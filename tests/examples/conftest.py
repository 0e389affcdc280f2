"""Makes the helper of this directory, and the fixtures of others, importable."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integrations")]

from databases import redis_port  # noqa: E402, F401 - a fixture
