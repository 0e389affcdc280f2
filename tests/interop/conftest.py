"""Peers for tests: started on free ports of the loopback, stopped whatever happens, missing ones told by name.

A test says with ``@pytest.mark.engines(name, ..., tested="what it proves")`` which peers it is about. It runs when the
marker ``interop`` or this folder is asked for, as ``scripts/interop`` does. What passed is written to the file that
INTEROP_RECORD names.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
sys.path.append(str(Path(__file__).parents[1] / "export"))  # receivers that the official classes decode for

from listeners import beyond_loopback, marked
from recipes import _running, load
from recipes._peer import MissingError

HERE = Path(__file__).parent
StartPeer = Callable[..., _running.Running]
MARK = "INTEROP_SESSION"
SESSION = uuid.uuid4().hex
ALIVE: list[_running.Running] = []
STARTED: set[str] = set()
RECORD: list[dict[str, str]] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if HERE in item.path.parents and item.get_closest_marker("engines")]
    for item in ours:
        item.add_marker(pytest.mark.interop)
    named = [Path(argument.partition("::")[0]).absolute() for argument in config.invocation_params.args]
    if "interop" in (config.getoption("markexpr") or "") or any(HERE in (path, *path.parents) for path in named):
        return
    if sys.version_info[:2] != (3, 11) or config.getoption("--impl") == "python":
        ours = [item for item in items if HERE in item.path.parents]  # once is enough of what is about the harness
    left_out = set(ours)
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=ours)


# --- peers


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Every process that a test starts inherits a mark, by which those are found that are left at the end."""
    os.environ[MARK] = SESSION
    yield
    deadline = time.monotonic() + 60
    while (left := marked(MARK, SESSION)) and time.monotonic() < deadline:
        time.sleep(0.05)
    del os.environ[MARK]
    assert not left, f"still running: {left}"


def _missing(name: str, why: str) -> None:
    promised = os.environ.get("INTEROP_PROMISED", "")
    if promised == "all" or (promised and load(name).promised):
        pytest.fail(f"a peer that was promised is missing: {why}")
    pytest.skip(why)


def _starting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPeer]:
    running: list[_running.Running] = []

    def start(name: str, **options: Any) -> _running.Running:
        try:
            peer = _running.start(name, tmp_path_factory.mktemp(name), **options)
        except MissingError as error:
            _missing(name, str(error))
            raise
        running.append(peer)
        ALIVE.append(peer)
        STARTED.add(name)
        _only_loopback()
        return peer

    try:
        yield start
        _only_loopback()
    finally:
        for peer in reversed(running):
            peer.stop()
            ALIVE.remove(peer)


def _only_loopback() -> None:
    ours = {**marked(MARK, SESSION), os.getpid(): "the tests"}
    assert not beyond_loopback(ours), "a process of the tests listens on more than the loopback"


@pytest.fixture
def start_peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPeer]:
    """Start a peer by its name, until the test's end: its recipe's options, ``ports``, ``more_ports``, ``environment``."""
    yield from _starting(request, tmp_path_factory)


@pytest.fixture(scope="module")
def start_shared_peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPeer]:
    """As ``start_peer``, until the end of the file."""
    yield from _starting(request, tmp_path_factory)


@pytest.fixture(params=["cython", "python"])
def impl(request: pytest.FixtureRequest) -> str:
    """The core for programs that a test starts: their FASTTRACE_IMPL."""
    chosen = request.config.getoption("--impl")
    if chosen not in ("both", request.param):
        pytest.skip(f"--impl {chosen}")
    return str(request.param)


@pytest.fixture(autouse=True)
def no_certificates_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


# --- reports


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    mark = item.get_closest_marker("engines")
    if mark is None:
        return report
    if report.failed:
        report.sections += [(f"log of {peer.name} {peer.version}", peer.log_end()) for peer in ALIVE]
    elif report.when == "call" and report.passed:
        core = item.callspec.params.get("impl", "") if hasattr(item, "callspec") else ""  # fixtures' parameters, too
        test = item.nodeid.partition("[")[0].rpartition("tests/")[2]
        for name in mark.args:
            assert name in STARTED, f"{item.nodeid} is marked with {name}, which it did not start"
            RECORD.append(
                {
                    "engine": name,
                    "version": load(name).version,
                    "tested": mark.kwargs["tested"],
                    "core": core,
                    "test": test,
                }
            )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = os.environ.get("INTEROP_RECORD")
    if path:
        Path(path).write_text(json.dumps(RECORD, indent=1) + "\n")
