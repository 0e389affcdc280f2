"""The background thread, flush, shutdown and fork, through a provider."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

import fasttrace
from fasttrace.export import MemoryExporter
from fasttrace.export.base import Batch


class Gate:
    """An exporter that blocks until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.spans = 0

    def export(self, batch: Batch) -> None:
        self.entered.set()
        self.open.wait(60)
        self.spans += len(batch)

    def flush(self, timeout: float) -> bool:
        return True

    def shutdown(self, timeout: float) -> None:
        pass


class Broken(Gate):
    def export(self, batch: Batch) -> None:
        raise OSError("no route to host")


def balanced(stats: dict[str, Any]) -> bool:
    parts = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")
    return bool(stats["started"] == sum(stats[part] for part in parts) + sum(stats["dropped"].values()))


def test_spans_reach_the_exporter_without_a_flush() -> None:
    exporter = MemoryExporter()
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=0.05)
    with provider.get_tracer("test").start_as_current_span("operation"):
        pass
    deadline = time.monotonic() + 60
    while not exporter.spans and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [span.name for span in exporter.spans] == ["operation"]
    assert provider.shutdown(60)


def test_a_sleeping_thread_wakes_for_the_next_span() -> None:
    exporter = MemoryExporter()
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=0.01)
    tracer = provider.get_tracer("test")
    tracer.start_span("first").end()
    deadline = time.monotonic() + 60
    while provider.recorder.consumer_running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not provider.recorder.consumer_running
    tracer.start_span("second").end()
    while len(exporter.spans) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [span.name for span in exporter.spans] == ["first", "second"]
    provider.shutdown(5)


def test_batches_are_capped_by_count_and_by_bytes() -> None:
    sizes: list[tuple[int, int]] = []

    class Sizes(Gate):
        def export(self, batch: Batch) -> None:
            sizes.append((len(batch), len(batch.otlp)))

    provider = fasttrace.TracerProvider(exporter=Sizes(), max_batch_spans=50, max_batch_bytes=4000, schedule_delay=60)
    tracer = provider.get_tracer("test")
    for _ in range(200):
        tracer.start_span("x" * 40).end()
    tracer.start_span("y" * 10_000).end()
    assert provider.flush(20)
    assert sum(count for count, _ in sizes) == 201
    assert all(count <= 50 for count, _ in sizes)
    assert all(nbytes <= 4000 or count == 1 for count, nbytes in sizes)
    provider.shutdown(5)


def test_flush_and_shutdown_keep_their_deadlines_with_a_blocked_exporter() -> None:
    gate = Gate()
    provider = fasttrace.TracerProvider(exporter=gate, schedule_delay=0.01)
    provider.get_tracer("test").start_span("stuck").end()
    assert gate.entered.wait(60)
    begin = time.monotonic()
    assert provider.flush(0.2) is False
    assert provider.shutdown(0.2) is False
    assert time.monotonic() - begin < 10
    assert balanced(provider.stats())
    gate.open.set()


def test_a_blocked_exporter_never_blocks_the_application_and_the_newest_are_dropped_and_counted() -> None:
    gate = Gate()
    provider = fasttrace.TracerProvider(exporter=gate, max_queue_spans=100, max_batch_spans=10, schedule_delay=0.01)
    tracer = provider.get_tracer("test")
    tracer.start_span("first").end()
    assert gate.entered.wait(60)
    for _ in range(1000):
        tracer.start_span("more").end()
    stats = provider.stats()
    assert stats["queued"] == 100
    assert stats["dropped"]["queue_full"] == 901
    assert balanced(stats)
    gate.open.set()
    assert provider.flush(20)
    stats = provider.stats()
    assert gate.spans == stats["exported"] == 100
    assert stats["queued"] == 0
    assert balanced(stats)
    provider.shutdown(5)


def test_a_failed_export_is_counted_and_the_thread_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    provider = fasttrace.TracerProvider(exporter=Broken(), schedule_delay=60)
    tracer = provider.get_tracer("test")
    tracer.start_span("one").end()
    assert provider.flush(20) is False
    tracer.start_span("two").end()
    assert provider.flush(20) is False
    stats = provider.stats()
    assert stats["dropped"]["export_failed"] == 2
    assert "no route to host" in stats["last_error"]
    assert balanced(stats)
    assert sum("spans dropped" in record.message for record in caplog.records) <= 1
    provider.shutdown(5)


def test_spans_that_end_after_shutdown_are_counted() -> None:
    provider = fasttrace.TracerProvider(exporter=MemoryExporter())
    tracer = provider.get_tracer("test")
    late = tracer.start_span("late")
    assert provider.shutdown(60)
    late.end()
    assert provider.stats()["dropped"]["after_shutdown"] == 1
    assert balanced(provider.stats())


