"""What processes say of themselves beside their spool: real processes, and files that are none of theirs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from succeeding import succeed

import fasttrace
from fasttrace import accounts
from fasttrace.export import SpoolExporter, stats_file
from fasttrace.export.stats_file import ProcessStats

posix = pytest.mark.skipif(os.name != "posix", reason="file modes, links and signals of POSIX")

PROGRAM = """
import os, sys, time
import fasttrace
fasttrace.configure(service_name="orders", exporter="spool", max_queue_spans=20, schedule_delay=0.05)
tracer = fasttrace.get_tracer("test")
for _ in range(10):
    tracer.start_span("operation").end()
fasttrace.flush()
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Program:
    """A process that traces into a spool, and does what it is told."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        environment = {**os.environ, "FASTTRACE_SPOOL_DIR": str(spool)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self._line() == "done"

    def end(self) -> None:
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def says(self, condition: Callable[[ProcessStats], bool]) -> ProcessStats:
        """What its file says, once it says so."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for one in stats_file.read(self.spool):
                if one.pid == self.process.pid and condition(one):
                    return one
            time.sleep(0.05)
        raise AssertionError(f"it never said so: {[one.stats for one in stats_file.read(self.spool)]}")


@pytest.fixture
def program(tmp_path: Path) -> Any:
    found = Program(tmp_path / "spool")
    yield found
    found.process.kill()
    found.process.communicate()


def test_a_running_process_says_what_became_of_its_spans_and_then_that_it_ends(program: Program) -> None:
    told = program.says(lambda one: one.stats["exported"] == 10)
    assert (told.service, told.state, told.dropped) == ("orders", "running", {})
    assert told.start_ns < told.written_ns <= time.time_ns()
    assert list(told.stats) == list(accounts.blank())
    assert told.stats["max_queue_spans"] == 20
    program.end()
    told = program.says(lambda one: one.state != "running")
    assert (told.state, told.stats["exported"]) == ("ended", 10)
    assert len(stats_file.paths(program.spool)) == 1


def test_a_process_that_does_nothing_writes_nothing(program: Program) -> None:
    program.tell("while fasttrace.process._provider.recorder.consumer_running: time.sleep(0.01)")
    (path,) = stats_file.paths(program.spool)
    assert program.says(lambda one: True).stats["exported"] == 10  # what it said before it went to sleep
    before = os.stat(path)
    time.sleep(1.5)
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns
    program.tell("tracer.start_span('one more').end()")
    program.says(lambda one: one.stats["exported"] == 11)


def test_spans_that_are_lost_are_told(program: Program) -> None:
    program.tell("for _ in range(100): tracer.start_span('too many').end()")
    told = program.says(lambda one: one.stats["started"] == 110 and not one.stats["queued"])
    assert told.dropped == {"queue_full": 110 - told.stats["exported"]}
    assert told.dropped["queue_full"] > 0


@posix
def test_a_killed_process_is_gone_without_a_word(program: Program) -> None:
    program.says(lambda one: one.state == "running")
    os.kill(program.process.pid, signal.SIGKILL)
    program.process.wait(60)
    assert program.says(lambda one: True).state == "gone"


@posix
def test_a_child_has_a_file_of_its_own_and_does_not_keep_its_parents_alive(program: Program) -> None:
    program.tell("child = os.fork() or (os.close(1), os.read(0, 1), os._exit(0))")  # lives until the test is over
    program.says(lambda one: one.stats["exported"] == 10)
    os.kill(program.process.pid, signal.SIGKILL)
    program.process.wait(60)
    assert program.says(lambda one: one.state != "running").state == "gone"


FORK_IN_THE_MIDDLE = """
import os, threading, time
import fasttrace
from fasttrace.export import stats_file
stats_file.LOCK_SECONDS = 60
opened, original = threading.Event(), os.open
def slowly(path, *rest, **named):
    descriptor = original(path, *rest, **named)
    if "stats-" in os.fspath(path) and not opened.is_set():
        opened.set()
        time.sleep(0.3)  # the system call has returned, its caller has not yet got the GIL
    return descriptor
os.open = slowly
fasttrace.configure(exporter="spool", schedule_delay=0.05)
fasttrace.get_tracer("test").start_span("operation").end()
assert opened.wait(60)
child = os.fork()
if not child:
    descriptors = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    os._exit(any("stats-" in os.readlink(name) for name in descriptors if os.path.islink(name)))
assert os.waitpid(child, 0)[1] == 0, "the child keeps the file locked"
"""


@posix
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks for descriptors in /proc")
def test_a_fork_in_the_middle_of_a_write_leaves_the_child_no_lock(tmp_path: Path) -> None:
    environment = {**os.environ, "FASTTRACE_SPOOL_DIR": str(tmp_path / "spool")}
    succeed([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK_IN_THE_MIDDLE], env=environment)


