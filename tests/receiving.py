"""oteltap, an OTLP/HTTP receiver from PyPI, in a process of its own: ``Receiver`` starts it, the file run as a program is it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Receiver:
    """A receiver that nobody here wrote, decoding with the official classes; ``lines``: trace, span, parent, name."""

    def __init__(self) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.endpoint = f"{self.base}/v1/traces"
        self.lines: list[list[str]] = []
        command = [sys.executable, "-u", str(Path(__file__)), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", "oteltap did not start"
        self.thread = threading.Thread(target=self._read, args=(self.process.stdout,))
        self.thread.start()

    def _read(self, pipe: Any) -> None:
        self.lines.extend(line.rstrip("\n").split("\t") for line in pipe)

    def spans(self, count: int) -> list[list[str]]:
        """All that arrived, once there are so many, and a moment later."""
        deadline = time.monotonic() + 60
        while len(self.lines) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)  # a span that arrives twice does so now
        return list(self.lines)

    def span_ids(self, count: int) -> list[str]:
        """The ids of all spans that arrived, once there are so many, and a moment later."""
        return [line[1] for line in self.spans(count)]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


async def main(port: int) -> None:
    from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

    async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as receiver:
        print("ready", flush=True)
        async for span in receiver.stream_traces():
            ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
            print(*ids, span.name, sep="\t", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
