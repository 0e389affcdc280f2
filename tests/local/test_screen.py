"""The screen of ``fasttrace top`` in real terminals: a pseudo-terminal of our own, and tmux."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sample_answers  # noqa: F401  (the directory is importable)

import fasttrace
from fasttrace.export import SpoolExporter
from fasttrace.local.screen import DOWN, END, ENTER, ESCAPE, HOME, PAGE_DOWN, UP, parse_keys

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX systems")

LEFT = "\x1b[?25h\x1b[?1049l"
COMMAND = [sys.executable, "-m", "fasttrace", "top", "--interval", "0.2"]


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ("q", ["q"]),
        ("jk", ["j", "k"]),
        ("\x1b[A\x1b[B", [UP, DOWN]),
        ("\x1bOB\r\n", [DOWN, ENTER, ENTER]),
        ("\x1b", [ESCAPE]),
        ("\x1b[6~\x1b[H\x1b[F", [PAGE_DOWN, HOME, END]),
        ("\x1b[1;5Cq", ["q"]),
        ("\x1b[200~é", ["é"]),
        ("\x1b[", []),
        ("", []),
    ],
)
def test_keys_are_read_from_what_terminals_send(typed: str, keys: list[str]) -> None:
    assert parse_keys(typed) == keys


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A request of two services, the second of which takes the time, and one that fails."""
    spool = tmp_path / "spool"
    start = 1_795_435_421_220_000_000
    web = fasttrace.TracerProvider(service_name="web", exporter=SpoolExporter(spool))
    stock = fasttrace.TracerProvider(service_name="stock", exporter=SpoolExporter(spool))
    server = fasttrace.SpanKind.SERVER
    root = web.get_tracer("t").start_span("GET /basket", kind=server, context=fasttrace.Context(), start_time=start)
    inner = stock.get_tracer("t").start_span("GET /stock", kind=server, context=root, start_time=start + 10**6)
    inner.end(start + 9 * 10**8)
    root.end(start + 10**9)
    failed = web.get_tracer("t").start_span("GET /login", kind=server, context=fasttrace.Context(), start_time=start)
    failed.set_status(fasttrace.StatusCode.ERROR)
    failed.end(start + 10**6)
    assert web.shutdown(timeout=60)
    assert stock.shutdown(timeout=60)
    return spool


class Terminal:
    """A pseudo-terminal with the command at its other side, and what it has written."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self.master, slave = os.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "NO_COLOR": "", **environment},
        )  # fmt: skip
        os.close(slave)

    def until(self, text: str) -> None:
        """Read until ``text`` has been written."""
        end = time.monotonic() + 60
        while text not in self.text:
            assert time.monotonic() < end, self.text
            ready, _, _ = select.select([self.master], [], [], 0.2)
            try:
                self.text += os.read(self.master, 65536).decode("utf-8", "replace") if ready else ""
            except OSError:  # nobody has the other side open any more
                assert text in self.text, self.text

    def press(self, keys: str) -> None:
        self.text = ""
        os.write(self.master, keys.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=60)
        os.close(self.master)


@pytest.fixture
def top(shop: Path) -> Iterator[Terminal]:
    terminal = Terminal([*COMMAND, "--spool", str(shop)])
    terminal.until("self")
    yield terminal
    terminal.close()


def test_q_gives_the_terminal_back(top: Terminal) -> None:
    top.until("/basket")
    top.press("q")
    top.until(LEFT)
    assert top.process.wait(timeout=60) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_gives_the_terminal_back(top: Terminal, number: signal.Signals, code: int) -> None:
    top.until("/basket")
    top.text = ""
    top.process.send_signal(number)
    top.until(LEFT)
    assert top.process.wait(timeout=60) == code


def test_screen_is_drawn_again_when_there_is_something_new(shop: Path, top: Terminal) -> None:
    top.until("/login")
    provider = fasttrace.TracerProvider(service_name="newcomer", exporter=SpoolExporter(shop))
    provider.get_tracer("t").start_span("GET /").end()
    assert provider.shutdown(timeout=60)
    top.until("newcomer")


def test_no_color_has_none(shop: Path) -> None:
    terminal = Terminal([*COMMAND, "--spool", str(shop)], NO_COLOR="1")
    terminal.until("/login")
    terminal.press("q")
    terminal.until(LEFT)
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.text)
    terminal.close()


def test_dumb_terminal_gets_plain_text_once(shop: Path) -> None:
    terminal = Terminal([*COMMAND, "--spool", str(shop)], TERM="dumb")
    terminal.until("/login")
    assert terminal.process.wait(timeout=60) == 0
    assert "\x1b" not in terminal.text
    terminal.close()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed (Debian: apt install tmux)")
def test_session_under_tmux_by_keyboard_alone(shop: Path, tmp_path: Path) -> None:
    socket = str(tmp_path / "tmux")

    def tmux(*argv: str) -> str:
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        command = ["tmux", "-u", "-f", os.devnull, "-S", socket, *argv]
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", env=environment, timeout=30, check=True
        ).stdout

    def screen(*wanted: str) -> list[str]:
        """What is on the screen, as soon as all of ``wanted`` is."""
        until = time.monotonic() + 60
        while True:
            lines = tmux("capture-pane", "-p").splitlines()
            if all(any(text in line for line in lines) for text in wanted) or time.monotonic() > until:
                assert all(any(text in line for line in lines) for text in wanted), lines
                return lines
            time.sleep(0.1)

    shell = f"PYTHONIOENCODING=utf-8 {shlex.join([*COMMAND, '--spool', str(shop)])}; echo left with $?; sleep 60"
    tmux("new-session", "-d", "-x", "80", "-y", "20", shell)
    try:
        first = screen("by self", "/basket", "/stock", "q quit")
        assert [line.split()[0] for line in first[3:6]] == ["stock", "web", "web"]
        tmux("send-keys", "e")
        by_errors = screen("by errors")
        assert by_errors[3].split()[:2] == ["web", "GET"]
        assert "/login" in by_errors[3]
        tmux("send-keys", "s")
        screen("by self")
        tmux("send-keys", "Down")
        tmux("send-keys", "Enter")
        screen("GET /stock", "critical path by service", "Diagnosis:", "q back")
        tmux("send-keys", "q")
        screen("by self", "/login")
        tmux("resize-window", "-x", "60", "-y", "12")
        assert all(len(line) <= 60 for line in screen("/login"))
        tmux("send-keys", "q")
        screen("left with 0")
    finally:
        tmux("kill-server")
