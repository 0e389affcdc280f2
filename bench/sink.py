"""A receiver of OTLP/HTTP in a process of its own, which counts the spans that come: ``with sink.running() as it:``.

Counting is done by the official protobuf classes when it is asked for, not while spans come.
"""

from __future__ import annotations

import http.server
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self._answer(b"", "application/x-protobuf")

    def do_GET(self) -> None:
        """How many spans and requests have come since this was last asked."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        bodies, self.bodies[:] = list(self.bodies), []
        spans = sum(
            len(scope.spans)
            for body in bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
        )
        self._answer(f"{spans} {len(bodies)}".encode(), "text/plain")

    def _answer(self, body: bytes, kind: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_: Any) -> None:
        pass


@dataclass(frozen=True)
class Sink:
    """Where it listens."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def counted(self) -> tuple[int, int]:
        """Spans and requests since this was last asked."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/") as answer:
            spans, requests = answer.read().split()
        return int(spans), int(requests)


@contextmanager
def running() -> Iterator[Sink]:
    """A sink while the block runs."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Sink(int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
