"""The page of ``fasttrace serve``, from the demo's own process for as long as the shop is open."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Self

from fasttrace.demo.processes import DemoError
from fasttrace.local.index import Index
from fasttrace.local.server.app import build
from fasttrace.local.server.run import ServeError, Server, configure, listen

PORT = 4320
HOST = "127.0.0.1"
START_SECONDS = 30.0


class Page:
    """The page over one spool, at ``url`` once it is entered; on any free port where the usual one is taken."""

    def __init__(self, spool: Path) -> None:
        try:
            self._socket = listen(HOST, PORT, "--port")
        except ServeError:
            self._socket = listen(HOST, 0, "--port")
        self.url: str = f"http://{HOST}:{self._socket.getsockname()[1]}/"
        app = build(lambda: Index(spool))
        self._started = threading.Event()
        self._server = Server(configure(app), self._started.set, app.state.readers.stop)
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise DemoError(f"the page was not there within {START_SECONDS:.0f} s: is the machine very busy?")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
