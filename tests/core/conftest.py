"""Fixtures of the core's tests: a tracer of one implementation, and both side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from traced import Traced


@pytest.fixture
def make_traced(core: Any) -> Callable[..., Traced]:
    return lambda **arguments: Traced(core, **arguments)


@pytest.fixture
def traced(core: Any) -> Traced:
    return Traced(core)


@pytest.fixture(scope="session")
def both(request: pytest.FixtureRequest) -> list[Any]:
    """Both implementations side by side; they are compared once, in the legs that have the compiled one."""
    if request.config.getoption("--impl") == "python":
        pytest.skip("the twins are compared in the compiled leg")
    from fasttrace import _core

    return [SimpleNamespace(name=name, **_core.load(name)[2]) for name in ("cython", "python")]


@pytest.fixture(autouse=True)
def nothing_stays_current() -> Iterator[None]:
    """No test leaves a span current, in either implementation."""
    yield
    for name in ("_cython", "_python"):
        module = sys.modules.get(f"fasttrace._core.{name}.context")
        assert module is None or module.current_node() is None
