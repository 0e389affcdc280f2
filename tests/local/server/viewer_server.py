"""A real server in a thread, over a spool in a folder."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from fasttrace.export.spool import SpoolExporter
from fasttrace.local.index import Index
from fasttrace.local.server.app import build
from fasttrace.local.server.receiver import Receiver
from fasttrace.local.server.run import Server, configure, listen
from fasttrace.local.store import Store


class Running:
    """A server that answers at ``url``; ``receiver`` writes to ``spool``."""

    def __init__(self, spool: Path, *, token: str | None = None, hosts: tuple[str, ...] = (), **limits: Any) -> None:
        self.spool = spool
        self.receiver = Receiver(SpoolExporter(spool), **limits)
        self.app = build(lambda: Index(spool), receiver=self.receiver, token=token, hosts=hosts)
        self._socket = listen("127.0.0.1", 0, "--port")
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        started = threading.Event()
        self._server = Server(configure(self.app), started.set, self.app.state.readers.stop)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([self._socket])), daemon=True)
        self._thread.start()
        assert started.wait(30)
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of an answer with status 200."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def spans(self) -> list[Any]:
        """What stands in the spool."""
        return list(Store(self.spool).spans())

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives when it is true."""
        deadline = time.monotonic() + 60
        while not (found := condition()):
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.05)
        return found

    def close(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
