"""``fasttrace serve`` as a process: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fasttrace
from fasttrace.export import SpoolExporter

pytest.importorskip("uvicorn", reason="needs the viewer extra")


@contextmanager
def serving(spool: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and the address of its page."""
    command = [sys.executable, "-m", "fasttrace", "serve", "--spool", str(spool), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.search(r"fasttrace: (http://\S+)", line)
        assert match, line + process.stdout.read()
        yield process, match[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop_even_with_open_pages(spool: Path, signum: int) -> None:
    with serving(spool) as (process, address):
        with urllib.request.urlopen(address + "api/live", timeout=30) as stream:
            assert stream.readline().startswith(b"data: ")
            with urllib.request.urlopen(address + "api/traces", timeout=30) as answer:
                assert "traces" in json.load(answer)
            process.send_signal(signum)
            stream.read()  # it ends
        output, _ = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signum)
        assert "Traceback" not in output


def test_a_host_that_others_reach_wants_a_token(spool: Path) -> None:
    with serving(spool, "--host", "0.0.0.0", "--otlp", "0") as (process, address):
        assert process.stdout is not None
        token = re.fullmatch(r"http://0\.0\.0\.0:(\d+)/\?token=(\S{32})", address)
        assert token
        receiver = process.stdout.readline()
        assert re.search(
            r"OTLP/HTTP at http://0\.0\.0\.0:\d+/v1/traces  with the header Authorization: Bearer ", receiver
        )
        local = f"http://127.0.0.1:{token[1]}"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{local}/api/traces", timeout=30)
        asked = urllib.request.Request(f"{local}/api/traces", headers={"authorization": f"Bearer {token[2]}"})
        assert urllib.request.urlopen(asked, timeout=30).status == 200


def test_json_has_the_addresses_and_the_token_on_one_line(spool: Path) -> None:
    options = ["--port", "0", "--otlp", "0", "--host", "0.0.0.0", "--json"]
    command = [sys.executable, "-m", "fasttrace", "serve", "--spool", str(spool), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())
        local = found["page"].replace("0.0.0.0", "127.0.0.1").partition("/?token=")[0]
        asked = urllib.request.Request(f"{local}/api/traces", headers={"authorization": f"Bearer {found['token']}"})
        status = urllib.request.urlopen(asked, timeout=30).status
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert (status, rest) == (200, "")
    assert found["page"].endswith(f"/?token={found['token']}")
    assert re.fullmatch(r"http://0\.0\.0\.0:\d+/v1/traces", found["otlp"])


def asked_until(url: str, enough: Callable[[Any], bool]) -> Any:
    """What the server says once that is enough, or in the end."""
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(url, timeout=60) as answer:
            found = json.load(answer)
        if enough(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_a_spool_that_is_not_there_yet_fills_up(tmp_path: Path) -> None:
    import fasttrace
    from fasttrace.export import SpoolExporter

    with serving(tmp_path / "later" / "spool") as (_process, address):
        provider = fasttrace.TracerProvider(service_name="x", exporter=SpoolExporter(tmp_path / "later" / "spool"))
        provider.get_tracer("x").start_span("hello").end()
        assert provider.shutdown(timeout=60)
        found = asked_until(address + "api/traces", lambda found: found["traces"] != [])
        assert [trace["name"] for trace in found["traces"]] == ["hello"]
    assert os.stat(tmp_path / "later").st_mode & 0o777 == 0o700


def test_what_is_too_old_or_too_much_goes_by_itself(spool: Path) -> None:
    def finished(age: float) -> Path:
        path = spool / f"{time.time_ns() - int(age * 1e9):020d}-1-00000000.spool"
        path.write_bytes(bytes(3000))
        os.utime(path, (time.time() - age, time.time() - age))
        return path

    def left(*options: str) -> list[bool]:
        paths = [finished(8 * 86400.0), finished(7200.0), finished(1800.0)]
        for path in spool.glob("index-*"):
            path.unlink()
        with serving(spool, *options) as (_process, address):
            # The first look deletes, and then makes the index.
            asked_until(address + "api/health", lambda found: found["index"]["traces"] == 3)
        found = [path.exists() for path in paths]
        for path in paths:
            path.unlink(missing_ok=True)
        return found

    assert left() == [False, True, True]
    assert left("--max-age", "none") == [True, True, True]
    assert left("--max-age", "1h") == [False, False, True]
    assert left("--max-age", "none", "--max-bytes", "8k") == [False, True, True]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-age", "soon"], "argument --max-age: 'soon': use a time above 0, such as 12h or 7d, or none"),
        (["--max-bytes", "0"], "argument --max-bytes: '0': use a size in bytes of at least 1"),
    ],
)
def test_a_bound_that_is_none_is_refused(options: list[str], said: str) -> None:
    command = [sys.executable, "-m", "fasttrace", "serve", *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 2
    assert said in run.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "{taken}"], "fasttrace: port {taken} is in use: choose another with --port, 0 for any free one"),
        (["--port", "0", "--otlp", "{taken}"], "fasttrace: port {taken} is in use: choose another with --otlp, 0 for any free one"),
        (["--host", "256.0.0.1"], "fasttrace: can't listen on 256.0.0.1 port 4320"),
        (["--token", "short"], "fasttrace: --token: use 16 characters or more"),
    ],
)  # fmt: skip
def test_what_can_not_be_served_is_said_in_one_line(spool: Path, options: list[str], said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "fasttrace", "serve", "--spool", str(spool)]
        command += [option.format(taken=port) for option in options]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 1
    assert run.stderr.startswith(said.format(taken=port))
    assert len(run.stderr.splitlines()) == 1


def test_a_terminal_sees_how_far_the_index_is(tmp_path: Path) -> None:
    provider = fasttrace.TracerProvider(service_name="shop", exporter=SpoolExporter(tmp_path / "spool"))
    tracer = provider.get_tracer("tests")
    for number in range(30_000):
        with tracer.start_as_current_span("GET /orders", attributes={"order.note": f"{number:04}" * 20}):
            pass
        if number % 5_000 == 0:
            assert provider.flush(timeout=30)
    assert provider.shutdown(timeout=30)
    controller, terminal = pytest.importorskip("pty", reason="no terminals here").openpty()
    command = [sys.executable, "-m", "fasttrace", "serve", "--spool", str(tmp_path / "spool"), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    try:
        said = b""
        while b"indexing" not in said:
            said += os.read(controller, 4096)  # fails when the server has ended without a word
    finally:
        process.kill()
        process.wait()
        os.close(controller)
