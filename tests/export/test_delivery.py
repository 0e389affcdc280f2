"""Collectors that are away: what can't be delivered waits on disk, and every span is in one account."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos, answer, hang, reset
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import fasttrace
from fasttrace import delivery
from fasttrace.errors import ExportError
from fasttrace.export import Batch, NullExporter, OTLPExporter, retry, segments
from fasttrace.export.undelivered import Undelivered, folder

PARTS = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")


def balanced(stats: dict[str, Any]) -> bool:
    return bool(stats["started"] == sum(stats[part] for part in PARTS) + sum(stats["dropped"].values()))


def names(requests: list[tuple[str, dict[str, str], bytes]]) -> list[str]:
    return [
        span.name
        for _, _, body in requests
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try tells that a receiver is away, and it is tried again at once."""
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 1e9)
    monkeypatch.setattr(retry, "LONGEST_BACKOFF_SECONDS", 1e9)
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE_SECONDS", 0.05)


@pytest.fixture
def make_provider(tmp_path: Path) -> Callable[..., fasttrace.TracerProvider]:
    def make(exporter: Any, **options: Any) -> fasttrace.TracerProvider:
        options = {"schedule_delay": 0.02, "undelivered_dir": str(tmp_path / "undelivered"), **options}
        return fasttrace.TracerProvider(exporter=exporter, **options)

    return make


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.005)


def end(provider: fasttrace.TracerProvider, *names: str) -> None:
    tracer = provider.get_tracer("test")
    for name in names:
        tracer.start_span(name).end()


def closed_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1/traces"


def test_what_a_collector_does_not_take_waits_on_disk_and_arrives_in_order_when_it_is_back(
    chaos: Chaos, make_provider: Any, tmp_path: Path
) -> None:
    chaos.script = [answer(503)]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=20))
    for number in range(5):
        end(provider, f"early {number}")
        until(lambda: provider.stats()["queued"] == 0)
    stats = provider.stats()
    assert (stats["spooled"], stats["exported"], stats["away"]) == (5, 0, True)
    assert sum(stats["dropped"].values()) == 0
    assert balanced(stats)
    assert list((tmp_path / "undelivered").glob("*/*.spool"))
    chaos.script = [answer(200)]
    until(lambda: provider.stats()["spooled"] == 0)
    assert names(chaos.taken) == [f"early {number}" for number in range(5)]
    end(provider, "late")
    assert provider.flush(20)
    stats = provider.stats()
    assert (stats["exported"], stats["away"], stats["replayed"], stats["retried_ambiguous"]) == (6, False, 0, 0)
    assert balanced(stats)
    assert not list((tmp_path / "undelivered").glob("*/*.spool"))
    provider.shutdown(1)


def test_a_flush_tries_at_once_and_says_whether_all_was_delivered(chaos: Chaos, make_provider: Any) -> None:
    chaos.script = [answer(503, retry_after="3600")]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=20))
    end(provider, "one")
    assert provider.flush(20) is False
    tried = len(chaos.requests)
    end(provider, "two")
    until(lambda: provider.stats()["spooled"] == 2)
    assert len(chaos.requests) == tried, "asked to wait for an hour: nothing is tried without being asked for"
    chaos.script = [answer(200)]
    assert provider.flush(20) is True
    assert sorted(names(chaos.taken)) == ["one", "two"]
    assert balanced(provider.stats())
    provider.shutdown(1)


def test_a_new_process_sends_what_the_former_one_left(chaos: Chaos, make_provider: Any) -> None:
    chaos.script = [answer(503)]
    former = make_provider(OTLPExporter(chaos.endpoint, timeout=20))
    end(former, "left one", "left two")
    assert former.shutdown(5) is False
    stats = former.stats()
    assert stats["spooled"] == 2
    assert balanced(stats)
    chaos.requests.clear()
    chaos.script = [answer(200)]
    provider = make_provider(OTLPExporter(chaos.endpoint))
    end(provider, "new")
    until(lambda: provider.stats()["replayed"] == 2)
    assert provider.flush(20)
    assert sorted(names(chaos.requests)) == ["left one", "left two", "new"]
    stats = provider.stats()
    assert stats["exported"] == 1
    assert balanced(stats)
    provider.shutdown(1)


def test_what_waits_is_never_sent_to_another_destination(chaos: Chaos, make_provider: Any) -> None:
    chaos.script = [answer(503)]
    former = make_provider(OTLPExporter(chaos.endpoint, timeout=20, headers={"x-tenant": "a"}))
    end(former, "of a")
    former.shutdown(5)
    chaos.requests.clear()
    chaos.script = [answer(200)]
    provider = make_provider(OTLPExporter(chaos.endpoint, headers={"x-tenant": "b"}))
    end(provider, "of b")
    assert provider.flush(20)
    assert names(chaos.requests) == ["of b"]
    provider.shutdown(1)


