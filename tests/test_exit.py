"""Ways in which processes end: what has ended is delivered, nothing is added to how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import fasttrace

START = """
import fasttrace, os, signal, sys, threading, time
fasttrace.configure(exporter="jsonlines", schedule_delay=60, flush_on_sigterm=os.environ.get("SIGTERM_FLUSHES") == "1")
tracer = fasttrace.get_tracer("test")
tracer.start_span("before").end()
"""


class Program:
    """A program that has ended: its code, what it wrote, and the names of the spans that arrived."""

    def __init__(self, folder: Path, text: str, **environment: str) -> None:
        self.path = folder / "traces.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", START + textwrap.dedent(text)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def end(self) -> Program:
        try:
            self.out, self.err = self.process.communicate(timeout=60)
        finally:
            self.process.kill()
        self.code = self.process.returncode
        return self

    @property
    def names(self) -> list[str]:
        import json

        return [
            span["name"]
            for line in (self.path.read_text().splitlines() if self.path.exists() else [])
            for resource_spans in json.loads(line)["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"]
            for span in scope_spans["spans"]
        ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("raise ValueError('of the application')", 1),
        ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
        ("os.execv(sys.executable, [sys.executable, '-c', 'raise SystemExit(4)']) if fasttrace.flush(20) else None", 4),
        ("fasttrace.shutdown(5); sys.exit(5)", 5),
    ],
    ids=["end", "sys.exit", "SystemExit", "exception", "SIGINT", "exec after a flush", "own shutdown"],
)
def test_what_ended_before_the_end_is_delivered(tmp_path: Path, text: str, code: int) -> None:
    program = Program(tmp_path, text).end()
    assert program.code == code
    assert program.names == ["before"]
    assert program.err == "" or "of the application" in program.err or "KeyboardInterrupt" in program.err
    assert "fasttrace" not in program.err.replace("<string>", "")


def test_threads_that_outlive_the_main_thread_are_waited_for_as_ever(tmp_path: Path) -> None:
    text = """
    def work():
        with tracer.start_as_current_span("in the thread"):
            time.sleep(0.3)
    threading.Thread(target=work).start()
    """
    program = Program(tmp_path, text).end()
    assert (program.code, program.err) == (0, "")
    assert sorted(program.names) == ["before", "in the thread"]


def test_a_daemon_thread_inside_a_span_neither_hangs_nor_crashes_the_end(tmp_path: Path) -> None:
    text = """
    entered = threading.Event()
    def work():
        with tracer.start_as_current_span("never ends"):
            entered.set()
            while True:
                with tracer.start_as_current_span("inner"):
                    time.sleep(0.001)
    threading.Thread(target=work, daemon=True).start()
    entered.wait()
    """
    program = Program(tmp_path, text).end()
    assert (program.code, program.err) == (0, "")
    assert "before" in program.names
    assert "never ends" not in program.names


@pytest.mark.skipif(
    fasttrace.implementation()[0] == "python" and not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="without a GIL modules are emptied before their last objects go, the pure-Python core's own among them",
)
def test_spans_of_atexit_handlers_that_run_before_ours_are_delivered_and_later_ones_harm_nobody(tmp_path: Path) -> None:
    text = """
    import atexit
    atexit.register(lambda: tracer.start_span("registered after the first span").end())
    class Late:
        def __del__(self, tracer=tracer):
            with tracer.start_as_current_span("while modules are torn down"):
                pass
    keep = Late()
    """
    program = Program(tmp_path, text).end()
    assert (program.code, program.err) == (0, "")
    assert program.names == ["before", "registered after the first span"]


def test_os_exit_skips_the_end_and_what_was_flushed_is_safe(tmp_path: Path) -> None:
    program = Program(tmp_path, "fasttrace.flush(20); tracer.start_span('lost').end(); os._exit(7)").end()
    assert (program.code, program.err) == (7, "")
    assert program.names == ["before"]


def test_a_closed_event_loop_with_open_spans_is_no_trouble(tmp_path: Path) -> None:
    text = """
    import asyncio
    async def forever():
        with tracer.start_as_current_span("cancelled"):
            await asyncio.sleep(1000)
    async def numbers():
        with tracer.start_as_current_span("generator"):
            yield 1
            yield 2
    async def main():
        task = asyncio.create_task(forever())
        async for _ in numbers():
            break
        with tracer.start_as_current_span("main"):
            await asyncio.sleep(0)
    asyncio.run(main())
    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(forever())
    loop.run_until_complete(asyncio.sleep(0.01))
    abandoned.cancel()
    loop.run_until_complete(asyncio.gather(abandoned, return_exceptions=True))
    loop.close()
    assert fasttrace.stats()["active"] == 0
    """
    program = Program(tmp_path, text).end()
    assert (program.code, program.err) == (0, "")
    assert sorted(program.names) == ["before", "cancelled", "cancelled", "generator", "main"]


# --- SIGTERM

WAIT = "print('ready', flush=True)\nfor _ in range(1200): time.sleep(0.05)"


def terminate(program: Program) -> Program:
    assert program.process.stdout is not None
    assert program.process.stdout.readline() == "ready\n"
    program.process.send_signal(signal.SIGTERM)
    return program.end()


def test_sigterm_ends_a_process_at_once_unless_asked_to_flush(tmp_path: Path) -> None:
    program = terminate(Program(tmp_path, WAIT))
    assert (program.code, program.names) == (-signal.SIGTERM, [])


def test_sigterm_flushes_when_asked_to_and_ends_the_process_as_it_would_have(tmp_path: Path) -> None:
    program = terminate(Program(tmp_path, WAIT, SIGTERM_FLUSHES="1"))
    assert (program.code, program.err) == (-signal.SIGTERM, "")
    assert program.names == ["before"]


def test_a_handler_that_was_there_is_called_after_the_flush(tmp_path: Path) -> None:
    text = """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(9))
    fasttrace.configure(exporter="jsonlines", schedule_delay=60, flush_on_sigterm=True)
    tracer.start_span("after").end()
    """
    program = terminate(Program(tmp_path, textwrap.dedent(text) + WAIT))
    assert (program.code, program.err) == (9, "")
    assert program.names == ["before", "after"]


def test_a_process_that_ignores_sigterm_goes_on_ignoring_it(tmp_path: Path) -> None:
    text = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    fasttrace.configure(exporter="jsonlines", flush_on_sigterm=True)
    print("ready", flush=True)
    time.sleep(0.5)
    print("alive")
    """
    program = terminate(Program(tmp_path, text))
    assert program.code == 0
    assert "alive" in program.out


