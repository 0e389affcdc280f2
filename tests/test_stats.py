"""``stats()``: one shape, always; every figure means what its description says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import fasttrace
from fasttrace import process
from fasttrace._core.layout import DROP_REASONS, TIMED_EVERY
from fasttrace.cost import Bill
from fasttrace.export import JSONLinesExporter, MemoryExporter, OTLPExporter, SpoolExporter, ZipkinExporter
from fasttrace.export.base import Batch, address, masked


@pytest.fixture
def not_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_provider", None)


def test_the_shape_is_the_same_before_and_after_configure(not_configured: None) -> None:
    before = fasttrace.stats()
    provider = fasttrace.TracerProvider(exporter="memory")
    after = provider.stats()
    assert list(before) == list(after)
    assert list(before["dropped"]) == list(after["dropped"]) == list(DROP_REASONS)
    assert not any(value for key, value in before.items() if key not in ("dropped", "implementation"))
    assert not any(before["dropped"].values())
    assert before["implementation"] == fasttrace.implementation()[0]
    provider.shutdown()


def test_no_caller_can_spoil_it_for_the_next(not_configured: None) -> None:
    found = fasttrace.stats()
    found["dropped"]["queue_full"] = 99
    assert fasttrace.stats()["dropped"]["queue_full"] == 0


def test_every_key_and_reason_is_described() -> None:
    described = fasttrace.stats.__doc__ or ""
    found = fasttrace.stats()
    assert [key for key in (*found, *found["dropped"]) if f"``{key}``" not in described] == []


def test_the_queue_shows_its_depth_and_bounds() -> None:
    provider = fasttrace.TracerProvider(
        exporter="memory", max_queue_spans=700, max_queue_bytes=300_000, schedule_delay=60
    )
    for _ in range(3):
        provider.get_tracer("test").start_span("operation").end()
    stats = provider.stats()
    assert (stats["queued"], stats["max_queue_spans"], stats["max_queue_bytes"]) == (3, 700, 300_000)
    assert 3 * 64 < stats["queued_bytes"] < 3 * 1000
    assert provider.flush(20)
    assert (provider.stats()["queued"], provider.stats()["queued_bytes"]) == (0, 0)
    provider.shutdown()


class Fickle(MemoryExporter):
    fails = False

    def export(self, batch: Batch) -> None:
        if self.fails:
            raise OSError("no route to host")
        super().export(batch)


def test_the_last_export_and_the_last_error_have_their_time() -> None:
    exporter = Fickle()
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=60)
    begin = time.time()
    provider.get_tracer("test").start_span("one").end()
    assert provider.flush(20)
    stats = provider.stats()
    assert begin <= stats["last_export_time"] <= time.time()
    assert (stats["last_error"], stats["last_error_time"]) == (None, None)
    exporter.fails = True
    provider.get_tracer("test").start_span("two").end()
    assert not provider.flush(20)
    after = provider.stats()
    assert after["last_export_time"] == stats["last_export_time"] <= after["last_error_time"] <= time.time()
    assert after["last_error"] == "OSError: no route to host"
    provider.shutdown()


class Laborious(MemoryExporter):
    """Takes 50 ms of CPU for each batch."""

    def export(self, batch: Batch) -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        super().export(batch)


def test_the_thread_knows_what_it_has_cost() -> None:
    provider = fasttrace.TracerProvider(exporter=Laborious(), schedule_delay=60)
    assert provider.stats()["thread_cpu_seconds"] == 0
    for count in (1, 2, 3):
        provider.get_tracer("test").start_span("operation").end()
        assert provider.flush(60)
        assert provider.stats()["thread_cpu_seconds"] >= 0.05 * count
    assert provider.shutdown()
    assert provider.stats()["thread_cpu_seconds"] >= 0.15


def test_the_bill_is_that_of_the_spans_and_of_the_thread() -> None:
    provider = fasttrace.TracerProvider(exporter=Laborious(), schedule_delay=60)
    tracer = provider.get_tracer("test")
    assert provider.stats()["span_cpu_microseconds"] is None
    for _ in range(2 * TIMED_EVERY):
        with tracer.start_as_current_span("operation"):
            pass
    assert provider.flush(60)
    stats = provider.stats()
    assert stats["timed_spans"] == 2
    spans = stats["span_cpu_microseconds"] * 2 * TIMED_EVERY / 1e6
    assert stats["cpu_seconds"] == pytest.approx(spans + stats["thread_cpu_seconds"])
    assert stats["cpu_seconds"] > stats["thread_cpu_seconds"] >= 0.05
    assert 0 < stats["cpu_percent"] <= 100
    provider.shutdown()


def test_the_percentage_is_of_all_that_the_process_did_since_it_was_configured() -> None:
    provider = fasttrace.TracerProvider(exporter=Laborious(), schedule_delay=60)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(60)
    before = provider.stats()["cpu_percent"]
    end = time.thread_time() + 0.3
    while time.thread_time() < end:
        pass
    stats = provider.stats()
    assert stats["cpu_percent"] <= 100 * stats["cpu_seconds"] / 0.3
    assert stats["cpu_percent"] < before
    provider.shutdown()


def test_the_bill_never_goes_down() -> None:
    class Recorder:
        timed_ns = 10_000

        def counters(self) -> dict[str, int]:
            return {"timed": 1, "timed_ns": self.timed_ns}

    recorder: Any = Recorder()
    bill = Bill(recorder)
    first = bill.own_seconds()
    recorder.timed_ns = 9_000
    assert bill.own_seconds() == first == pytest.approx(10_000 * TIMED_EVERY / 1e9)
    recorder.timed_ns = -5
    assert Bill(recorder).own_seconds() == 0
    assert Bill(recorder).stats()["span_cpu_microseconds"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_begins_at_zero_and_the_parent_goes_on_adding() -> None:
    provider = fasttrace.TracerProvider(exporter=Laborious(), schedule_delay=60)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(60)
    pid = os.fork()
    if pid == 0:
        stats = provider.stats()
        blank = stats["thread_cpu_seconds"] == stats["cpu_seconds"] == 0 and stats["timed_spans"] == 0
        os._exit(0 if blank and stats["last_export_time"] is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(60)
    assert provider.stats()["thread_cpu_seconds"] >= 0.1
    provider.shutdown()


def test_spans_that_wait_on_disk_are_counted_with_those_of_earlier_processes(tmp_path: Path) -> None:
    def make() -> fasttrace.TracerProvider:
        closed = OTLPExporter("http://127.0.0.1:9/v1/traces", headers={"authorization": "Bearer sesame"}, timeout=0.1)
        return fasttrace.TracerProvider(
            exporter=closed, undelivered_dir=str(tmp_path), schedule_delay=60, exit_timeout=0.1
        )

    first = make()
    for _ in range(3):
        first.get_tracer("test").start_span("operation").end()
    assert not first.flush(20)
    assert (first.stats()["undelivered"], first.stats()["spooled"], first.stats()["away"]) == (3, 3, True)
    first.shutdown(0.1)
    second = make()
    for _ in range(2):
        second.get_tracer("test").start_span("operation").end()
    assert not second.flush(20)
    assert (second.stats()["undelivered"], second.stats()["spooled"]) == (5, 2)
    assert "sesame" not in str(second.stats())
    second.shutdown(0.1)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:4318/v1/traces", "http://localhost:4318/v1/traces"),
        ("https://user:secret@host/v1/traces", "https://***@host/v1/traces"),
        ("https://secret@host:4318", "https://***@host:4318"),
        ("https://user:sec/ret@host/v1", "https://***@host/v1"),
        ("https://user:sec?ret@host/v1", "https://***@host/v1"),
        ("https://host/v1/traces?key=secret", "https://host/v1/traces?***"),
        ("https://host/v1/traces?mail=a@secret", "https://host/v1/traces?***"),
        ("https://host/v1/traces#secret", "https://host/v1/traces#***"),
        ("http://[::1]:4318/v1", "http://[::1]:4318/v1"),
        ("http://[::1]/v1/a@b", "http://[::1]/v1/a@b"),
        ("host:4317", "host:4317"),
        ("user:secret@host:4317", "***@host:4317"),
    ],
)
def test_what_may_be_secret_in_a_url_is_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_the_destination_is_where_a_person_would_look(tmp_path: Path) -> None:
    made: list[tuple[Any, str | None]] = [
        (OTLPExporter("http://localhost:4318/v1/traces?secret"), "http://localhost:4318/v1/traces?***"),
        (ZipkinExporter("http://localhost:9411/api/v2/spans?key=secret"), "http://localhost:9411/api/v2/spans?***"),
        (SpoolExporter(tmp_path / "spool"), str(tmp_path / "spool")),
        (JSONLinesExporter(tmp_path / "spans.jsonl"), str(tmp_path / "spans.jsonl")),
        (MemoryExporter(), None),
    ]
    for exporter, shown in made:
        assert address(exporter) == shown
        assert "secret" not in repr(exporter)
    provider = fasttrace.TracerProvider(exporter=made[2][0])
    assert provider.stats()["exporter"] == "SpoolExporter"
    assert provider.stats()["destination"] == str(tmp_path / "spool")
    provider.shutdown()


class Moody(MemoryExporter):
    @property
    def endpoint(self) -> str:
        raise RuntimeError("not today")


def test_an_exporter_whose_endpoint_raises_has_no_destination() -> None:
    provider = fasttrace.TracerProvider(exporter=Moody())
    assert (provider.stats()["exporter"], provider.stats()["destination"]) == ("Moody", None)
    provider.shutdown()