@pytest.mark.parametrize("status", [400, 401, 404, 500, 501])
def test_what_the_specification_does_not_allow_to_retry_is_dropped_and_counted(
    chaos: Chaos, make_provider: Any, status: int
) -> None:
    chaos.script = [answer(status), answer(200)]
    provider = make_provider(OTLPExporter(chaos.endpoint), schedule_delay=60)
    end(provider, "refused")
    assert provider.flush(20) is False
    end(provider, "taken")
    assert provider.flush(20) is True
    stats = provider.stats()
    assert (stats["dropped"]["export_failed"], stats["exported"], len(chaos.requests)) == (1, 1, 2)
    provider.shutdown(1)


def test_a_batch_of_unknown_outcome_is_sent_again_and_counted(
    chaos: Chaos, make_provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.01)
    chaos.script = [reset, answer(200)]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=20), schedule_delay=60)
    end(provider, "one", "two")
    assert provider.flush(20)
    stats = provider.stats()
    assert (stats["exported"], stats["retried_ambiguous"]) == (2, 2)
    assert len(chaos.requests) == 2
    provider.shutdown(1)


def test_a_batch_of_unknown_outcome_that_goes_to_disk_is_counted(chaos: Chaos, make_provider: Any) -> None:
    chaos.script = [reset]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=20), schedule_delay=60)
    end(provider, "one", "two")
    assert provider.flush(20) is False
    assert provider.stats()["retried_ambiguous"] >= 2
    chaos.script = [answer(200)]
    assert provider.flush(20)
    stats = provider.stats()
    assert stats["exported"] == 2
    assert stats["retried_ambiguous"] == 2 * (len(chaos.requests) - 1)
    provider.shutdown(1)


def test_a_refused_connection_is_not_ambiguous(make_provider: Any) -> None:
    provider = make_provider(OTLPExporter(closed_port(), timeout=20), schedule_delay=60)
    end(provider, "one")
    assert provider.flush(20) is False
    stats = provider.stats()
    assert (stats["spooled"], stats["retried_ambiguous"]) == (1, 0)
    provider.shutdown(1)


def test_a_filling_queue_ends_the_wait_between_two_tries(chaos: Chaos, make_provider: Any) -> None:
    chaos.script = [answer(503, retry_after="50")]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=60), max_queue_spans=100, max_batch_spans=10)
    end(provider, "first")
    until(lambda: chaos.requests)
    end(provider, *["more"] * 90)
    until(lambda: provider.stats()["queued"] == 0)
    stats = provider.stats()
    assert (stats["spooled"], sum(stats["dropped"].values())) == (91, 0)
    provider.shutdown(1)


def test_shutdown_with_a_hanging_collector_keeps_its_time_and_every_span(chaos: Chaos, make_provider: Any) -> None:
    chaos.script = [hang]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=60))
    end(provider, "in flight")
    until(lambda: chaos.requests)
    end(provider, *["waiting"] * 1000)
    begin = time.monotonic()
    assert provider.shutdown(0.5) is False
    assert time.monotonic() - begin < 10
    stats = provider.stats()
    assert (stats["spooled"], stats["queued"], stats["retried_ambiguous"]) == (1001, 0, 1)
    assert balanced(stats)
    chaos.script = [answer(200)]
    chaos.requests.clear()
    following = make_provider(OTLPExporter(chaos.endpoint))
    end(following, "next")
    until(lambda: following.stats()["replayed"] == 1001)
    assert following.flush(20)
    assert sorted(set(names(chaos.requests))) == ["in flight", "next", "waiting"]
    following.shutdown(5)


def test_a_try_that_ends_after_the_process_gave_it_up_is_not_counted_twice(chaos: Chaos, make_provider: Any) -> None:
    release = threading.Event()

    def late(handler: Any) -> None:
        release.wait(30)
        answer(200)(handler)

    chaos.script = [late]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=60))
    end(provider, "late")
    until(lambda: chaos.requests)
    provider.shutdown(0.1)
    release.set()
    time.sleep(0.3)
    stats = provider.stats()
    assert (stats["spooled"], stats["exported"]) == (1, 0)
    assert balanced(stats)


def test_without_a_place_on_disk_it_is_dropped_and_counted(chaos: Chaos, make_provider: Any, tmp_path: Path) -> None:
    chaos.script = [answer(503)]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=20), undelivered_dir="none", schedule_delay=60)
    end(provider, "one")
    assert provider.flush(20) is False
    assert provider.stats()["dropped"]["export_failed"] == 1
    assert not (tmp_path / "undelivered").exists()
    provider.shutdown(1)


