"""Receivers on the loopback: a real one that nobody here wrote, and one that misbehaves on request."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class TestAgent:
    """Datadog's test agent from PyPI, which decodes OTLP with the official protobuf classes and lists what came."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        program = Path(sysconfig.get_path("scripts")) / "ddapm-test-agent"
        if not program.exists():
            pytest.fail("ddapm-test-agent is not installed: pip install '.[test]'")
        self.port = free_port()
        others = [str(free_port()) for _ in range(3)]
        command = [str(program), "-p", others[0], "--otlp-http-port", str(self.port)]
        command += ["--otlp-grpc-port", others[1], "--web-ui-port", others[2]]
        self.log = folder / "agent.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.get("/test/session/traces")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    pytest.fail(f"the test agent did not start:\n{self.log.read_text()}")
                time.sleep(0.05)

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def spans(self) -> list[dict[str, Any]]:
        """Every span received, duplicates included, with ids in hex and its service."""
        found = []
        for request in json.loads(self.get("/test/session/traces")):
            for resource_spans in request["resource_spans"] if isinstance(request, dict) else []:
                attributes = {
                    item["key"]: next(iter(item["value"].values()), None)
                    for item in resource_spans["resource"]["attributes"]
                }
                for scope_spans in resource_spans["scope_spans"]:
                    for span in scope_spans["spans"]:
                        for key in ("trace_id", "span_id", "parent_span_id"):
                            span[key] = base64.b64decode(span.get(key, "")).hex()
                        span["service"] = attributes.get("service.name")
                        found.append(span)
        return found

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[TestAgent]:
    receiver = TestAgent(tmp_path)
    yield receiver
    receiver.stop()


class Chaos:
    """An HTTP server that answers request n with ``script[n]``, and the last entry from then on."""

    def __init__(self) -> None:
        self.script: list[Callable[[BaseHTTPRequestHandler], None]] = [answer(200)]
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.stopping = threading.Event()
        chaos = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                chaos.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
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

    def stop(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def act(handler: BaseHTTPRequestHandler) -> None:
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


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Never answer while the test runs."""
    handler.server.chaos.stopping.wait(60)  # type: ignore[attr-defined]
    handler.close_connection = True


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chaos]:
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower() in ("http_proxy", "https_proxy", "no_proxy"):
            monkeypatch.delenv(name)
    server = Chaos()
    yield server
    server.stop()


@pytest.fixture
def make_batch() -> Callable[..., Any]:
    """Batches of so many spans, made by the core in use."""
    from fasttrace import InstrumentationScope, Tracer
    from fasttrace._core import Recorder, Ring, otlp
    from fasttrace.export import Batch

    def make(count: int = 3, name: str = "operation") -> Batch:
        ring = Ring()
        recorder = Recorder(ring)
        recorder.consumer_running = True
        scope = InstrumentationScope("test", "1.0")
        tracer = Tracer(scope, recorder)
        for number in range(count):
            tracer.start_span(name, attributes={"number": number}).end()
        resource = {"service.name": "test"}
        encoded = [(otlp.encode_scope(scope), scope.schema_url)]
        return Batch(ring.take(count, 1 << 24), resource, otlp.encode_attributes(resource), [scope], encoded)

    return make


assert sys.version_info >= (3, 11)
