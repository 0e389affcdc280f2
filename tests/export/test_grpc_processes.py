"""OTLP/gRPC in processes of its own: forks, ends, and what a program loads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos
from collector import Collector, hang, take

from fasttrace.export import forks


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    yield server
    server.stop()


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=90, check=False
    )


def holding(held: Path) -> Any:
    """The requests of whoever came first are held until they are given up, or until ``held`` is gone again."""

    def hold(collector: Collector, context: Any) -> Any:
        if len(collector.requests) == 1:
            held.touch()
        if context.peer() == collector.peers[0]:
            while held.exists() and context.is_active() and not collector.stopping.wait(0.02):
                pass
        return take(collector, context)

    return hold


def asked(collector: Collector) -> list[str]:
    """The names of the spans of all requests, answered or not."""
    return [
        span.name
        for request in collector.requests
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


FORKS = """
    import os, sys, time
    import fasttrace
    from fasttrace.export import OTLPGrpcExporter

    exporter = OTLPGrpcExporter(sys.argv[1], timeout=60)
    provider = fasttrace.configure(exporter=exporter, schedule_delay=0.02, exit_timeout=20, undelivered_dir="none")
    tracer = fasttrace.get_tracer("test")
    tracer.start_span("parent before").end()
    if sys.argv[2] == "idle":
        assert fasttrace.flush(60)
    else:
        while not os.path.exists(sys.argv[2]):  # then the request is under way
            time.sleep(0.01)
    inherited = exporter._sender._channel
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            tracer.start_span(f"child {number}").end()
            assert fasttrace.flush(60), provider.stats()
            assert provider.stats()["exported"] == 1
            assert exporter._sender._channel is not inherited
            assert exporter._sender._inherited == [inherited], "neither closed nor collected"
            if number:  # the others end as Python does, with all that is inherited
                os._exit(0)
            sys.exit(0)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert statuses == [0, 0, 0], statuses
    if sys.argv[2] != "idle":
        os.unlink(sys.argv[2])
    tracer.start_span("parent after").end()
    assert fasttrace.flush(60), provider.stats()
    stats = provider.stats()
    assert (stats["started"], stats["exported"]) == (2, 2), stats
    print(stats["retried_ambiguous"])
