"""Code that is called in the middle of ours, or raises out of it, and traces itself: nothing hangs, grows or is lost."""

from __future__ import annotations

import gc
import logging
import sys
import textwrap
import threading
import time
from typing import Any

import pytest
from succeeding import succeed

import fasttrace
from fasttrace import sampling
from fasttrace.export import MemoryExporter
from fasttrace.export.base import Batch

PARTS = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")


class Exporter:
    """An exporter that calls ``behaviour`` with each batch and gives its answer."""

    def __init__(self, behaviour: Any = len) -> None:
        self.behaviour = behaviour
        self.batches: list[int] = []

    def export(self, batch: Batch) -> Any:
        self.batches.append(len(batch))
        return self.behaviour(batch)

    def flush(self, timeout: float) -> bool:
        return True

    def shutdown(self, timeout: float) -> None:
        pass


def balanced(provider: fasttrace.TracerProvider) -> dict[str, Any]:
    stats = provider.stats()
    assert stats["started"] == sum(stats[part] for part in PARTS) + sum(stats["dropped"].values()), stats
    return stats


@pytest.fixture
def provider() -> Any:
    made = fasttrace.TracerProvider(exporter=MemoryExporter(), schedule_delay=60)
    yield made
    made.shutdown(5)


# --- values, mappings, finalisers


def test_values_and_mappings_that_start_and_end_spans_are_recorded(provider: fasttrace.TracerProvider) -> None:
    tracer = provider.get_tracer("test")

    class Text:
        def __str__(self) -> str:
            with tracer.start_as_current_span("inside"):
                return "text"

    class Mapping(dict[str, Any]):
        def items(self) -> Any:
            with tracer.start_as_current_span("inside"):
                return super().items()

        def __iter__(self) -> Any:
            with tracer.start_as_current_span("inside"):
                return super().__iter__()

        def keys(self) -> Any:
            with tracer.start_as_current_span("inside"):
                return super().keys()

    with tracer.start_as_current_span(Text(), attributes=Mapping(one=1)) as span:  # type: ignore[arg-type]
        span.set_attribute("value", Text())
        span.set_attributes(Mapping(two=2))
        span.add_event("event", Mapping(three=Text()))
        span.update_name(Text())  # type: ignore[arg-type]
    assert provider.flush(20)
    spans = provider.exporter.spans
    (outer,) = (found for found in spans if found.name != "inside")
    assert outer.name == "text"
    assert dict(outer.attributes) == {"one": 1, "value": "text", "two": 2}
    assert len(spans) > 3
    assert balanced(provider)["exported"] == len(spans)


def test_finalisers_and_collections_may_end_spans_while_our_locks_are_held(provider: fasttrace.TracerProvider) -> None:
    tracer = provider.get_tracer("test")
    pipeline = provider.pipeline

    class Ending:
        def __init__(self) -> None:
            self.span = tracer.start_span("finaliser")
            self.cycle = self

        def __del__(self) -> None:
            self.span.end()
            provider.stats()

    def collected(phase: str, info: dict[str, int]) -> None:
        with tracer.start_as_current_span("collection"):
            pass

    gc.collect()
    gc.callbacks.append(collected)
    try:
        for lock in (pipeline._state, pipeline.delivery._accounts):
            Ending()
            with lock:
                gc.collect()
        Ending()
        with pipeline._sending:
            gc.collect()
        threshold = gc.get_threshold()
        gc.set_threshold(1)
        for _ in range(200):
            Ending()
            tracer.start_span("between").end()
            provider.stats()
        gc.set_threshold(*threshold)
    finally:
        gc.callbacks.remove(collected)
    for _ in range(500):
        gc.collect()  # does nothing while another thread is at it
        if provider.stats()["active"] == 0:
            break
        time.sleep(0.01)
    assert provider.flush(20)
    names = [span.name for span in provider.exporter.spans]
    assert names.count("finaliser") == 203
    assert names.count("between") == 200
    assert balanced(provider)["exported"] == len(names)


# --- logging


@pytest.mark.parametrize("name", ["fasttrace", None])
def test_a_handler_that_traces_every_record_neither_loops_nor_deadlocks(name: str | None, monkeypatch: Any) -> None:
    from fasttrace import _log

    monkeypatch.setattr(_log, "_last", {})

    def fail(batch: Batch) -> None:
        raise OSError("no route")

    provider = fasttrace.TracerProvider(exporter=Exporter(fail), schedule_delay=0.005)
    tracer = provider.get_tracer("test")

    class Tracing(logging.Handler):
        records = 0

        def emit(self, record: logging.LogRecord) -> None:
            Tracing.records += 1
            with tracer.start_as_current_span("record") as span:
                span.add_event(record.getMessage())
            provider.stats()

    handler = Tracing()
    logging.getLogger(name).addHandler(handler)
    try:
        for _ in range(20):
            tracer.start_span("operation").end()
            provider.flush(5)
    finally:
        logging.getLogger(name).removeHandler(handler)
    assert Tracing.records == 1
    provider.shutdown(5)
    assert balanced(provider)["dropped"]["export_failed"] == 21


