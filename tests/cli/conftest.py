"""A spool on disk with a few traces, written by the real exporter; programs under ``fasttrace run``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fasttrace
from fasttrace.export import SpoolExporter

sys.path.insert(0, str(Path(__file__).parent))

from running import Runner

MS = 1_000_000
BASE_NS = 1_795_435_421_220_000_000


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three traces: fast, slow (1.5 s, waits for a pool) and failed, a minute apart, in ``tmp_path/spool``."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    directory = tmp_path / "spool"
    provider = fasttrace.TracerProvider(service_name="shop", exporter=SpoolExporter(directory))
    tracer = provider.get_tracer("tests")

    def trace(name: str, minute: int, duration_ms: int, wait_ms: int = 0, code: int = 200) -> None:
        start = BASE_NS + minute * 60_000 * MS
        root = tracer.start_span(name, kind=fasttrace.SpanKind.SERVER, start_time=start, context=fasttrace.Context())
        root.set_attribute("http.response.status_code", code)
        if code >= 500:
            root.set_status(fasttrace.StatusCode.ERROR)
        if wait_ms:
            pool = {"db.client.connection.pool.name": "db", "db.client.connection.max": 3}
            wait = tracer.start_span("wait for db pool", context=root, attributes=pool, start_time=start + MS)
            wait.end(start + (1 + wait_ms) * MS)
        root.end(start + duration_ms * MS)

    trace("GET /slow", 0, 1500, wait_ms=1400)
    trace("GET /fast", 1, 12)
    trace("GET /failed", 2, 40, code=503)
    assert provider.shutdown(timeout=60)
    yield directory
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """Programs under ``fasttrace run`` in a folder of their own."""
    return Runner(tmp_path)
