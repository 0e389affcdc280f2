"""A real server on the loopback, and what its tests have in common."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

from fasttrace._core.types import SpanData

Spans = Callable[[], list[SpanData]]


class _Quick(uvicorn.Server):
    """One that does not take a tenth of a second to see that it shall end."""

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            await asyncio.sleep(0.01)


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """Serve an ASGI application from a thread; gives its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    quiet = {"log_level": "critical", "access_log": False, "timeout_graceful_shutdown": 2}
    config = uvicorn.Config(app, **{**quiet, **options})
    server = _Quick(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def wait_for(ended: Spans, count: int) -> list[SpanData]:
    """The spans, once there are so many: a server's span may end after its client has the answer."""
    deadline = time.monotonic() + 60
    while len(found := ended()) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(found) == count, [data.name for data in found]
    return found


def shown(*spans: SpanData) -> str:
    """All the text of spans, to look for what must not be there."""
    return repr([(data.name, data.attributes, data.events, data.status) for data in spans])


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of the test's output."""


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass

    def get_stderr(self) -> Any:
        return io.StringIO()


@contextmanager
def serving_wsgi(app: Any) -> Iterator[str]:
    """Serve a WSGI application by the standard library's server, a thread for each connection; gives its URL."""
    with make_server("127.0.0.1", 0, app, _Threaded, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)