# --- exporters


@pytest.mark.parametrize(
    "settings",
    [{}, {"sampler": sampling.AlwaysOn()}, {"tail": [sampling.tail.error(), sampling.tail.latency(1e-9)]}],
    ids=["default", "always on", "tail rules"],
)
def test_what_an_exporter_traces_does_not_feed_it_for_ever(settings: dict[str, Any]) -> None:
    def trace(batch: Batch) -> None:
        with tracer.start_as_current_span("export"), tracer.start_as_current_span("request") as span:
            span.set_status(fasttrace.StatusCode.ERROR)

    exporter = Exporter(trace)
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=0.005, **settings)
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("operation"):
        provider.flush(5)
        tracer.start_span("other").end()
    assert provider.flush(20)
    time.sleep(0.3)
    stats = balanced(provider)
    assert stats["exported"] == 2
    assert stats["started"] == 2 + stats["sampled_out"]
    batches = len(exporter.batches)
    assert batches <= 2
    time.sleep(0.3)
    assert len(exporter.batches) == batches
    provider.shutdown(5)


RAISED = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError(), BaseException("bare"), RecursionError()]


@pytest.mark.parametrize("error", RAISED, ids=[type(error).__name__ for error in RAISED])
def test_whatever_export_raises_the_thread_lives_on_and_the_batch_is_counted(error: BaseException) -> None:
    failing = True

    def behaviour(batch: Batch) -> None:
        if failing:
            raise error

    provider = fasttrace.TracerProvider(exporter=Exporter(behaviour), schedule_delay=60)
    tracer = provider.get_tracer("test")
    for _ in range(3):
        tracer.start_span("lost").end()
    assert provider.flush(20) is False
    stats = balanced(provider)
    assert (stats["queued"], stats["dropped"]["export_failed"]) == (0, 3)
    assert type(error).__name__ in stats["last_error"]
    failing = False
    tracer.start_span("kept").end()
    assert provider.flush(20)
    assert balanced(provider)["exported"] == 1
    provider.shutdown(5)


def test_a_thread_that_dies_is_followed_by_another_and_its_batch_is_sent(monkeypatch: Any) -> None:
    exporter = Exporter(lambda batch: None)
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=0.01)
    pipeline = provider.pipeline
    failures = [MemoryError(), SystemExit()]
    attempt = pipeline.delivery.attempt

    def broken(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return attempt(*arguments, **options)

    monkeypatch.setattr(pipeline.delivery, "attempt", broken)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    tracer = provider.get_tracer("test")
    for _ in range(3):
        tracer.start_span("operation").end()
        time.sleep(0.05)
    assert provider.flush(20)
    stats = balanced(provider)
    assert (stats["exported"], stats["queued"], sum(exporter.batches)) == (3, 0, 3)
    provider.shutdown(5)


def test_an_interrupt_during_a_flush_passes_and_the_batch_is_sent_later(monkeypatch: Any) -> None:
    interrupts = [KeyboardInterrupt()]

    def behaviour(batch: Batch) -> None:
        if interrupts:
            raise interrupts.pop()

    exporter = Exporter(behaviour)
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=60)

    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    # As at interpreter exit: the flush sends on its own thread.
    monkeypatch.setattr(provider.pipeline, "start", refuse)
    provider.get_tracer("test").start_span("operation").end()
    with pytest.raises(KeyboardInterrupt):
        provider.flush(20)
    assert balanced(provider)["queued"] == 1
    assert provider.flush(20)
    stats = balanced(provider)
    assert (stats["exported"], stats["retried_ambiguous"]) == (1, 1)
    provider.shutdown(5)


@pytest.mark.parametrize("answer", ["all", -5, 10**30, True, 2.5, object(), [], float("nan")])
def test_an_answer_that_makes_no_sense_is_counted_sanely(answer: Any) -> None:
    provider = fasttrace.TracerProvider(exporter=Exporter(lambda batch: answer), schedule_delay=60)
    tracer = provider.get_tracer("test")
    for _ in range(4):
        tracer.start_span("operation").end()
    provider.flush(20)
    stats = balanced(provider)
    rejected = 4 if answer == 10**30 else 0
    assert (stats["exported"], stats["dropped"]["rejected"], stats["queued"]) == (4 - rejected, rejected, 0)
    provider.shutdown(5)


