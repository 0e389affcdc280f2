"""A receiver of OTLP over HTTP that misbehaves at random, as a process of its own.

``receiver.py PORT SEED LOG``. It obeys lines on its standard input: ``healthy`` ends all mischief, ``end`` writes the
log and leaves. The log is JSON: for each request that was read in full and not refused, the ids of the spans in it,
whether the receiver kept them, and whether the sender knows it. The sender knows of a success when it went on using
the connection; of anything else that looks like one to the receiver it may never have heard.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from common import spans_of
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

PATIENCE_SECONDS = 60.0
LINGER_ZERO = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # close() sends a reset
KINDS = {
    "success": 30,
    "slow": 6,
    "partial success": 6,
    "503": 7,
    "503 with Retry-After": 5,
    "429": 4,
    "429 with Retry-After": 4,
    "502": 4,
    "reset before reading": 4,
    "reset": 6,
    "hang": 4,
    "garbage": 5,
    "truncated": 5,
    "redirect": 3,
}


class Receiver:
    """Answers each request in a random way, and now and then is not there at all."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.random = random.Random(seed)
        self.healthy = False
        self.ending = threading.Event()
        self.arrived: list[dict[str, Any]] = []
        self.answers: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        self.listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        """Listen, always on the same port."""
        while True:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", self.port))
                break
            except OSError:
                listener.close()
                time.sleep(0.05)
        listener.listen(16)
        self.listener = listener
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def vanish(self) -> None:
        """Close the listening socket and every connection."""
        assert self.listener is not None
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for connection in self.connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def come_and_go(self) -> None:
        """Be there for some seconds, then not for some."""
        while not self.ending.wait(self.random.uniform(2, 6)) and not self.healthy:
            self.vanish()
            self.answers["gone"] += 1
            self.ending.wait(self.random.uniform(0.2, 2))
            self.open()

    def accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        """One connection until it ends; a success is known to the sender once the next request comes on it."""
        last: dict[str, Any] | None = None
        stream = connection.makefile("rb")
        try:
            while line := stream.readline():
                if last is not None:
                    last["known"] = True
                with self.lock:
                    kind = "success" if self.healthy else self.random.choices(list(KINDS), list(KINDS.values()))[0]
                    self.answers[kind] += 1
                assert line.startswith(b"POST "), line
                headers = {}
                while (field := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = field.partition(b":")
                    headers[name.strip().lower()] = value.strip()
                if kind == "reset before reading":
                    break
                length = int(headers[b"content-length"])
                body = stream.read(length)
                if len(body) < length:
                    break
                last = self.answer(kind, connection, [span.span_id.hex() for span in spans_of(body)])
                if last is None and kind not in ("503", "503 with Retry-After", "429", "429 with Retry-After"):
                    break
        except OSError:
            pass
        finally:
            with self.lock:
                self.connections.discard(connection)
            if not self.ending.is_set():
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            stream.close()
            connection.close()

    def answer(self, kind: str, connection: socket.socket, ids: list[str]) -> dict[str, Any] | None:
        """Answer one request; its entry in the log if it looks like a success from here."""
        if kind in ("503", "429"):
            connection.sendall(response(int(kind)))
            return None
        if kind.endswith("Retry-After"):
            connection.sendall(response(int(kind[:3]), b"Retry-After: 1\r\n"))
            return None
        if kind == "redirect":
            connection.sendall(response(307, b"Location: http://127.0.0.1:9/v1/traces\r\nConnection: close\r\n"))
            return None
        rejected = self.random.randint(1, len(ids)) if kind == "partial success" and ids else 0
        success = kind in ("success", "slow", "partial success")
        # Without a word, a receiver may have kept the spans or not.
        kept = success or self.random.random() < 0.5
        entry = {"ids": ids[: len(ids) - rejected], "kept": kept, "known": False}
        with self.lock:
            self.arrived.append(entry)
        if success:
            if kind == "slow":
                self.ending.wait(self.random.uniform(0.05, 0.6))
            message = ExportTraceServiceResponse()
            if rejected:
                message.partial_success.rejected_spans = rejected
            connection.sendall(response(200, body=message.SerializeToString()))
            return entry
        if kind == "502":
            connection.sendall(response(502, b"Connection: close\r\n"))
        elif kind == "hang":
            self.ending.wait(PATIENCE_SECONDS)
        elif kind == "garbage":
            connection.sendall(self.random.randbytes(200))
        elif kind == "truncated":
            connection.sendall(response(200, body=bytes(100))[:-60])
            connection.shutdown(socket.SHUT_WR)  # an orderly end, too early
            self.ending.wait(0.05)
        return None


def response(status: int, fields: bytes = b"", body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%scontent-length: %d\r\n\r\n%s" % (status, fields, len(body), body)


def main() -> None:
    receiver = Receiver(int(sys.argv[1]), int(sys.argv[2]))
    threading.Thread(target=receiver.come_and_go, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "healthy\n":
            receiver.healthy = True
        elif line == "end\n":
            break
    receiver.ending.set()
    with receiver.lock, open(sys.argv[3], "w", encoding="ascii") as file:
        json.dump({"arrived": receiver.arrived, "answers": receiver.answers}, file)


if __name__ == "__main__":
    main()
