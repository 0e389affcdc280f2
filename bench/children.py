"""Subjects that can't share a process: each has its own, and answers with nanoseconds per call; rounds are interleaved.

A benchmark starts itself again with ``--child NAME ENDPOINT``; what its subjects export goes to a receiver outside of
them, here. CPU time is that of the whole child, whatever threads it has.
"""

from __future__ import annotations

import gc
import http.server
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


class _Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Child:
    """A process that answers each line with a line."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process: Any = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: str) -> str:
        """Its answer. Raises RuntimeError when it has ended."""
        try:
            self._process.stdin.write(question + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # then there is no answer either
        answer: str = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(self._command)} ended at {question!r}")
        return answer.rstrip("\n")

    def end(self) -> None:
        """Let it end, or end it after some seconds."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


@contextmanager
def receiving() -> Iterator[str]:
    """The endpoint of a receiver of OTLP/HTTP, which runs here, outside of what is measured."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        server.shutdown()


def measure(script: str, subjects: Mapping[str, tuple[str, ...]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Samples by case and subject, of ``subjects`` by case; each round visits the subjects in random order."""
    with receiving() as endpoint:
        children = {
            name: Child(sys.executable, script, "--child", name, endpoint)
            for name in {name for names in subjects.values() for name in names}
        }
        try:
            return {case: interleaved(children, names, case, rounds) for case, names in subjects.items()}
        finally:
            for child in children.values():
                child.end()


def interleaved(children: Mapping[str, Child], names: Sequence[str], case: str, rounds: int) -> dict[str, list[float]]:
    """Samples of one case by subject; each round visits the subjects in random order."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 2):
        for name in random.sample(names, len(names)):
            nanoseconds = float(children[name].ask(case))
            if turn >= 2:  # the first turns warm up
                found[name].append(nanoseconds)
    return found


def sample(call: Callable[[], Any], calls: int, flush: Callable[[], Any], blocks: int, thread: bool = False) -> None:
    """Answer with nanoseconds per call, each block flushed; ``thread``: of the calling thread alone, not flushed."""
    clock, repeat = time.thread_time_ns if thread else time.process_time_ns, range(calls)
    flush()
    gc.collect(0)
    begin = clock()
    for _ in range(blocks):
        for _ in repeat:
            call()
        if not thread:
            flush()
    print((clock() - begin) / calls / blocks, flush=True)


def added(samples: Mapping[str, list[float]], name: str) -> list[float]:
    """What a subject adds to ``bare``, round by round."""
    bare = samples.get("bare") or [0.0] * len(samples[name])
    return [one - without for one, without in zip(samples[name], bare, strict=True)]
