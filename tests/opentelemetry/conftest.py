"""A provider behind OpenTelemetry's API whose spans stay in memory, and programs that have one for themselves."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.trace")

sys.path.insert(0, str(Path(__file__).parent))

from opentelemetry import context as context_api
from succeeding import succeed

from fasttrace._core import current_node
from fasttrace.export import MemoryExporter
from fasttrace.opentelemetry import TracerProvider


class Traced:
    """A provider, a tracer of its, a native tracer of the same pipeline, and the spans that have ended."""

    def __init__(self, **arguments: Any) -> None:
        self.exporter = MemoryExporter()
        self.provider = TracerProvider(exporter=self.exporter, **arguments)
        self.tracer = self.provider.get_tracer("otel", "1")
        self.native = self.provider.native.get_tracer("native")

    def spans(self) -> dict[str, Any]:
        assert self.provider.force_flush(10_000)
        return {span.name: span for span in self.exporter.spans}


@pytest.fixture
def make_traced() -> Iterator[Callable[..., Traced]]:
    made: list[Traced] = []

    def make(**arguments: Any) -> Traced:
        made.append(Traced(**arguments))
        return made[-1]

    yield make
    for one in made:
        one.provider.shutdown()


@pytest.fixture
def traced(make_traced: Callable[..., Traced]) -> Traced:
    return make_traced()


@pytest.fixture(autouse=True)
def nothing_stays_current() -> Iterator[None]:
    yield
    assert current_node() is None
    assert context_api.get_current() == {}


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., str]:
    """Runs a program of its own, warnings being errors, and gives what it printed; it must succeed."""

    def run(text: str, folder: Path | None = None, **environment: str) -> str:
        path = [str(folder)] if folder is not None else []
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text)]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **environment}
        return succeed(command, quiet=True, cwd=tmp_path, env=variables).stdout

    return run
