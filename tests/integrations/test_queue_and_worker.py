"""Two services, a queue and a worker, each its own processes, none of which knows of tracing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from receiving import free_port

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.local.store import Store

for needed in ("celery", "httpx", "redis", "sqlalchemy", "uvicorn"):
    pytest.importorskip(needed)

pytestmark = pytest.mark.servers

APPS = Path(__file__).with_name("apps")
ORDERS = range(1, 6)


@contextmanager
def running(folder: Path, environment: dict[str, str], service: str, *command: str) -> Iterator[None]:
    """A command under ``fasttrace run``, ended as supervisors do."""
    run = [sys.executable, "-m", "fasttrace", "run", "--quiet", "--service", service, "--", sys.executable, "-m"]
    with (folder / f"{service}.log").open("wb") as log:
        process = subprocess.Popen(
            [*run, *command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int) -> None:
    """Until a service has started."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture
def shop(redis_port: int, tmp_path: Path) -> Path:
    """The folder of a shop that has had its customers, and is closed."""
    from redis import Redis

    ports = free_port(), free_port()
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "FASTTRACE_"))}
    environment = mine | {
        "PYTHONPATH": str(APPS),
        "PYTHONUNBUFFERED": "1",
        "FASTTRACE_SPOOL_DIR": str(tmp_path / "spool"),
        "FASTTRACE_IMPL": os.environ.get("FASTTRACE_IMPL", ""),
        "BACK": f"http://127.0.0.1:{ports[1]}",
        "DATABASE": str(tmp_path / "shop.db"),
        "BROKER": f"redis://127.0.0.1:{redis_port}/5",
    }
    if not environment["FASTTRACE_IMPL"]:
        del environment["FASTTRACE_IMPL"]
    with ExitStack() as stack, Redis(port=redis_port, db=5) as results:
        results.flushdb()
        for name, port in zip(("front", "back"), ports, strict=True):
            server = ("uvicorn", f"{name}:app", "--port", str(port), "--log-level", "warning")
            stack.enter_context(running(tmp_path, environment, name, *server))
        worker = ("celery", "-A", "tasks", "worker", "--concurrency", "2", "--max-tasks-per-child", "1")
        stack.enter_context(running(tmp_path, environment, "worker", *worker, "--without-mingle", "--without-gossip"))
        for port in ports:
            wait_for(port)
        tasks = [get(f"http://127.0.0.1:{ports[0]}/checkout/{order}")["task"] for order in ORDERS]
        deadline = time.monotonic() + 60
        while not all(results.exists(f"celery-task-meta-{task}") for task in tasks):
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
            time.sleep(0.05)
    return tmp_path


def path(span: SpanData, spans: dict[str, SpanData]) -> list[str]:
    """A span's name and those above it."""
    above = spans.get(span.parent_span_id)
    return [*([] if above is None else path(above, spans)), f"{span.resource['service.name']} {span.name}"]


def test_a_request_is_one_trace_and_the_ids_in_all_logs_are_its_own(shop: Path) -> None:
    spans = {span.span_id: span for span in Store(shop / "spool").spans()}
    lines = [
        line.split("\t")[1:]
        for service in ("front", "back", "worker")
        for line in (shop / f"{service}.log").read_text().splitlines()
        if line.startswith("LOG\t")
    ]
    logged: dict[str, list[list[str]]] = {}
    for trace_id, *line in lines:
        logged.setdefault(trace_id, []).append(line)
    charged = [span for span in spans.values() if span.name == "charging"]
    assert len(charged) == len(ORDERS) == len({span.trace_id for span in charged}) == len(logged)
    for span in charged:
        assert path(span, spans) == [
            "front GET /checkout/{order}",
            "front POST",
            "back POST /orders/{order}",
            "back send tasks.charge",
            "worker process tasks.charge",
            "worker charging",
        ]
        trace = [other for other in spans.values() if other.trace_id == span.trace_id]
        assert [other.parent_span_id in spans for other in trace].count(False) == 1
        assert len([other for other in trace if other.name == "INSERT orders"]) == 1
        # What each service logged, and in which of its spans.
        told = {service: (message, spans[span_id].name) for span_id, service, message in logged[span.trace_id]}
        order = told["front"][0].removeprefix("checkout ")
        assert told == {
            "front": (f"checkout {order}", "GET /checkout/{order}"),
            "back": (f"order {order}", "POST /orders/{order}"),
            "worker": (f"charge {order}", "charging"),
        }
    assert [span.kind for span in spans.values()].count(SpanKind.CONSUMER) == len(ORDERS)
    # How celery looks after its queues is nobody's request.
    queue = [span for span in spans.values() if span.attributes.get("db.system.name") == "redis"]
    assert {span.resource["service.name"] for span in queue} == {"back", "worker"}
    assert {span.trace_id for span in queue} == set(logged)