"""
NAMES = ["child 0", "child 1", "child 2", "parent after", "parent before"]


def test_a_forked_child_exports_its_own_spans_and_its_parent_goes_on(collector: Collector) -> None:
    done = run(FORKS, collector.endpoint, "idle")
    assert done.returncode == 0, done.stderr
    assert sorted(span.name for span in collector.spans()) == NAMES
    assert len(set(collector.peers)) == 4, "one connection for each process"


def test_a_fork_in_the_middle_of_a_request_gives_it_up_and_sends_it_again(collector: Collector, tmp_path: Path) -> None:
    collector.script = [holding(tmp_path / "held")]
    done = run(FORKS, collector.endpoint, str(tmp_path / "held"))
    assert done.returncode == 0, done.stderr
    assert sorted({span.name for span in collector.spans()}) == NAMES
    names = asked(collector)
    again = names.count("parent before") - 1
    assert 1 <= again <= int(done.stdout) <= 3, "once for each fork at most, and counted"
    assert len(names) == len(NAMES) + again, "no other span was sent twice"


# A fork copies the interpreter's lock as it is, and where Python's hooks are skipped nobody makes it anew: a child whose
# parent had a thread that waited for it hangs in CPython, whatever it does. So the program forks when no thread does, and
# a child during whose birth one woke up is none.
COPIED_INSIDE = """
    import ctypes, os, sys, threading, time
    import fasttrace
    from fasttrace.export import OTLPGrpcExporter, forks

    interpreter = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))

    def others(file):
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and os.path.exists(f"/proc/self/task/{thread.native_id}"):
                yield open(f"/proc/self/task/{thread.native_id}/{file}").read()

    def sleeps():
        return [line for text in others("status") for line in text.splitlines() if "ctxt_switches" in line]

    def wants_the_interpreter(call):  # or runs: "number address ..." of the system call that it is in
        words = call.split()
        return words[0] == "running" or 0 <= int(words[1], 16) - interpreter < 1 << 17

    def until_all_sleep():
        before, deadline = sleeps(), time.monotonic() + 0.5
        while sleeps() == before and time.monotonic() < deadline:  # who waits in gRPC looks for signals five times a second
            time.sleep(0.001)
        while any(map(wants_the_interpreter, others("syscall"))):
            pass

    def quiet_fork():
        while True:
            until_all_sleep()
            before, (read, write) = sleeps(), os.pipe()
            if any(map(wants_the_interpreter, others("syscall"))):
                continue
            child = ctypes.PyDLL(None).fork()
            if not child:
                os.read(read, 1)
                return child
            if sleeps() == before and not any(map(wants_the_interpreter, others("syscall"))):
                os.write(write, b"x")
                return child
            os.kill(child, 9)
            os.waitpid(child, 0)

    exporter = OTLPGrpcExporter(sys.argv[1], timeout=60)
    provider = fasttrace.configure(exporter=exporter, schedule_delay=0.02, undelivered_dir=sys.argv[2])
    tracer = fasttrace.get_tracer("test")
    tracer.start_span("parent").end()
    while not os.path.exists(sys.argv[3]):
        time.sleep(0.01)
    forks.FORK_WAIT_SECONDS = forks.FORK_LOOKS = 0  # as if the request did not end in time
    fork = os.fork if sys.argv[4] == "hooks" else quiet_fork
    for generation in "child", "grandchild":
        child = fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            break
        tracer.start_span(generation).end()
        assert not fasttrace.flush(60)
        stats = provider.stats()
        assert (stats["started"], stats["exported"], stats["spooled"], stats["retried_ambiguous"]) == (1, 0, 1, 0), stats
        print(stats["last_error"], flush=True)
    else:
        sys.exit(0)
    if generation == "child":
        os.unlink(sys.argv[3])
        tracer.start_span("parent after").end()
        assert fasttrace.flush(60), provider.stats()
"""
NEXT = """
    import sys, time
    import fasttrace
    from fasttrace.export import OTLPGrpcExporter
    provider = fasttrace.configure(exporter=OTLPGrpcExporter(sys.argv[1], timeout=60), undelivered_dir=sys.argv[2])
    fasttrace.get_tracer("test").start_span("next").end()
    assert fasttrace.flush(60)
    while provider.stats()["undelivered"]:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("hooks", ["hooks", "no hooks, as in uWSGI"])
def test_a_child_that_is_copied_from_inside_a_request_leaves_grpc_alone_and_its_spans_on_disk(
    collector: Collector, tmp_path: Path, hooks: str
) -> None:
    collector.script = [holding(tmp_path / "held")]
    done = run(COPIED_INSIDE, collector.endpoint, str(tmp_path / "spool"), str(tmp_path / "held"), hooks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("can't use gRPC") == 2, done.stdout
    done = run(NEXT, collector.endpoint, str(tmp_path / "spool"))
    assert done.returncode == 0, done.stderr
    assert sorted(asked(collector)) == ["child", "grandchild", "next", "parent", "parent after"]


AT_ONCE = """
    import os, sys, time
    import fasttrace
    class Slow:  # whatever is still imported in the background takes long enough for a fork to hit it
        def find_spec(self, name, path=None, target=None):
            if name.startswith(("grpc", "urllib3")):
                time.sleep(0.01)
    sys.meta_path.insert(0, Slow())
    fasttrace.configure(exit_timeout=20, schedule_delay=0, undelivered_dir="none")
    tracer = fasttrace.get_tracer("test")
    tracer.start_span("parent").end()
    time.sleep(0.1)
    child = os.fork()
    if not child:
        tracer.start_span("child").end()
    assert fasttrace.flush(20)
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


FIRST_REQUEST = """
    import sys
    import fasttrace
    from fasttrace.export import OTLPGrpcExporter
    exporter = OTLPGrpcExporter(sys.argv[1], timeout=20)
    before = set(sys.modules)
    fasttrace.configure(exporter=exporter, schedule_delay=60)
    fasttrace.get_tracer("test").start_span("only one").end()
    assert fasttrace.flush(20)
    print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] == "grpc"))
