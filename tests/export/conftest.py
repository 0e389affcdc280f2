"""Receivers on the loopback: a real one that nobody here wrote, and one that misbehaves on request."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chaos import Chaos
from proxy import Proxy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Receiver:
    """A process that runs oteltap: an OTLP receiver that nobody here wrote, decoding with the official classes."""

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}/v1/traces"
        self.lines: list[list[str]] = []
        command = [sys.executable, "-u", str(Path(__file__).with_name("receiver.py")), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", "oteltap did not start"
        self.thread = threading.Thread(target=self._read, args=(self.process.stdout,))
        self.thread.start()

    def _read(self, pipe: Any) -> None:
        self.lines.extend(line.split() for line in pipe)

    def span_ids(self, count: int) -> list[str]:
        """The ids of all spans that arrived, once there are so many, and a moment later."""
        deadline = time.monotonic() + 60
        while len(self.lines) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)  # a span that arrives twice does so now
        return [line[1] for line in self.lines]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting and no proxy of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower() in (
            "http_proxy",
            "https_proxy",
            "grpc_proxy",
            "all_proxy",
            "no_proxy",
        ):
            monkeypatch.delenv(name)


@pytest.fixture
def chaos() -> Iterator[Chaos]:
    server = Chaos()
    yield server
    server.stop()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = Proxy()
    yield server
    server.stop()


@pytest.fixture
def make_batch() -> Callable[..., Any]:
    """Batches of so many spans, made by the core in use."""
    from fasttrace import InstrumentationScope, Tracer
    from fasttrace._core import Recorder, Ring, otlp
    from fasttrace.export.base import Batch, RecordBatch

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
        return RecordBatch(ring.take(count, 1 << 24), otlp.encode_attributes(resource), encoded)

    return make
