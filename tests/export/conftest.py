"""A receiver on the loopback that misbehaves on request, and batches to send."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chaos import Chaos
from proxy import Proxy

# What these need has no wheels for every kind of Python (extra "servers").
collect_ignore = (
    []
    if find_spec("grpc") and find_spec("trustme")
    else ["test_greenlets.py", "test_grpc_processes.py", "test_otlp_grpc.py", "test_tls.py"]
)


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
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A disk, to this process, that has room for so many bytes in each file: what exceeds it is not written."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


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
