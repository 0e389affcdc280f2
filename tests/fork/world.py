"""The checks that every world of processes must pass, and servers that are really started and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from receiving import Receiver, free_port
from succeeding import succeed

# CPython 3.12 and later warn of a fork while there are threads: ours that is at work, or the test's.
FORKS_WITH_THREADS = ("error", "ignore:This process:DeprecationWarning")
APPS = Path(__file__).with_name("apps")
PARTS = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")


def balanced(stats: dict[str, Any]) -> bool:
    return bool(stats["started"] == sum(stats[part] for part in PARTS) + sum(stats["dropped"].values()))


class World:
    """A folder, a receiver, and the environment of the programs that send to it."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder = folder
        self.receiver = receiver
        self.accounts_path = folder / "accounts"
        self.log = folder / "log"
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(APPS), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            "ACCOUNTS": str(self.accounts_path),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.base,
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def run(self, program: Path | str, *arguments: str, warnings: tuple[str, ...] = ("error",)) -> str:
        """Run a program of one's own to its end: what it printed."""
        options = [f"-W{warning}" for warning in warnings]
        code = (str(program),) if isinstance(program, Path) else ("-c", program)
        command = [sys.executable, *options, *code, *arguments]
        return succeed(command, quiet=True, cwd=self.folder, env=self.environment).stdout

    def accounts(self) -> dict[int, dict[str, Any]]:
        """The last counters of every process that wrote some."""
        lines = self.accounts_path.read_text().splitlines() if self.accounts_path.exists() else []
        return {account["pid"]: account for account in map(json.loads, lines)}

    def check(self, expected: Counter[str] | None = None, unaccounted: int = 0) -> list[list[str]]:
        """All that the processes say they sent has arrived, once, and nothing of it belongs to another process.

        ``unaccounted``: spans of processes that leave no accounts.
        """
        accounts = self.accounts()
        for account in accounts.values():
            assert balanced(account), account
        sent = sum(account["exported"] for account in accounts.values()) + unaccounted
        spans = self.receiver.spans(sent)
        self.check_spans(spans)
        if expected is not None:
            found = Counter(name for *_, name in spans)
            assert found == expected, {"too many": found - expected, "missing": expected - found, "accounts": accounts}
        assert len(spans) == sent, (len(spans), accounts)
        return spans

    @staticmethod
    def check_spans(spans: list[list[str]]) -> None:
        """No span id twice; a trace belongs to one process, as names tell, and a child's parent is in its trace."""
        traces = {span: trace for trace, span, _parent, _name in spans}
        assert len(traces) == len(spans), "a span id came twice"
        processes: dict[str, str] = {}
        for trace, _span, parent, name in spans:
            _, has_process, process = name.rpartition("/")
            assert not has_process or processes.setdefault(trace, process) == process, "two processes share a trace id"
            if name.startswith("inner/"):
                assert traces[parent] == trace


class Server:
    """A server on a free port, ended by SIGTERM as a supervisor does; ``requests`` counts the answers by process."""

    def __init__(self, world: World, command: list[str]) -> None:
        self.world = world
        self.port = free_port()
        self.requests: Counter[str] = Counter()
        self._counting = threading.Lock()
        with world.log.open("ab") as log:
            self.process = subprocess.Popen(
                [part.replace("{port}", str(self.port)) for part in command],
                cwd=world.folder,
                env=world.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Server:
        deadline = time.monotonic() + 60
        try:
            while not self._get():
                assert self.process.poll() is None, self.world.log.read_text()
                assert time.monotonic() < deadline, self.world.log.read_text()
                time.sleep(0.05)
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            if exception[0] is None:
                time.sleep(0.3)  # uWSGI leaves out the exit handlers of a worker that is still closing its last request
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(60)
        finally:
            self._kill()

    def _kill(self) -> None:
        """Whatever is left of the session that the server was started in."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def _get(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20) as answer:
                process = answer.read().decode()
        except OSError:
            return False
        with self._counting:
            self.requests[process] += 1
        return True

    def get(self, count: int, workers: int = 1) -> None:
        """So many requests, several at once, and more until so many processes have answered."""
        deadline = time.monotonic() + 60
        with ThreadPoolExecutor(4) as pool:
            while count > 0 or len(self.requests) < workers:
                assert time.monotonic() < deadline, f"only {len(self.requests)} of {workers} workers answer"
                assert all(pool.map(lambda _: self._get(), range(4))), self.world.log.read_text()[-5000:]
                count -= 4

    def expected(self, *also: str) -> Counter[str]:
        """The names of the spans that the requests made."""
        names: Counter[str] = Counter(also)
        for process, count in self.requests.items():
            names[f"request/{process}"] += count
            names[f"inner/{process}"] += count
        return names
