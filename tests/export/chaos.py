"""An HTTP server on the loopback that misbehaves on request."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Chaos:
    """An HTTP server that answers request n with ``script[n]``, and the last entry from then on."""

    def __init__(self) -> None:
        self.script: list[Callable[[BaseHTTPRequestHandler], None]] = [answer(200)]
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        # Those that were answered with 200.
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.stopping = threading.Event()
        chaos = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.arrived = (self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                chaos.requests.append(self.arrived)
                chaos.script[min(len(chaos.requests), len(chaos.script)) - 1](self)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # resets are what this server is for

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.chaos = self  # type: ignore[attr-defined]
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def wait_for(self, count: int) -> None:
        """Until so many requests have arrived: whoever gave one up may be ahead of this server."""
        deadline = time.monotonic() + 60
        while len(self.requests) < count:
            assert time.monotonic() < deadline, f"{len(self.requests)} requests"
            time.sleep(0.005)

    def stop(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def act(handler: BaseHTTPRequestHandler) -> None:
        if status == 200:
            handler.server.chaos.taken.append(handler.arrived)  # type: ignore[attr-defined]
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return act


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def raw(data: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Write bytes that may be no HTTP, and close."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return act


def trickle(begin: bytes, more: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer without an end, bit by bit: no single read ever takes long. It closes after 20 s."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(begin)
        for _ in range(1000):
            if handler.server.chaos.stopping.wait(0.02):  # type: ignore[attr-defined]
                break
            handler.wfile.write(more)

    return act


drip = trickle(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x")


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Never answer while the test runs."""
    handler.server.chaos.stopping.wait(60)  # type: ignore[attr-defined]
    handler.close_connection = True
