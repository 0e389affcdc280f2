"""Sockets and the event loop: from ``fasttrace serve`` to Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from typing import Any

import uvicorn

from fasttrace.errors import FasttraceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Beyond it uvicorn answers 503 by itself: open pages hold one connection each, exporters one.
MAX_CONNECTIONS = 256


class ServeError(FasttraceError):
    """A server that can't start; the text says what to do."""


def listen(host: str, port: int, option: str) -> socket.socket:
    """A listening socket. Raises ServeError, which names ``option``, when the port is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host.strip("[]"), port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServeError(f"port {port} is in use: choose another with {option}, 0 for any free one") from None
        raise ServeError(f"can't listen on {host} port {port} ({error.strerror or error})") from None
    found.setblocking(False)
    return found


class Server(uvicorn.Server):
    """Says when it serves, and ends the open streams before it waits for connections to close."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None], on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, and then the announcement."""
        await super().startup(sockets=sockets)
        if self.started:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, after the streams have ended."""
        self._on_stop()
        await super().shutdown(sockets=sockets)


def configure(app: Any) -> uvicorn.Config:
    """How uvicorn runs the application: quietly, and never with more than it can hold."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )


def serve(app: Any, sockets: Sequence[socket.socket], on_start: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM."""
    # A large trace is made of some hundred thousand objects that all stay: looking for cycles in them doubles its time.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    server = Server(configure(app), on_start, app.state.readers.stop)
    asyncio.run(server.serve(list(sockets)))