@pytest.mark.parametrize("timeout", [1e12, float("inf")])
def test_a_flush_and_a_shutdown_may_have_all_the_time_there_is(timeout: float) -> None:
    exporter = MemoryExporter()
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=60)
    tracer = provider.get_tracer("test")
    tracer.start_span("flushed").end()
    assert provider.flush(timeout)
    tracer.start_span("at the end").end()
    assert provider.shutdown(timeout)
    assert [span.name for span in exporter.spans] == ["flushed", "at the end"]


def test_concurrent_flushes_send_every_span_once() -> None:
    exporter = MemoryExporter()
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=60)
    tracer = provider.get_tracer("test")

    def work() -> None:
        for _ in range(50):
            tracer.start_span("operation").end()
            provider.flush(10)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.shutdown(60)
    assert len(exporter.spans) == len({span.span_id for span in exporter.spans}) == 200


def test_aflush_leaves_the_event_loop_running(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    fasttrace.configure(exporter=gate, schedule_delay=60)
    fasttrace.get_tracer("test").start_span("operation").end()

    async def main() -> bool:
        flushing = asyncio.create_task(fasttrace.aflush(20))
        while not gate.entered.is_set():
            await asyncio.sleep(0.001)
        gate.open.set()
        return await flushing

    assert asyncio.run(main())
    fasttrace.shutdown(5)


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def test_what_is_queued_at_exit_is_sent(tmp_path: Any) -> None:
    path = tmp_path / "spans.jsonl"
    result = run(
        f"""
        import fasttrace
        from fasttrace.export import JSONLinesExporter
        fasttrace.configure(exporter=JSONLinesExporter({str(path)!r}), schedule_delay=60)
        fasttrace.get_tracer("test").start_span("last words").end()
        """
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "last words" in path.read_text()


@pytest.mark.parametrize("leave", ["", "os._exit(0)"])
def test_a_forked_child_exports_its_own_spans_and_none_of_the_parents(tmp_path: Any, leave: str) -> None:
    path = tmp_path / "spans.jsonl"
    result = run(
        f"""
        import os, fasttrace
        from fasttrace.export import JSONLinesExporter
        fasttrace.configure(exporter=JSONLinesExporter({str(path)!r}), schedule_delay=60)
        tracer = fasttrace.get_tracer("test")
        tracer.start_span("parent before").end()
        open_span = tracer.start_span("open across the fork")
        pid = os.fork()
        if pid == 0:
            open_span.end()
            assert fasttrace.stats()["dropped"]["forked"] == 1
            assert fasttrace.stats()["queued"] == 0
            with tracer.start_as_current_span("child"):
                pass
            assert fasttrace.flush(20)
            {leave or "raise SystemExit(0)"}
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        open_span.end()
        tracer.start_span("parent after").end()
        """
    )
    assert (result.returncode, result.stderr) == (0, "")
    text = path.read_text()
    for name in ("parent before", "open across the fork", "child", "parent after"):
        assert text.count(f'"{name}"') == 1


def test_children_of_multiprocessing_send_their_spans_at_exit(tmp_path: Any) -> None:
    path = tmp_path / "spans.jsonl"
    result = run(
        f"""
        import multiprocessing, fasttrace
        from fasttrace.export import JSONLinesExporter
        tracer = fasttrace.get_tracer("test")
        def work(number):
            tracer.start_span(f"child {{number}}").end()
        if __name__ == "__main__":
            fasttrace.configure(exporter=JSONLinesExporter({str(path)!r}), schedule_delay=60)
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=work, args=(number,)) for number in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
        """
    )
    assert (result.returncode, result.stderr) == (0, "")
    text = path.read_text()
    assert all(text.count(f"child {number}") == 1 for number in range(3))


def test_the_counters_balance_at_every_quiescent_point() -> None:
    provider = fasttrace.TracerProvider(exporter=MemoryExporter(), sampler=0.5, schedule_delay=60)
    tracer = provider.get_tracer("test")
    assert balanced(provider.stats())
    kept = [tracer.start_span("open") for _ in range(10)]
    for _ in range(100):
        with tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
            pass
    tracer.start_span("abandoned")
    assert balanced(provider.stats())
    for span in kept:
        span.end()
    assert provider.flush(20)
    stats = provider.stats()
    assert balanced(stats)
    assert stats["started"] == 211
    assert stats["queued"] == 0
    provider.shutdown(5)
