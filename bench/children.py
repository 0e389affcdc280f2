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
from collections.abc import Callable, Mapping
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


def measure(script: str, subjects: Mapping[str, tuple[str, ...]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Samples by case and subject, of ``subjects`` by case; each round visits the subjects in random order."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = {
        name: subprocess.Popen([sys.executable, script, "--child", name, endpoint], **pipes)
        for name in {name for names in subjects.values() for name in names}
    }
    found: dict[str, dict[str, list[float]]] = {case: {name: [] for name in names} for case, names in subjects.items()}
    try:
        for case, names in subjects.items():
            for turn in range(rounds + 2):
                for name in random.sample(names, len(names)):
                    pipe: Any = children[name]
                    pipe.stdin.write(case + "\n")
                    pipe.stdin.flush()
                    nanoseconds = float(pipe.stdout.readline())
                    if turn >= 2:  # the first turns warm up
                        found[case][name].append(nanoseconds)
    finally:
        for process in children.values():
            process.communicate()
        server.shutdown()
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
