"""The README as a new user follows it, from top to bottom: from a clone to the waterfall, then every other block of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from building import left_out

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w*)\n(.+?)\n```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
DEMO, INSTRUMENT, IMPLEMENTATION = "fasttrace demo", "fasttrace run", "fasttrace.implementation()"
NOT_RUN = {"./scripts/test": "it is what runs this"}
APPLICATION = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

app = Starlette(routes=[Route("/orders/{id}", lambda request: PlainTextResponse("here"))])
"""

pytestmark = [
    pytest.mark.build,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough"),
]


def block(marker: str) -> str:
    (found,) = [code for language, code in BLOCKS if language == "sh" and marker in code]
    return found


class Shell:
    """A user's shell in a clone: the Python that is here, or the one of the environment once it is made."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("FASTTRACE_", "OTEL_", "PYTHON"))
        }
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{self.environment['PATH']}"

    def __call__(self, command: str, folder: Path | None = None) -> str:
        """What it prints; it must succeed."""
        run = subprocess.run(
            command, shell=True, cwd=folder or self.clone, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, str]:
    """A shell in a clone in which the first command of all has made the environment, and what that printed."""
    clone = tmp_path_factory.mktemp("clone") / "fasttrace"
    shutil.copytree(ROOT, clone, ignore=left_out)
    shell = Shell(clone)
    printed = shell(block(DEMO))
    shell.environment["PATH"] = f"{clone / '.venv/bin'}:{shell.environment['PATH']}"
    return shell, printed


def test_every_block_is_run_or_says_why_not() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python"}
    for language, code in BLOCKS:
        if language == "sh" and not any(marker in code for marker in (DEMO, INSTRUMENT, IMPLEMENTATION)):
            assert code in NOT_RUN, code


def test_one_command_sets_up_and_runs_the_demo(demo: tuple[Shell, str]) -> None:
    shell, printed = demo
    assert len(block(DEMO).splitlines()) == 1
    assert "The slowest of 60 requests" in printed
    assert "inventory is the bottleneck" in " ".join(printed.split())
    shown = shell("fasttrace show slow")
    for service in ("gateway", "checkout", "inventory", "payments", "shipping"):
        assert service in shown


def test_the_python_blocks_run_one_after_the_other(demo: tuple[Shell, str], tmp_path: Path) -> None:
    code = [code for language, code in BLOCKS if language == "python"]
    (tmp_path / "readme.py").write_text("\n".join([*code, "assert 'traceparent' in headers"]))
    demo[0]("python readme.py", tmp_path)
    assert "POST /checkout" in demo[0]("fasttrace ls", tmp_path)


def test_the_compiled_implementation_runs_and_says_so(demo: tuple[Shell, str]) -> None:
    printed = demo[0](block(IMPLEMENTATION)).strip()
    assert printed == "('cython', 'compiled extension loaded')"
    assert f"`{printed}`" in (ROOT / "README.md").read_text()


def answer(port: int) -> bytes:
    """What the application says, once it does."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/orders/7", timeout=30) as response:
                return bytes(response.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_a_program_is_traced_without_a_line_of_its_own(demo: tuple[Shell, str], tmp_path: Path) -> None:
    shell, _ = demo
    (run,) = block(INSTRUMENT).splitlines()
    (tmp_path / "app.py").write_text(APPLICATION)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        f"exec {run}", shell=True, cwd=tmp_path, env={**shell.environment, "UVICORN_PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert answer(port) == b"here"
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    (trace,) = json.loads(shell("fasttrace ls --json", tmp_path))
    assert (trace["name"], trace["service"]) == ("GET /orders/{id}", "checkout")
