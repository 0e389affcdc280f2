"""An example as its README has it: the servers of its first block, the commands of its second, in a folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from receiving import free_port

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.cli import main
from fasttrace.local.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples"
# What ends a server, and what it gets when it does not heed that.
PATIENCE_SECONDS = 30.0


class Example:
    """One example. ``ports`` gives those that its README names others, that are free."""

    def __init__(self, name: str, folder: Path, *ports: int, **environment: str) -> None:
        self.folder = folder / name
        shutil.copytree(EXAMPLES / name, self.folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.db"))
        self.readme = (self.folder / "README.md").read_text("utf-8")
        self.blocks = [block.splitlines() for block in re.findall(r"```sh\n(.+?)```", self.readme, re.DOTALL)]
        self.ports = {port: free_port() for port in ports}
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "FASTTRACE_"))}
        if "FASTTRACE_IMPL" in os.environ:
            mine["FASTTRACE_IMPL"] = os.environ["FASTTRACE_IMPL"]
        path = os.pathsep.join((str(Path(sys.executable).parent), mine.get("PATH", "")))
        # Spans are looked for as soon as they can be there.
        ours = {"PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        self.environment = {**mine, **ours, **environment}

    def command(self, line: str) -> list[str]:
        """A line of the README, with ports that are free."""
        for port, free in self.ports.items():
            line = line.replace(str(port), str(free))
        return shlex.split(line)

    @contextmanager
    def serving(self, *servers: str) -> Iterator[None]:
        """These commands in the background, until all ports are open; then they are ended as supervisors do."""
        with ExitStack() as stack:
            for number, line in enumerate(servers):
                stack.enter_context(self._running(self.command(line), self.folder / f"server-{number}.log"))
            for port in self.ports.values():
                self._wait_for(port)
            yield

    @contextmanager
    def _running(self, command: list[str], log: Path) -> Iterator[None]:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), 5).close()
            except OSError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)

    def log(self) -> str:
        """What the servers have said."""
        return "\n".join(log.read_text("utf-8") for log in sorted(self.folder.glob("server-*.log")))

    def run(self, line: str) -> str:
        """What a command prints, to both streams."""
        if line.startswith("curl "):
            return self._curl(self.command(line)[1:])
        run = subprocess.run(
            self.command(line),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, (line, run.stdout, run.stderr, self.log())
        return run.stdout + run.stderr

    def _curl(self, arguments: list[str]) -> str:
        """The options of curl that the READMEs use, where there may be none."""
        method, body = "GET", None
        while arguments[0].startswith("-"):
            option, value, *arguments = arguments
            assert option in ("-X", "--json")
            method, body = (value, None) if option == "-X" else ("POST", value)
        headers = {"content-type": "application/json"} if body else {}
        (url,) = arguments
        return httpx.request(method, url, content=body, headers=headers, timeout=60, trust_env=False).text

    def spans(self, count: int, kind: SpanKind | None = None) -> list[SpanData]:
        """The spans in the spool in the order in which they began, once there are so many (of a kind)."""
        deadline = time.monotonic() + 60
        while True:
            spans = list(Store(self.folder / ".fasttrace" / "spool").spans())
            found = len([span for span in spans if kind in (None, span.kind)])
            if found >= count:
                assert found == count, [span.name for span in spans]
                return sorted(spans, key=lambda span: span.start_time_ns)
            assert time.monotonic() < deadline, ([span.name for span in spans], self.log())
            time.sleep(0.05)

    def fasttrace(self, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
        """What one of our own commands prints, in the example's folder."""
        with monkeypatch.context() as patch:
            patch.chdir(self.folder)
            for name in [name for name in os.environ if name.startswith(("OTEL_", "FASTTRACE_"))]:
                patch.delenv(name)
            capsys.readouterr()
            assert main(self.command(line)[1:]) == 0
        return capsys.readouterr().out

    def waterfalls(self) -> list[str]:
        """Those that the README shows."""
        return [text for text in re.findall(r"```text\n(.+?)```", self.readme, re.DOTALL) if " self\n" in text]


def rows(waterfall: str) -> list[str]:
    """The tree of names in a waterfall, without services, times, bars and events."""
    lines = waterfall.splitlines()
    head = next(number for number, line in enumerate(lines) if line.endswith(" self"))
    start = lines[head].index(" span ") + 1
    end = lines[head].index(" 0 ", start)
    drawn = lines[head + 1 :]
    names = [line[start:end].rstrip() for line in (drawn[: drawn.index("")] if "" in drawn else drawn)]
    # How often Django sets up its connection depends on its version.
    return [name for name in names if not re.match("[│├└ ]*([·!]|(SELECT|PRAGMA)$)", name)]


def tree(spans: list[SpanData], *attributes: str) -> list[str]:
    """Spans as lines, each below its parent by two blanks: service, name, and the attributes wanted."""
    children: dict[str, list[SpanData]] = {}
    known = {span.span_id for span in spans}
    for span in spans:
        children.setdefault(span.parent_span_id if span.parent_span_id in known else "", []).append(span)

    def lines(parent: str, depth: int) -> Iterator[str]:
        for span in children.get(parent, ()):
            said: list[Any] = [span.attributes[name] for name in attributes if name in span.attributes]
            failed = ["error"] if span.status.status_code.name == "ERROR" else []
            yield "  " * depth + " ".join(map(str, [span.resource["service.name"], span.name, *said, *failed]))
            yield from lines(span.span_id, depth + 1)

    return list(lines("", 0))