def test_a_place_that_cannot_be_written_is_said_and_counted(
    chaos: Chaos, make_provider: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    chaos.script = [answer(503, retry_after="50"), answer(200)]
    provider = make_provider(
        OTLPExporter(chaos.endpoint, timeout=20), undelivered_dir=str(tmp_path / "file" / "x"), schedule_delay=60
    )
    end(provider, "one")
    assert provider.flush(20) is False
    stats = provider.stats()
    assert (stats["dropped"]["export_failed"], stats["spooled"]) == (1, 0)
    assert "FASTTRACE_UNDELIVERED_DIR" in stats["last_error"]
    end(provider, "two")
    assert provider.flush(20) is True, "still tried"
    assert balanced(provider.stats())
    provider.shutdown(1)


def test_a_full_place_drops_the_oldest_and_counts_it(chaos: Chaos, make_provider: Any) -> None:
    chaos.script = [answer(503)]
    provider = make_provider(
        OTLPExporter(chaos.endpoint, timeout=20), max_batch_spans=10, undelivered_max_bytes=20_000, schedule_delay=60
    )
    for _ in range(100):
        end(provider, *["operation"] * 10)
        provider.flush(20)
    stats = provider.stats()
    assert stats["spooled"] > 50
    assert stats["dropped"]["spool_full"] == 1000 - stats["spooled"]
    assert balanced(stats)
    provider.shutdown(1)


def test_an_exporter_without_a_destination_has_no_place_on_disk(make_provider: Any, tmp_path: Path) -> None:
    class Away:
        def export(self, batch: Batch) -> None:
            raise fasttrace.ExportError("away", retryable=True)

        def flush(self, timeout: float) -> bool:
            return True

        def shutdown(self, timeout: float) -> None:
            pass

    provider = make_provider(Away(), schedule_delay=60)
    end(provider, "one")
    assert provider.flush(20) is False
    assert provider.stats()["dropped"]["export_failed"] == 1
    provider.shutdown(1)


def test_a_users_exporter_with_a_destination_has(make_provider: Any) -> None:
    class Sometimes:
        destination = "mine"
        away = True
        spans: list[str] = []

        def export(self, batch: Batch) -> None:
            if self.away:
                raise fasttrace.ExportError("away", retryable=True)
            self.spans.extend(span.name for span in batch)

        def flush(self, timeout: float) -> bool:
            return True

        def shutdown(self, timeout: float) -> None:
            pass

    exporter = Sometimes()
    provider = make_provider(exporter, schedule_delay=60)
    end(provider, "one", "two")
    assert provider.flush(20) is False
    exporter.away = False
    assert provider.flush(20) is True
    assert exporter.spans == ["one", "two"]
    provider.shutdown(1)


def test_what_was_refused_for_its_size_while_waiting_is_halved(chaos: Chaos, make_provider: Any) -> None:
    chaos.script = [answer(503)]
    provider = make_provider(OTLPExporter(chaos.endpoint, timeout=20), schedule_delay=60)
    end(provider, *["operation"] * 100)
    assert provider.flush(20) is False
    chaos.requests.clear()
    chaos.script = [lambda handler: answer(413 if int(handler.headers["content-length"]) > 2000 else 200)(handler)]
    assert provider.flush(20) is True
    stats = provider.stats()
    assert (stats["exported"], stats["spooled"]) == (100, 0)
    assert balanced(stats)
    provider.shutdown(1)


def test_no_secret_reaches_the_log_the_stats_or_the_disk(
    chaos: Chaos, make_provider: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    chaos.script = [reset]
    provider = make_provider(
        OTLPExporter(chaos.endpoint, timeout=20, headers={"authorization": "Bearer hunter2"}), schedule_delay=60
    )
    end(provider, "one")
    assert provider.flush(20) is False
    assert "hunter2" not in json.dumps(provider.stats()) + caplog.text + repr(provider.exporter)
    for path in (tmp_path / "undelivered").rglob("*"):
        assert "hunter2" not in path.name
        assert path.is_dir() or b"hunter2" not in path.read_bytes()
    provider.shutdown(1)


EXITS = """
import atexit, os, sys, time
begin = 0.0
@atexit.register
def first():  # registered before ours, therefore called after it
    os.write(1, str(time.monotonic() - begin).encode())
import fasttrace
from fasttrace.export import OTLPExporter
fasttrace.configure(exporter=OTLPExporter(sys.argv[1], timeout=60), undelivered_dir=sys.argv[2], schedule_delay=0.02)
tracer = fasttrace.get_tracer("test")
for number in range(100):
    tracer.start_span(f"span {number}").end()
time.sleep(0.3)
for number in range(100, 3000):
    tracer.start_span(f"span {number}").end()
@atexit.register
def last():
    global begin
    begin = time.monotonic()
"""


@pytest.mark.parametrize("trouble", ["hang", "refused", "503"])
def test_the_end_of_a_process_takes_a_second_at_most_with_a_dead_collector_and_leaves_all_on_disk(
    chaos: Chaos, make_provider: Any, tmp_path: Path, trouble: str
) -> None:
    chaos.script = [hang if trouble == "hang" else answer(503)]
    endpoint = closed_port() if trouble == "refused" else chaos.endpoint
    command = [sys.executable, "-c", textwrap.dedent(EXITS), endpoint, str(tmp_path / "undelivered")]
    begin = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ))
    assert time.monotonic() - begin < 30
    # The bound of the promise is 1 s; what is asserted leaves room for a busy machine, and is far below the 60 s that
    # the exporter would take.
    assert float(run.stdout) < 10
    chaos.requests.clear()
    chaos.script = [answer(200)]
    # The same folder under the name of a destination that answers.
    (left,) = (tmp_path / "undelivered").iterdir()
    exporter = OTLPExporter(chaos.endpoint)
    left.rename(folder(str(tmp_path / "undelivered"), exporter.destination))
    provider = make_provider(exporter)
    end(provider, "next")
    until(lambda: provider.stats()["replayed"] == 3000)
    assert provider.flush(20)
    assert set(names(chaos.requests)) == {f"span {number}" for number in range(3000)} | {"next"}
    provider.shutdown(5)


