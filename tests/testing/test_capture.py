"""Which spans a capture gets: all that begin inside, whoever configured what, and nobody else's."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import fasttrace
from fasttrace import process
from fasttrace.export import MemoryExporter
from fasttrace.testing import Spans, capture_spans

tracer = fasttrace.get_tracer("tests.testing", "1.0")


@pytest.fixture
def exporter() -> Iterator[MemoryExporter]:
    """A configured application."""
    made = MemoryExporter()
    fasttrace.configure(service_name="shop", exporter=made)
    yield made
    fasttrace.shutdown(timeout=10)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    provider = process._provider
    assert provider is None or provider.recorder.processor is None


def names(spans: Spans) -> list[str]:
    return [span.name for span in spans]


def traced(name: str) -> None:
    with tracer.start_as_current_span(name):
        pass


def run(program: str, **environ: str) -> str:
    """What a program prints in a process where nothing has been configured."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_captured_span_is_what_the_exporter_gets(exporter: MemoryExporter) -> None:
    parent = fasttrace.extract({"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "tracestate": "a=b"})
    with capture_spans() as spans:
        with tracer.start_as_current_span(
            "outer", parent, fasttrace.SpanKind.SERVER, {"list": ("a", "b"), "int": 5, "nested": {"x": [1, b"y"]}}
        ) as outer:
            outer.add_event("event", {"key": 1.5})
            outer.add_link(outer, {"to": "itself"})
            outer.set_attribute("", "dropped")
            outer.set_status(fasttrace.StatusCode.ERROR, "failed")
            traced("inner")
    assert fasttrace.flush(timeout=60)
    exported = sorted(exporter.spans, key=lambda span: span.start_time_ns)
    assert names(spans) == [span.name for span in exported] == ["outer", "inner"]
    for ours, theirs in zip(spans, exported, strict=True):
        for field in type(ours).__slots__:
            mine, expected = getattr(ours, field), getattr(theirs, field)
            if field == "flags":
                expected &= ~0x200  # that the parent is remote
            if field in ("events", "links"):
                mine, expected = repr(mine), repr(expected)
            assert mine == expected, field


def test_everything_is_sampled_and_the_sampler_is_back_afterwards() -> None:
    exporter = MemoryExporter()
    provider = fasttrace.configure(exporter=exporter, sampler="parentbased_always_off")
    before = provider.recorder.thresholds
    unsampled = fasttrace.extract({"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"})
    traced("before")
    with capture_spans() as spans:
        traced("root")
        provider.sampler.boost(0.0, 60)  # type: ignore[attr-defined]
        traced("another root")
        with tracer.start_as_current_span("called", unsampled) as span:
            assert span.sampled
    traced("after")
    assert provider.recorder.thresholds[1:] == before[1:]
    assert names(spans) == ["root", "another root", "called"]
    fasttrace.shutdown(timeout=10)
    assert sorted(span.name for span in exporter.spans) == ["another root", "called", "root"]


@pytest.mark.parametrize("sdk", ["", "true"], ids=["as usual", "disabled"])
def test_without_configure_or_switched_off_spans_are_captured_and_then_nothing_is_traced(sdk: str) -> None:
    out = run(
        "import os, threading, fasttrace\n"
        "from fasttrace.testing import capture_spans\n"
        "if os.environ.get('OTEL_SDK_DISABLED'): fasttrace.configure()\n"
        "tracer = fasttrace.get_tracer('early')\n"
        "for _ in range(2):\n"
        "    with capture_spans() as spans:\n"
        "        with tracer.start_as_current_span('a'), fasttrace.get_tracer('late').start_as_current_span('b'): pass\n"
        "        for _ in range(20_000): tracer.start_span('many').end()\n"
        "    print(len(spans), spans.one('b').resource['telemetry.sdk.name'])\n"
        "    assert not tracer.start_span('after').is_recording()\n"
        "assert fasttrace.stats()['started'] == 0 and threading.active_count() == 1",
        OTEL_SDK_DISABLED=sdk,
    )
    assert out == "20002 fasttrace\n" * 2


def test_configure_within_a_block_goes_on_being_captured_and_stays() -> None:
    out = run(
        "import fasttrace\n"
        "from fasttrace.testing import capture_spans\n"
        "tracer = fasttrace.get_tracer('app')\n"
        "def traced(name):\n"
        "    with tracer.start_as_current_span(name): pass\n"
        "exporter = fasttrace.export.MemoryExporter()\n"
        "with capture_spans() as spans:\n"
        "    traced('before')\n"
        "    fasttrace.configure(exporter='none', sampler='always_off')\n"
        "    traced('between')\n"
        "    fasttrace.configure(exporter=exporter, sampler='always_off', service_name='shop')\n"
        "    traced('after')\n"
        "traced('outside')\n"
        "fasttrace.flush()\n"
        "print([span.name for span in spans], spans.one('after').resource['service.name'])\n"
        "print([span.name for span in exporter.spans], fasttrace.stats()['sampled_out'])\n".replace(
            "import fasttrace\n", "import fasttrace, fasttrace.export\n", 1
        )
    )
    assert out == "['before', 'between', 'after'] shop\n['after'] 1\n"


def test_what_begins_or_ends_outside_is_not_in_it(exporter: MemoryExporter) -> None:
    early = tracer.start_span("early")
    with capture_spans() as spans:
        early.end()
        late = tracer.start_span("late")
    late.end()
    traced("after")
    assert names(spans) == []
    assert spans.tree() == "late [running]" or spans.tree() == ""


def test_tasks_portals_and_to_thread_belong_to_the_test_that_started_them(exporter: MemoryExporter) -> None:
    import anyio.from_thread

    async def task(name: str) -> None:
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0)
            await asyncio.to_thread(traced, f"{name} in a thread")

    async def tasks(name: str) -> None:
        await asyncio.gather(*(task(f"{name} {number}") for number in range(3)))

    def test(name: str) -> list[str]:
        with capture_spans() as spans:
            barrier.wait(60)
            asyncio.run(tasks(name))
            with anyio.from_thread.start_blocking_portal() as portal:
                portal.call(task, f"{name} portal")
            barrier.wait(60)
        return names(spans)

    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(test, "abcd")):
            letter = "abcd"[number]
            assert len(found) == 8
            assert {name[0] for name in found} == {letter}


