"""The library's own log lines: few, complete, and harmless."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import fasttrace
from fasttrace import _log
from fasttrace.export import MemoryExporter
from fasttrace.export.base import Batch


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "_last", {})
    monkeypatch.setattr(_log, "_suppressed", {})


class Clock:
    """Stands in for the module ``time`` in ``_log`` alone."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(_log, "time", found)
    return found


def test_a_topic_is_heard_once_a_minute_with_the_count_of_what_was_left_out(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        _log.warning("export", "spans dropped: %d", number)
        clock.now += 10
    assert caplog.messages == ["spans dropped: 0"]
    assert not _log.due("export")
    clock.now += 10
    assert _log.due("export")
    _log.warning("export", "spans dropped: %d", 5)
    clock.now += 60
    _log.warning("export", "spans dropped: %d", 6)
    assert caplog.messages == ["spans dropped: 0", "spans dropped: 5 (and 4 more like this)", "spans dropped: 6"]
    assert {record.name for record in caplog.records} == {_log.LOGGER} == {"fasttrace"}


def test_topics_do_not_silence_each_other(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    _log.warning("export", "one")
    _log.warning("spool", "two")
    assert caplog.messages == ["one", "two"]


def test_a_percent_sign_in_an_argument_is_text(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    _log.warning("export", "failed: %s", "100%s")
    _log.warning("export", "left out")
    clock.now += 60
    _log.warning("export", "failed: %s", "100%d")
    assert caplog.messages == ["failed: 100%s", "failed: 100%d (and 1 more like this)"]


class Handler(logging.Handler):
    """Calls a function for each record, and does not catch what it raises."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def handle(self, record: logging.LogRecord) -> bool:
        self.act(record)
        return True


@pytest.fixture
def handler() -> Iterator[Any]:
    added: list[Handler] = []

    def add(act: Any) -> None:
        added.append(Handler(act))
        logging.getLogger("fasttrace").addHandler(added[-1])

    yield add
    for item in added:
        logging.getLogger("fasttrace").removeHandler(item)


class Broken(MemoryExporter):
    def export(self, batch: Batch) -> None:
        raise OSError("no route to host")


def test_a_handler_that_raises_harms_nobody(handler: Any) -> None:
    called: list[str] = []

    def act(record: logging.LogRecord) -> None:
        called.append(record.getMessage())
        raise RuntimeError("the handler is broken, too")

    handler(act)
    provider = fasttrace.TracerProvider(exporter=Broken(), schedule_delay=60)
    for _ in range(2):
        provider.get_tracer("test").start_span("operation").end()
        assert provider.flush(20) is False
    assert called == ["1 spans dropped: OSError: no route to host"]
    assert provider.stats()["dropped"]["export_failed"] == 2
    provider.shutdown(5)


def test_a_handler_that_records_spans_makes_no_loop(handler: Any) -> None:
    provider = fasttrace.TracerProvider(exporter=Broken(), schedule_delay=0.01)
    tracer = provider.get_tracer("test")
    handler(lambda record: tracer.start_span("of the handler").end())
    tracer.start_span("operation").end()
    assert provider.flush(20) is False
    assert provider.flush(20) is False or provider.stats()["queued"] == 0
    stats = provider.stats()
    assert (stats["started"], stats["dropped"]["export_failed"]) == (2, 2)
    provider.shutdown(5)


class Gate(MemoryExporter):
    """Holds the background thread until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.opened = threading.Event(), threading.Event()

    def export(self, batch: Batch) -> None:
        self.entered.set()
        self.opened.wait(60)
        super().export(batch)


def test_a_full_queue_is_told_by_the_background_thread_with_what_to_do(
    handler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[int, str]] = []
    handler(lambda record: lines.append((threading.get_ident(), record.getMessage())))
    gate = Gate()
    provider = fasttrace.TracerProvider(exporter=gate, max_queue_spans=10, schedule_delay=0.01)
    tracer = provider.get_tracer("test")

    def until(what: Any) -> None:
        deadline = time.monotonic() + 60
        while not what() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert what()

    tracer.start_span("first").end()
    assert gate.entered.wait(60)
    for _ in range(15):
        tracer.start_span("operation").end()
    assert provider.stats()["dropped"]["queue_full"] == 6
    assert lines == []  # never on the application's thread
    gate.opened.set()
    until(lambda: lines)
    assert lines[0][0] != threading.get_ident()
    assert lines[0][1].startswith("6 spans dropped (queue_full): the queue of 10 spans and 16777216 bytes was full")
    assert "max_queue_spans" in lines[0][1]
    assert "Gate" in lines[0][1]

    def overflow(lost: int, *, a_minute_later: bool = False) -> None:
        before = provider.stats()["dropped"]["queue_full"]
        gate.entered.clear()
        gate.opened.clear()
        tracer.start_span("first").end()
        assert gate.entered.wait(60)
        for _ in range(9 + lost):
            tracer.start_span("operation").end()
        assert provider.stats()["dropped"]["queue_full"] == before + lost
        if a_minute_later:
            monkeypatch.setattr(_log, "_last", {})
        gate.opened.set()
        assert provider.flush(60)

    assert provider.flush(60)
    overflow(3)
    assert len(lines) == 1  # the minute is not over
    overflow(4, a_minute_later=True)
    until(lambda: len(lines) == 2)
    assert lines[1][1].startswith("7 spans dropped (queue_full)")
    provider.shutdown(5)
