"""os.fork at every bad moment: in spans, in threads, in children, while locks are held and modules imported."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from world import FORKS_WITH_THREADS, World

START = """
import os, sys, threading, time, traced
import fasttrace
from traced import work, tracer

def fork(body, end=None):
    pid = os.fork()
    if pid:
        return pid
    body()
    if end is not None:
        end()
    sys.exit()

def wait(*pids):
    end = time.monotonic() + 60
    for pid in pids:
        while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            if time.monotonic() > end:
                os.kill(pid, 9)
                raise SystemExit(f"child {pid} hangs")
            time.sleep(0.005)
        assert found[1] == 0, found
"""


def run(world: World, text: str, **environment: str) -> Counter[str]:
    """The kinds of the spans of a program that forks, all of whose processes balance."""
    world.environment.update(environment)
    world.run(START + text, warnings=FORKS_WITH_THREADS)
    return Counter(name.partition("/")[0] for *_, name in world.check())


def test_a_span_open_across_the_fork_is_the_parents_and_counted_as_forked_in_the_child(world: World) -> None:
    text = """
with tracer.start_as_current_span(f"open/{os.getpid()}"):
    def body():
        with tracer.start_as_current_span(f"rest/{os.getpid()}"):
            pass
    pid = os.fork()
    if not pid:
        body()
if not pid:
    stats = fasttrace.stats()
    assert stats["dropped"]["forked"] == 1 and stats["started"] == 2, stats
    sys.exit()
wait(pid)
"""
    world.environment["DELAY"] = "60"
    world.run(START + text)
    spans = world.receiver.spans(2)
    (opened,) = (line for line in spans if line[3].startswith("open/"))
    (rest,) = (line for line in spans if line[3].startswith("rest/"))
    assert len(spans) == 2
    # What the child does inside the block belongs there; only the block's own record is the parent's.
    assert (rest[0], rest[2]) == (opened[0], opened[1])


def test_children_leave_by_os_exit_after_a_flush_and_lose_nothing(world: World) -> None:
    text = """
work("before")
def end():
    assert fasttrace.flush(20)
    traced.report()
    os._exit(0)
wait(*[fork(lambda: work("child"), end) for _ in range(5)])
"""
    assert run(world, text) == {"before": 1, "child": 5, "inner": 6}


def test_children_of_other_threads_and_their_children_send_their_own(world: World) -> None:
    text = """
work("before")
def body():
    work("child")
    wait(fork(lambda: (work("grandchild"), wait(fork(lambda: work("great")))) ))
    work("child")
failed = []
def thread():
    try:
        wait(fork(body))
    except BaseException as error:
        if os.getpid() != parent:
            fasttrace.shutdown(20)  # the thread that forked is the only one here, and its end is the process's
            traced.report()
            os._exit(0 if isinstance(error, SystemExit) and not error.code else 1)
        failed.append(error)
parent = os.getpid()
threads = [threading.Thread(target=thread) for _ in range(3)]
for one in threads:
    one.start()
for one in threads:
    one.join()
assert not failed, failed
"""
    assert run(world, text) == {"before": 1, "child": 6, "grandchild": 3, "great": 3, "inner": 13}


def test_a_child_that_never_traces_has_one_thread_and_sends_nothing(world: World) -> None:
    text = """
work("before")
time.sleep(0.2)
def body():
    assert traced.threads() == 1, traced.threads()
    assert fasttrace.stats()["started"] == 0
    fasttrace.flush(5)
    assert traced.threads() == 1, traced.threads()
wait(fork(body), fork(lambda: None))
"""
    assert run(world, text, DELAY="0.01") == {"before": 1, "inner": 1}


LOAD = """
stop = False
def recording():
    while not stop:
        work("load")
        time.sleep(0.0005)
def flushing():
    while not stop:
        fasttrace.flush(1)
        fasttrace.stats()
threads = [threading.Thread(target=target) for target in (recording, recording, flushing)]
for thread in threads:
    thread.start()
def end():
    assert fasttrace.flush(20)
    traced.report()
    os._exit(0)
for _ in range(8):
    wait(*[fork(lambda: work("child"), end) for _ in range(5)])
stop = True
for thread in threads:
    thread.join()
"""


def test_forks_while_others_record_flush_and_export_neither_hang_nor_repeat(world: World) -> None:
    kinds = run(world, LOAD, DELAY="0.001")
    assert kinds["child"] == 40
    assert kinds["inner"] == kinds["load"] + 40


HELD = """
provider = fasttrace.process._provider
recorder, pipeline = provider.recorder, provider.pipeline
work("before")
time.sleep(0.1)
locks = {
    "sending": pipeline._sending,
    "accounts": pipeline.delivery._accounts,
    "undelivered": pipeline.delivery.undelivered._lock,
    "recorder": getattr(recorder, "_lock", None),  # the pure-Python core's
    "depth": getattr(recorder.ring, "_depth_lock", None),
}
for lock in filter(None, locks.values()):
    held, let_go = threading.Event(), threading.Event()
    def holder():
        with lock:
            held.set()
            let_go.wait()
    thread = threading.Thread(target=holder)
    thread.start()
    held.wait()
    if lock is locks["depth"]:
        threading.Timer(0.2, let_go.set).start()  # to wake the thread the parent itself needs it
    def body():
        work("child")
        assert fasttrace.flush(20)
    wait(fork(body))
    let_go.set()
    thread.join()
"""


def test_a_lock_that_is_held_at_the_fork_does_not_hang_the_child(world: World) -> None:
    kinds = run(world, HELD, DELAY="0.01")
    assert kinds["before"] == 1
    assert kinds["child"] in (3, 5)


IMPORTING = """
import importlib.abc, importlib.util
entered = threading.Event()
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "encodings.idna" and not entered.is_set():
            entered.set()
            time.sleep(0.5)
        return None
sys.meta_path.insert(0, Slow())
work("before")
assert entered.wait(60)
def body():
    import encodings.idna
    work("child")
wait(fork(body))
"""


def test_a_fork_while_the_thread_imports_leaves_no_half_module_in_the_child(world: World) -> None:
    assert run(world, IMPORTING, DELAY="0.01") == {"before": 1, "child": 1, "inner": 2}


IDLE = """
for _ in range(20):
    work("parent")
    assert fasttrace.flush(20)
    wait(fork(lambda: None))
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython warns of threads from 3.12 on")
def test_a_fork_with_an_idle_pipeline_warns_of_no_threads(world: World) -> None:
    world.run(START + IDLE)
    assert Counter(name.partition("/")[0] for *_, name in world.check()) == {"parent": 20, "inner": 20}