@posix
def test_a_traced_child_tells_of_its_own_spans(program: Program) -> None:
    line = "(tracer.start_span('child').end(), fasttrace.shutdown(), os._exit(0))"
    program.tell(f"os.waitpid(os.fork() or {line}, 0)")
    parent = program.says(lambda one: one.stats["exported"] == 10)
    (child,) = [one for one in stats_file.read(program.spool) if one.pid != parent.pid]
    assert (child.service, child.state, child.stats["exported"]) == ("orders", "ended", 1)


@posix
def test_only_the_owner_can_read_it(program: Program) -> None:
    program.says(lambda one: True)
    (path,) = stats_file.paths(program.spool)
    assert os.stat(path).st_mode & 0o777 == 0o600


def written(spool: Path) -> bool:
    """Whether a file comes."""
    deadline = time.monotonic() + 60
    while not stats_file.read(spool) and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(stats_file.read(spool)) == 1


@posix
def test_what_can_not_be_written_is_counted_and_nothing_else(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    provider = fasttrace.TracerProvider(service_name="orders", exporter=SpoolExporter(spool), schedule_delay=60)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(20)
    assert written(spool)
    spool.rename(tmp_path / "elsewhere")
    spool.symlink_to(tmp_path / "nowhere")
    assert provider.shutdown(20)
    stats = provider.stats()
    assert (stats["stats_file_errors"], stats["exported"], sum(stats["dropped"].values())) == (1, 1, 0)
    assert not [name for name in os.listdir(tmp_path / "elsewhere") if not name.endswith((".spool", ".json"))]


def test_whoever_sends_elsewhere_leaves_no_file(tmp_path: Path) -> None:
    spool = SpoolExporter(tmp_path)
    provider = fasttrace.TracerProvider(exporter=spool, schedule_delay=0.01)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(20)
    assert written(tmp_path)
    memory = fasttrace.export.MemoryExporter()
    provider.redirect(memory)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.shutdown(20)
    assert stats_file.paths(tmp_path) == []
    idle = fasttrace.TracerProvider(exporter=SpoolExporter(tmp_path / "idle"))
    assert idle.shutdown(20)
    assert not (tmp_path / "idle").exists()


def put(directory: Path, name: str, told: Any) -> None:
    (directory / f"stats-{name}.json").write_text(told if isinstance(told, str) else json.dumps(told))


@posix
def test_files_that_nobody_of_us_wrote_do_no_harm(tmp_path: Path) -> None:
    put(tmp_path, "1-1", "{")
    put(tmp_path, "2-1", "[" * 50_000)
    put(tmp_path, "3-1", [])
    put(tmp_path, "4-1", " " * stats_file.MAX_BYTES + "{}")
    put(tmp_path, "5-1", {})
    odd = {"exported": -1, "queued": True, "dropped": {"queue_full": "many", "new": 3}, "last_error": {}, "novel": 7}
    put(tmp_path, "6-1", {"service": ["x"], "pid": 1e300, "written_ns": 10**30, "ended": "yes", "stats": odd})
    os.mkfifo(tmp_path / "stats-7-1.json")
    (tmp_path / "stats-8-1.json").symlink_to("/dev/zero")
    (tmp_path / "stats-9-1.json").mkdir()
    (tmp_path / "stats-10-1.json").write_bytes(b"\xff\xfe{")
    found = stats_file.read(tmp_path)
    assert [(one.pid, one.written_ns, one.state) for one in found] == [(0, 0, "gone"), (0, 0, "gone")]
    assert sorted(one.service for one in found) == ["['x']", "unknown_service"]
    (odd_one,) = [one for one in found if one.service == "['x']"]
    assert (odd_one.stats["exported"], odd_one.stats["queued"], odd_one.stats["novel"]) == (0, 0, 7)
    assert (odd_one.dropped, odd_one.stats["last_error"]) == ({"new": 3}, None)
    assert stats_file.read(tmp_path / "none") == []


def test_readers_see_a_whole_file_and_a_living_process_at_any_moment(tmp_path: Path) -> None:
    stats = accounts.blank()

    def next_stats() -> dict[str, Any]:
        stats["started"] += 1
        return stats

    writer = stats_file.StatsFile(lambda: str(tmp_path), lambda: "shop", next_stats)
    reader = subprocess.Popen([sys.executable, "-c", READER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    while reader.poll() is None:
        writer.write(at_once=True)
    assert reader.communicate()[0] == "seen: running\n"
    assert writer.errors == 0
    writer.write(ended=True)
    assert [one.state for one in stats_file.read(tmp_path)] == ["ended"]
    assert len(os.listdir(tmp_path)) == 1


READER = """
import sys
from fasttrace.export import stats_file
states, started = set(), 0
while started < 300:
    found = stats_file.read(sys.argv[1])
    if found or started:
        ((one,), last) = found, started
        states.add(one.state)
        started = one.stats["started"]
        assert started >= last
print("seen:", *states)
"""
