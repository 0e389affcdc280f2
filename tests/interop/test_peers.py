"""The harness itself: nothing outlives the tests, installations are whole or not there, and what is missing has a name."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from listeners import beyond_loopback, marked
from recipes import _running, _store, load, names
from recipes._peer import MissingError, Peer, Place

TOOLS = Path(__file__).parents[2] / "tools"
SERVER = """
import signal, socket, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"])
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""


def _stubborn(place: Place) -> list[str]:
    """A server with a child, both deaf to SIGTERM."""
    return [sys.executable, "-c", SERVER, place.options.get("host", "127.0.0.1"), str(place.ports["main"])]


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Peer:
    """A recipe of ours in a cache of its own."""
    peer = Peer("ours", "1", lambda into: (into / "here").touch(), _stubborn, ("main",))
    monkeypatch.setenv("FASTTRACE_PEERS", str(tmp_path / "cache"))
    monkeypatch.setattr("recipes._running.load", lambda name: peer)
    monkeypatch.setattr("recipes._store.load", lambda name: peer)
    monkeypatch.setattr(_running, "GRACE_SECONDS", 0.1)
    return peer


def _gone(variable: str, value: str) -> bool:
    deadline = time.monotonic() + 60
    while marked(variable, value) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not marked(variable, value)


def test_a_peer_and_its_children_end_with_the_test(stubborn: Peer, tmp_path: Path) -> None:
    _store.install("stubborn")
    with _running.start("stubborn", tmp_path, environment={"STUBBORN": str(tmp_path)}) as running:
        assert len(marked("STUBBORN", str(tmp_path))) == 3  # the keeper, the server, its child
        assert running.log() == "listening\n"
    assert _gone("STUBBORN", str(tmp_path))


def test_a_peer_and_its_children_end_when_the_tests_are_killed(tmp_path: Path) -> None:
    keeper = str(TOOLS / "recipes" / "_keeper.py")
    port = _running.free_ports(["main"])["main"]
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-I', {keeper!r}, '0.1', sys.executable, '-c', {SERVER!r}, '127.0.0.1', '{port}'],"
        " stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "STUBBORN": str(tmp_path)}, stdout=subprocess.PIPE
    )
    assert tests.stdout is not None
    assert tests.stdout.readline() == b"listening\n"
    assert len(marked("STUBBORN", str(tmp_path))) == 4
    tests.send_signal(signal.SIGKILL)
    tests.wait()
    tests.stdout.close()
    assert _gone("STUBBORN", str(tmp_path))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_on_more_than_the_loopback_is_seen(stubborn: Peer, tmp_path: Path, host: str) -> None:
    if host == "::" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    with socket.create_server(("127.0.0.1", 0)) as good:
        assert beyond_loopback({os.getpid(): "us"}) == []
        family = socket.AF_INET6 if host == "::" else socket.AF_INET
        with socket.socket(family) as bad:
            try:
                bad.bind((host, 0))
            except OSError:
                pytest.skip("no IPv6 here")
            bad.listen()
            (found,) = beyond_loopback({os.getpid(): "us"})
            assert f"{host}:{bad.getsockname()[1]} us" in found
            assert str(good.getsockname()[1]) not in found


def test_a_peer_that_does_not_start_says_so_with_its_log(
    stubborn: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _store.install("stubborn")
    with pytest.raises(_running.FailedError, match="Cannot assign requested address"):
        _running.start("stubborn", tmp_path, host="192.0.2.1")


def test_a_failed_installation_leaves_nothing_and_is_told_by_name(
    stubborn: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(into: Path) -> None:
        (into / "half").touch()
        raise MissingError("the registry is out of reach")

    monkeypatch.setattr(_store, "load", lambda name: Peer("ours", "1", fail, _stubborn, ("main",)))
    with pytest.raises(MissingError, match="out of reach"):
        _store.install("stubborn")
    assert sorted(path.name for path in _store.cache().iterdir()) == ["stubborn-1.lock", "stubborn-1.missing"]
    with pytest.raises(MissingError, match="stubborn: the registry is out of reach"):
        _running.start("stubborn", tmp_path)


def test_two_that_install_the_same_peer_install_it_once(stubborn: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[Path] = []

    def install(into: Path) -> None:
        time.sleep(0.1)
        installed.append(into)

    monkeypatch.setattr(_store, "load", lambda name: Peer("ours", "1", install, _stubborn, ("main",)))
    threads = [threading.Thread(target=_store.install, args=("stubborn",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(installed) == 1
    assert _store.folder_of("stubborn").resolve() == installed[0]


def test_the_command_names_what_is_missing_and_fails(tmp_path: Path) -> None:
    run = _peers(tmp_path, "list")
    assert run.returncode == 0
    assert [line.split()[0] for line in run.stdout.splitlines()] == names()
    assert all("missing: " in line for line in run.stdout.splitlines())
    nowhere = {"PATH": str(tmp_path)}
    compiled = [name for name in names() if load(name).kind == "compiled"]
    run = _peers(tmp_path, "install", *compiled, **nowhere)
    assert run.returncode == 1
    assert run.stderr == f"missing: {', '.join(compiled)}\n"
    assert all(re.search(rf"^{name} .*missing: needs \w+", run.stdout, re.MULTILINE) for name in compiled)
    assert "use one of" in _peers(tmp_path, "install", "no-such-peer").stderr


def test_a_missing_peer_fails_the_run_that_promised_it_by_name(tmp_path: Path) -> None:
    environment = {**os.environ, "FASTTRACE_PEERS": str(tmp_path / "empty"), "INTEROP_PROMISED": "all"}
    environment.pop("INTEROP_RECORD", None)
    test = (
        f"{Path(__file__).with_name('test_otelcol.py')}::test_every_field_arrives_as_it_was_recorded[cython-http-none]"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "a peer that was promised is missing: otelcol: " in run.stdout


def _peers(tmp_path: Path, *arguments: str, **variables: str) -> Any:
    return subprocess.run(
        [sys.executable, str(TOOLS / "peers"), *arguments],
        env={**os.environ, "FASTTRACE_PEERS": str(tmp_path / "empty"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_start_and_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command, with a recipe of ours beside the others."""
    tools = tmp_path / "tools"
    (tools / "recipes").mkdir(parents=True)
    for path in [TOOLS / "peers", *(TOOLS / "recipes").glob("_*.py")]:
        (tools / path.relative_to(TOOLS)).write_bytes(path.read_bytes())
    (tools / "recipes" / "ours.py").write_text(
        "import sys\nfrom recipes._peer import Peer\n"
        "PEER = Peer('ours', '1', lambda into: None,"
        " lambda place: [sys.executable, '-m', 'http.server', '--bind', '127.0.0.1', str(place.ports['main'])], ('main',))\n"
    )
    environment = {**os.environ, "FASTTRACE_PEERS": str(tmp_path / "cache"), "OURS": str(tmp_path)}

    def peers(*arguments: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, str(tools / "peers"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return SimpleNamespace(lines=done.stdout.splitlines())

    peers("install", "ours")
    port = _running.free_ports(["main"])["main"]
    lines = peers("start", "ours", "--port", str(port)).lines
    assert lines[1].split() == ["main", f"127.0.0.1:{port}"]
    assert len(marked("OURS", str(tmp_path))) == 1
    assert peers("stop").lines == ["ours: stopped"]
    assert _gone("OURS", str(tmp_path))
