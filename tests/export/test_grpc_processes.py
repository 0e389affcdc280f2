"""OTLP/gRPC in processes of its own: forks, ends, and what a program loads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import Chaos
from collector import Collector, hang


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


FORKS = """
    import os, sys, time
    import fasttrace
    from fasttrace.export import OTLPGrpcExporter

    exporter = OTLPGrpcExporter(sys.argv[1], timeout=20)
    provider = fasttrace.configure(exporter=exporter, schedule_delay=0.02, exit_timeout=20, undelivered_dir="none")
    tracer = fasttrace.get_tracer("test")
    tracer.start_span("parent before").end()
    if sys.argv[2] == "idle":
        assert fasttrace.flush(20)
    else:
        time.sleep(float(sys.argv[3]))  # the request is under way
    inherited = exporter._sender._channel
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            tracer.start_span(f"child {number}").end()
            assert fasttrace.flush(20), provider.stats()
            assert provider.stats()["exported"] == 1
            assert exporter._sender._channel is not inherited
            assert exporter._sender._inherited == [inherited], "neither closed nor collected"
            if number:  # the others end as Python does, with all that is inherited
                os._exit(0)
            sys.exit(0)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert statuses == [0, 0, 0], statuses
    tracer.start_span("parent after").end()
    assert fasttrace.flush(20)
    stats = provider.stats()
    assert (stats["started"], stats["exported"]) == (2, 2), stats
"""
NAMES = ["child 0", "child 1", "child 2", "parent after", "parent before"]


def test_a_forked_child_exports_its_own_spans_and_its_parent_goes_on(collector: Collector) -> None:
    done = run(FORKS, collector.endpoint, "idle")
    assert done.returncode == 0, done.stderr
    assert sorted(span.name for span in collector.spans()) == NAMES
    assert len(set(collector.peers)) == 4, "one connection for each process"


def test_a_fork_in_the_middle_of_a_request_gives_it_up_and_sends_it_again(collector: Collector) -> None:
    def slow(collector: Collector, context: object) -> object:
        collector.stopping.wait(3)
        return collector.script[1](collector, context)

    collector.script = [slow, collector.script[0]]  # type: ignore[list-item]
    done = run(FORKS, collector.endpoint, "busy", "1.5")
    assert done.returncode == 0, done.stderr
    assert sorted({span.name for span in collector.spans()}) == NAMES
    asked = [
        span.name
        for request in collector.requests
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
    assert asked.count("parent before") > 1


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
