"""The spans of the process in memory; makes the helper module of this directory importable."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fasttrace
from fasttrace._core.types import SpanData
from fasttrace.export import MemoryExporter

sys.path.insert(0, str(Path(__file__).parent))

from databases import postgres, redis_port  # noqa: F401 - fixtures
from loopback import Spans


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Traces the process into memory; called, gives the spans that have ended, in the order of their start."""
    exporter = MemoryExporter()
    fasttrace.configure(service_name="tests", exporter=exporter)

    def ended() -> list[SpanData]:
        assert fasttrace.flush(timeout=60)
        return sorted(exporter.spans, key=lambda data: data.start_time_ns)

    yield ended
    fasttrace.shutdown(timeout=10)