TOLD_WITHOUT_TIME = """
import os, signal, sys, fasttrace
from fasttrace.export import OTLPExporter
fasttrace.configure(
    exporter=OTLPExporter(sys.argv[1]), undelivered_dir=sys.argv[2], schedule_delay=60, flush_on_sigterm=True,
    exit_timeout=0,
)
fasttrace.get_tracer("test").start_span("kept").end()
os.kill(os.getpid(), signal.SIGTERM)
sys.stdin.readline()
"""


def test_who_is_told_to_end_keeps_what_is_queued_though_its_time_is_over_before_it_can(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TOLD_WITHOUT_TIME, closed_port(), str(tmp_path)]
    run = subprocess.run(command, stdin=subprocess.PIPE, timeout=60, check=False)
    assert run.returncode == -signal.SIGTERM
    (left,) = tmp_path.iterdir()
    assert names([("", {}, request) for request in segments.requests(left)]) == ["kept"]


TOLD_TO_END = """
import sys, threading, fasttrace
from fasttrace.export import OTLPExporter
fasttrace.configure(
    exporter=OTLPExporter(sys.argv[1], timeout=60), undelivered_dir=sys.argv[2], schedule_delay=60, flush_on_sigterm=True
)
fasttrace.get_tracer("test").start_span("kept").end()
if sys.argv[3] == "a thread that shuts down":
    threading.Thread(target=fasttrace.shutdown, args=(60,), daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("first", ["SIGTERM", "the end", "a thread that shuts down"])
def test_whoever_ends_a_process_that_is_shutting_down_leaves_what_is_on_its_way_on_disk(
    chaos: Chaos, tmp_path: Path, first: str
) -> None:
    chaos.script = [hang]
    command = [sys.executable, "-c", TOLD_TO_END, chaos.endpoint, str(tmp_path), first]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdout.readline()
        if first == "SIGTERM":
            program.terminate()
        elif first == "the end":
            program.stdin.close()
        until(lambda: chaos.requests)
        if first == "a thread that shuts down":
            program.stdin.close()
        else:
            program.terminate()
        program.wait(60)
    (left,) = tmp_path.iterdir()
    assert names([("", {}, request) for request in segments.requests(left)]) == ["kept"]


def test_what_is_on_its_way_when_another_exporter_takes_over_waits_for_the_next_process(tmp_path: Path) -> None:
    class Replaced(NullExporter):
        def export(self, batch: Batch) -> None:
            sender.redirect(NullExporter(), None)
            raise ExportError("too late", retryable=True)

    sender = delivery.Delivery(Replaced(), Undelivered(str(tmp_path)))
    sender.keep(Batch(b"", 3))
    assert not sender.replay()
    assert (sender.away_until, sender.stats()["spooled"], sum(sender.dropped.values())) == (None, 3, 0)
    following = Undelivered(str(tmp_path))
    following.scan()
    assert following.waiting
