"""Both implementations in every benchmark: ``pytest bench --benchmark-only``."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> Any:
    """The modules of one implementation."""
    from fasttrace import _core

    name, _reason, modules = _core.load(request.param)
    assert name == request.param
    return SimpleNamespace(name=name, **modules)


@pytest.fixture(params=["cython", "python", "floor", "otel"])
def subject(request: pytest.FixtureRequest) -> Any:
    """Everything that can run the span cases."""
    from subjects import floor, otel, ours

    makers = {"floor": floor.make, "otel": otel.make}
    maker = makers.get(request.param)
    return maker() if maker else ours.make(request.param)