"""


def test_a_first_request_imports_nothing_of_grpc(collector: Collector) -> None:
    done = run(FIRST_REQUEST, collector.endpoint)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


FORK_HOOKS = """
    import os, sys
    from fasttrace.export import forks
    assert "logging" not in sys.modules, "then this proves nothing"
    gate = forks.Gate()
    import logging
    close, seen = forks.Gate.close, []
    def watched(gate, deadline):
        seen.append(logging._lock._is_owned())
        return close(gate, deadline)
    forks.Gate.close = watched
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert seen == [False], seen
"""


def test_a_fork_waits_for_a_request_without_the_lock_of_logging_that_it_may_want() -> None:
    done = run(FORK_HOOKS)
    assert done.returncode == 0, done.stderr


def test_a_fork_that_was_held_up_still_waits_until_the_request_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun, given_up = forks.Gate(), threading.Event(), threading.Event()

    class Call:
        def cancel(self) -> None:
            given_up.set()

    def request() -> None:
        with gate.inside:
            gate.call = Call()
            begun.set()
            given_up.wait(60)

    thread = threading.Thread(target=request)
    thread.start()
    assert begun.wait(60)
    monkeypatch.setattr(forks, "FORK_LOOKS", 10_000)
    assert gate.close(deadline=0.0), "its time was over before the first look"
    gate.open()
    thread.join()


def test_a_fork_right_after_the_first_span_leaves_a_child_that_exports(collector: Collector, chaos: Chaos) -> None:
    """A child that is copied from the middle of an import can't finish it."""
    done = run(AT_ONCE, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert done.returncode == 0, done.stderr
    assert sorted(span.name for span in collector.spans()) == ["child", "parent"]
    done = run(AT_ONCE, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=chaos.endpoint)
    assert done.returncode == 0, done.stderr
    assert len(chaos.requests) == 2


PROGRAM = """
    import sys
    import fasttrace
    fasttrace.configure(service_name="script", exit_timeout=20)
    fasttrace.get_tracer("script").start_span("only one").end()
    if len(sys.argv) > 1:
        assert fasttrace.flush(20)
        foreign = [name for name in sys.modules if name.startswith(("google.protobuf", "opentelemetry", "urllib3"))]
        assert not foreign, foreign
"""


@pytest.mark.parametrize("flush", [True, False])
def test_a_program_needs_neither_protobuf_nor_opentelemetry_and_may_send_first_at_its_end(
    collector: Collector, flush: bool
) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "FASTTRACE_SCHEDULE_DELAY": "60",
    }
    done = run(PROGRAM, *["flush"] * flush, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert [span.name for span in collector.spans()] == ["only one"]


def test_the_end_of_a_process_takes_its_time_and_no_more(collector: Collector, tmp_path: Path) -> None:
    collector.script = [hang]
    program = """
        import sys, time
        import fasttrace
        from fasttrace.export import OTLPGrpcExporter
        exporter = OTLPGrpcExporter(sys.argv[1], timeout=600)
        fasttrace.configure(exporter=exporter, schedule_delay=0.02, undelivered_dir=sys.argv[2])
        fasttrace.get_tracer("test").start_span("hanging").end()
        time.sleep(1)
        for _ in range(1000):
            fasttrace.get_tracer("test").start_span("waiting").end()
    """
    done = run(program, collector.endpoint, str(tmp_path))  # run() waits 90 s, the exporter would take 600
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*.spool")), "kept for the next process"
    assert len(collector.requests) == 1


def test_without_grpcio_configure_says_what_to_install() -> None:
    program = """
        import sys
        class Without:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "grpc":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Without())
        import fasttrace
        fasttrace.configure(exporter="otlp").shutdown()
        try:
            fasttrace.configure(exporter="otlp-grpc")
        except fasttrace.ConfigurationError as error:
            print(error)
    """
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OTLP over gRPC needs grpcio, which can't be imported (No module named 'grpc'")
    assert done.stdout.endswith(": pip install 'fasttrace[grpc]'\n")
