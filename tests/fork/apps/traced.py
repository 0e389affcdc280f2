"""What the traced programs share: tracing that is set up at import, and each process's own accounts at its end."""

from __future__ import annotations

import atexit
import json
import os
import time
from typing import Any

import fasttrace
import fasttrace.process


def report() -> None:
    """One line with the counters of this process; written by one call, as all processes share the file."""
    line = json.dumps({"pid": os.getpid(), **fasttrace.stats()}) + "\n"
    descriptor = os.open(os.environ["ACCOUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


# Handlers run in reverse order: fasttrace's own, added by the first span, runs before this one.
atexit.register(report)
fasttrace.configure(schedule_delay=float(os.environ.get("DELAY", "60")), exit_timeout=20)
tracer = fasttrace.get_tracer("world")


def work(kind: str = "work") -> str:
    """A span and its child, both named after the process."""
    process = os.getpid()
    with tracer.start_as_current_span(f"{kind}/{process}"):
        with tracer.start_as_current_span(f"inner/{process}"):
            pass
    return str(process)


def threads() -> int:
    """How many threads the kernel says this process has."""
    return len(os.listdir("/proc/self/task"))


if "AT_IMPORT" in os.environ:
    work("import")
    if os.environ["AT_IMPORT"] == "flush":
        fasttrace.flush(20)
    elif os.environ["AT_IMPORT"] == "asleep":
        # The thread has sent it and sleeps: no fork that goes on without the GIL finds it in the middle of anything.
        deadline = time.monotonic() + 60
        provider = fasttrace.process._provider
        while (fasttrace.stats()["queued"] or provider.recorder.consumer_running) and time.monotonic() < deadline:
            time.sleep(0.05)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """WSGI: one span and its child for every request."""
    body = work("request").encode()
    start_response("200 OK", [("content-type", "text/plain"), ("content-length", str(len(body)))])
    return [body]
