"""The core's tests run on both implementations: fixture ``core``, option ``--impl``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from receiving import Receiver

IMPLEMENTATIONS = ("cython", "python")
# Everything runs on the first Python, with both cores. On the others, unless TEST_EVERYTHING is set, there is left out:
# what no version changes: C by itself, the page in a browser, the manual, programs that show how;
ONCE = frozenset(("browser", "docs", "examples", "native"))
# what stands on the core's contract alone, but with the compiled core on the last Python;
ABOVE = frozenset(("browser", "cli", "demo", "integrations", "local", "opentelemetry", "testing"))
# with the pure core, processes and sockets.
PROCESSES = frozenset(("export", "fork", "stress"))
FIRST, LAST = (3, 11), (3, 13)

# How long an example takes says more of the machine's other work than of ours.
settings.register_profile("without a deadline", parent=settings(), deadline=None)
settings.load_profile("without a deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--impl",
        choices=(*IMPLEMENTATIONS, "both"),
        default="both",
        help="the core's implementations to test (default: both; a missing one is an error)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "core" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--impl")
        metafunc.parametrize("core", IMPLEMENTATIONS if chosen == "both" else [chosen], indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    version = sys.version_info[:2]
    if version == FIRST or os.environ.get("TEST_EVERYTHING"):
        return
    for item in items:
        if item.get_closest_marker("servers"):
            item.add_marker(pytest.mark.skip(reason="once is enough: on 3.11"))
    left_out = ONCE if version >= LAST else ONCE | ABOVE
    if config.getoption("--impl") == "python":
        left_out = ONCE | ABOVE | PROCESSES
    here = Path(__file__).parent
    others = [item for item in items if here in item.path.parents and item.path.relative_to(here).parts[0] in left_out]
    if len(others) < len(items):  # unless it is them that were asked for
        chosen = set(others)
        items[:] = [item for item in items if item not in chosen]
        config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Programs started by a shell in the background ignore Ctrl-C, and so would all that the tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def core(request: pytest.FixtureRequest) -> Any:
    """The modules of one implementation, and its name."""
    from fasttrace import _core

    name, _reason, modules = _core.load(request.param)
    assert name == request.param
    return SimpleNamespace(name=name, **modules)


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where undelivered spans wait by default: not in the home of whoever runs the tests."""
    path = tmp_path_factory.mktemp("state")
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(path)
    yield path
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real OTLP receiver on the loopback."""
    server = Receiver()
    yield server
    server.stop()
