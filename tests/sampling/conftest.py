"""A clock in hand, and a sampler bound to a recorder of one implementation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fasttrace import InstrumentationScope, sampling
from fasttrace.sampling import clock as sampling_clock


class Clock:
    """Monotonic time that goes on when told to."""

    def __init__(self) -> None:
        self.ns = 10**15

    def now_ns(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sampling_clock, "now_ns", made.now_ns)
    return made


class Bound:
    """A recorder and a tracer of one implementation, for which a sampler decides."""

    def __init__(self, core: Any, sampler: Any, id_generator: Any = None) -> None:
        self.core = core
        self.sampler = sampler
        self.recorder = core.span.Recorder(core.ring.Ring(), id_generator=id_generator)
        self.recorder.consumer_running = True
        sampling.bind(sampler, self.recorder)
        self.tracer = core.span.Tracer(InstrumentationScope("test"), self.recorder)

    def root(self, name: str = "root", **arguments: Any) -> Any:
        """A root that has ended: whether it was sampled, and its tracestate, are still there."""
        span = self.tracer.start_span(name, context=self.core.context.Context(), **arguments)
        span.end()
        return span

    def child(self, parent: Any, name: str = "child", **arguments: Any) -> Any:
        span = self.tracer.start_span(name, context=parent, **arguments)
        span.end()
        return span

    def remote(self, trace_id: int = 7 << 70 | 5, sampled: bool = True, state: str = "") -> Any:
        return self.core.context.SpanContext(trace_id, 9, True, int(sampled), state)


@pytest.fixture
def bound(core: Any) -> Callable[..., Bound]:
    return lambda sampler, **arguments: Bound(core, sampler, **arguments)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the library logs."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    found: list[str] = []
    handler = Kept()
    logging.getLogger("fasttrace").addHandler(handler)
    yield found
    logging.getLogger("fasttrace").removeHandler(handler)