def test_sigterm_in_the_middle_of_anything_neither_deadlocks_nor_lets_the_process_live(tmp_path: Path) -> None:
    text = """
    print('ready', flush=True)
    while True:
        with tracer.start_as_current_span("busy"):
            pass
        fasttrace.flush(0.001)
        fasttrace.stats()
    """
    for number in range(8):
        program = Program(tmp_path, text, SIGTERM_FLUSHES="1")
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == "ready\n"
        time.sleep(0.01 * number)
        program.process.send_signal(signal.SIGTERM)
        program.end()
        assert program.code == -signal.SIGTERM
        assert program.err == ""


# --- signal handlers and finalisers that make spans


def test_a_signal_handler_may_make_spans_and_flush_whatever_it_interrupts(tmp_path: Path) -> None:
    text = """
    handled = 0
    def handler(number, frame):
        global handled
        handled += 1
        with tracer.start_as_current_span("in the handler"):
            pass
        if handled % 50 == 0:
            fasttrace.flush(5)
        if not stop:
            signal.setitimer(signal.ITIMER_REAL, 0.001)  # not before: a slow machine would nest handlers without end
    stop = False
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    end = time.monotonic() + 1.5
    count = 0
    while time.monotonic() < end:
        with tracer.start_as_current_span("work") as span:
            span.set_attribute("number", count)
        count += 1
        if count % 100 == 0:
            fasttrace.flush(5)
            fasttrace.stats()
    stop = True
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert fasttrace.flush(20)
    stats = fasttrace.stats()
    total = stats["exported"] + sum(stats["dropped"].values()) + stats["sampled_out"]
    assert stats["started"] == total == count + handled + 1, (stats, count, handled)
    assert handled > 20
    """
    program = Program(tmp_path, text).end()
    assert (program.code, program.err) == (0, "")