def test_an_exporter_whose_flush_and_shutdown_raise_is_told_of_and_survived(caplog: Any, monkeypatch: Any) -> None:
    from fasttrace import _log

    monkeypatch.setattr(_log, "_last", {})

    class Raising(Exporter):
        def flush(self, timeout: float) -> bool:
            raise SystemExit("flush")

        def shutdown(self, timeout: float) -> None:
            raise ValueError("shutdown")

    provider = fasttrace.TracerProvider(exporter=Raising(lambda batch: None), schedule_delay=60)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(20) is False
    assert provider.shutdown(20) is False
    assert balanced(provider)["exported"] == 1
    assert {"the exporter's flush failed", "the exporter's shutdown failed"} == {
        record.getMessage().partition(":")[0] for record in caplog.records
    }


def test_an_exporter_whose_flush_and_shutdown_hang_takes_no_more_than_the_timeout() -> None:
    let_go = threading.Event()

    class Hanging(Exporter):
        def flush(self, timeout: float) -> bool:
            return let_go.wait(60)

        def shutdown(self, timeout: float) -> None:
            let_go.wait(60)

    provider = fasttrace.TracerProvider(exporter=Hanging(lambda batch: None), schedule_delay=60)
    provider.get_tracer("test").start_span("operation").end()
    begin = time.monotonic()
    assert provider.flush(0.5) is False
    assert provider.shutdown(0.5) is False
    assert time.monotonic() - begin < 20
    assert balanced(provider)["exported"] == 1
    let_go.set()


@pytest.mark.parametrize("missing", ["export", "flush", "shutdown"])
def test_an_exporter_without_one_of_its_methods_is_refused_by_name(missing: str) -> None:
    methods = {name: lambda *_: None for name in ("export", "flush", "shutdown") if name != missing}
    with pytest.raises(fasttrace.ConfigurationError, match=f"no {missing}"):
        fasttrace.TracerProvider(exporter=type("Half", (), methods)())


# --- what is plugged in


def test_plugged_in_parts_that_raise_cost_nothing_but_themselves() -> None:
    class Ids:
        def generate_trace_id(self) -> int:
            raise RuntimeError("no trace id")

        def generate_span_id(self) -> int:
            raise MemoryError

    class Sampler:
        def thresholds(self) -> tuple[int, ...]:
            raise RuntimeError("no thresholds")

    class Baggage(dict[str, str]):
        def items(self) -> Any:
            raise RuntimeError("no items")

        def __iter__(self) -> Any:
            raise RuntimeError("no keys")

    # What can't be set up is told at once, what fails later costs its own part.
    with pytest.raises((RuntimeError, fasttrace.ConfigurationError)):
        fasttrace.TracerProvider(exporter=MemoryExporter(), sampler=Sampler())  # type: ignore[arg-type]
    exporter = MemoryExporter()
    provider = fasttrace.TracerProvider(
        exporter=exporter, id_generator=Ids(), schedule_delay=60, baggage_attributes=["user"]
    )
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("operation", attributes=Baggage()):
        pass
    assert provider.flush(20)
    (span,) = exporter.spans
    assert span.trace_id
    assert span.span_id
    balanced(provider)
    provider.shutdown(5)


SIGNALS = """
import signal, time, fasttrace
fasttrace.configure(exporter="memory", schedule_delay=0.001)
tracer = fasttrace.get_tracer("test")
handled, stop = 0, False
kept = []
def handler(number, frame):
    global handled
    handled += 1
    kept.append(tracer.start_span("kept"))
    if len(kept) > 3:
        kept.pop(0).end()
    with tracer.start_as_current_span("in the handler"):
        fasttrace.stats()
    if not stop:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001)
end = time.monotonic() + 1
count = 0
while time.monotonic() < end:
    with tracer.start_as_current_span("work"):
        count += 1
    assert fasttrace.flush(20)
stop = True
signal.setitimer(signal.ITIMER_REAL, 0)
for span in kept:
    span.end()
assert fasttrace.flush(20)
stats = fasttrace.stats()
assert stats["started"] == stats["exported"] == count + 2 * handled, (stats, count, handled)
assert handled > 20
"""


def test_a_signal_every_millisecond_that_traces_while_the_main_thread_flushes_harms_nothing() -> None:
    succeed([sys.executable, "-W", "error", "-c", textwrap.dedent(SIGNALS)], quiet=True)
