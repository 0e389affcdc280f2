"""A real server on the loopback, and what its tests have in common."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from fasttrace._core.types import SpanData

Spans = Callable[[], list[SpanData]]


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI application from a thread; gives its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="auto", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
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
    deadline = time.monotonic() + 10
    while len(found := ended()) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(found) == count, [data.name for data in found]
    return found


def shown(*spans: SpanData) -> str:
    """All the text of spans, to look for what must not be there."""
    return repr([(data.name, data.attributes, data.events, data.status) for data in spans])