def test_a_thread_of_its_own_belongs_to_the_only_capture(exporter: MemoryExporter) -> None:
    def in_thread(name: str) -> None:
        thread = threading.Thread(target=traced, args=(name,))
        thread.start()
        thread.join()

    with capture_spans() as outer:
        in_thread("one")
        with capture_spans() as inner:
            in_thread("two")
        in_thread("three")
        opened, done = threading.Event(), threading.Event()

        def other() -> None:
            with capture_spans() as others:
                opened.set()
                done.wait(10)
            assert len(others) == 0

        thread = threading.Thread(target=other)
        thread.start()
        opened.wait(10)
        in_thread("whose?")
        traced("mine")
        done.set()
        thread.join()
    assert names(inner) == ["two"]
    assert names(outer) == ["one", "two", "three", "mine"]


def test_a_task_that_outlives_its_block_belongs_to_the_next_one(exporter: MemoryExporter) -> None:
    async def main() -> None:
        async def worker() -> None:
            while True:
                await asyncio.sleep(0.001)
                traced("tick")

        with capture_spans():
            task = asyncio.create_task(worker())
        with capture_spans() as later:
            while not names(later):
                await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_question_waits_for_a_span_of_another_thread(exporter: MemoryExporter) -> None:
    begun, asked = threading.Event(), threading.Event()

    def serve() -> None:
        with tracer.start_as_current_span("server"):
            begun.set()
            asked.wait(10)

    with capture_spans() as spans:
        thread = threading.Thread(target=serve)
        thread.start()
        begun.wait(10)
        threading.Timer(0.05, asked.set).start()
        assert spans.one("server").name == "server"
        thread.join()


def test_a_span_that_is_dropped_counts_as_abandoned(exporter: MemoryExporter) -> None:
    with capture_spans() as spans:
        span = tracer.start_span("dropped")
        assert spans.tree() == "dropped [running]"
        del span
        gc.collect()
        assert spans.tree() == ""
        assert fasttrace.stats()["abandoned"] == 1


def test_a_processor_that_was_there_goes_on_and_is_put_back(exporter: MemoryExporter) -> None:
    class Failing:
        seen: list[str] = []

        def on_start(self, span: Any, parent: Any) -> None:
            self.seen.append(f"start {span.name}")
            raise RuntimeError

        def on_ending(self, span: Any) -> None:
            self.seen.append(f"ending {span.name}")

        def on_end(self, span: Any) -> None:
            self.seen.append(f"end {span.name}")
            raise RuntimeError

    provider = process._provider
    assert provider is not None
    processor = provider.recorder.processor = Failing()
    with capture_spans() as spans:
        traced("span")
    assert provider.recorder.processor is processor
    provider.recorder.processor = None
    assert names(spans) == ["span"]
    assert Failing.seen == ["start span", "ending span", "end span"]


def test_an_opentelemetry_program_is_captured_too() -> None:
    pytest.importorskip("opentelemetry.trace")
    out = run(
        "from opentelemetry import trace\n"
        "import fasttrace.opentelemetry\n"
        "from fasttrace.testing import capture_spans\n"
        "fasttrace.opentelemetry.install(exporter='none')\n"
        "with capture_spans() as spans:\n"
        "    with trace.get_tracer('app').start_as_current_span('outer'):\n"
        "        with fasttrace.get_tracer('lib').start_as_current_span('inner'): pass\n"
        "print(spans.tree())\n"
    )
    assert out == "outer\n└─ inner\n"


def test_processors_that_opentelemetry_adds_within_a_block_stand_behind_the_capture() -> None:
    pytest.importorskip("opentelemetry.sdk.trace")
    out = run(
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import SpanProcessor\n"
        "import fasttrace.opentelemetry\n"
        "from fasttrace.testing import capture_spans\n"
        "fasttrace.opentelemetry.install(exporter='none')\n"
        "class Renaming(SpanProcessor):\n"
        "    def _on_ending(self, span): span.update_name('renamed')\n"
        "    def on_end(self, span): pass\n"
        "provider, tracer = trace.get_tracer_provider(), trace.get_tracer('app')\n"
        "with capture_spans() as spans:\n"
        "    provider.add_span_processor(Renaming())\n"
        "    with tracer.start_as_current_span('outer'): pass\n"
        "with tracer.start_as_current_span('later') as later: pass\n"
        "print(spans.tree(), later.name)\n"
    )
    assert out == "renamed renamed\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_may_go_on_tracing(exporter: MemoryExporter) -> None:
    with capture_spans() as spans:
        with tracer.start_as_current_span("parent"):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    traced("child")
                    code = 0 if [span.name for span in spans] == ["child"] else 2
                finally:
                    os._exit(code)
            assert os.waitpid(pid, 0)[1] == 0
    assert names(spans) == ["parent"]
