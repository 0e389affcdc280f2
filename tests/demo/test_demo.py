"""The demo as its users run it: five processes, real requests, and what the spool says afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from receiving import Receiver, free_port

from fasttrace._core.types import SpanKind
from fasttrace.demo import SERVICES
from fasttrace.local.model import Trace, group_traces
from fasttrace.local.store import Store

REQUESTS = 40


def command(*argv: str) -> list[str]:
    return [sys.executable, "-m", "fasttrace", "demo", *argv]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "120", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}


def services_of(spool: Path) -> list[int]:
    """The processes that were given this spool and still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"fasttrace.demo.service" in line and str(spool.resolve()).encode() in line:
                found.append(int(entry.name))
    return found


def until_gone(spool: Path) -> bool:
    deadline = time.monotonic() + 60
    while services_of(spool):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Run:
    """What one run left behind."""

    def __init__(self, directory: Path) -> None:
        self.spool = directory / "spool"
        self.process = subprocess.run(
            command("--requests", str(REQUESTS), "--exit", "--spool", str(self.spool)),
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=environment(),
            cwd=directory,
            timeout=120,
            check=False,
        )
        self.left_running = services_of(self.spool)
        spans = group_traces(Store(self.spool).spans())
        self.traces = {trace_id: Trace(found) for trace_id, found in spans.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("demo"))


def test_demo_ends_by_itself_and_leaves_no_process(run: Run) -> None:
    assert run.process.returncode == 0, run.process.stderr
    assert run.process.stderr == ""
    assert run.left_running == []


def test_every_request_is_one_trace_across_all_five_services(run: Run) -> None:
    assert len(run.traces) == REQUESTS
    for trace in run.traces.values():
        assert set(trace.services) == set(SERVICES)
        assert trace.services[:3] == ["gateway", "checkout", "inventory"]


def test_parents_and_children_line_up(run: Run) -> None:
    for trace in run.traces.values():
        assert [root.name for root in trace.roots] == ["POST /checkout"]
        assert trace.root.service == "gateway"
        assert all(not node.marks for node in trace.nodes)
        for node in trace.nodes[1:]:
            assert node.parent is not None
            if node.service != node.parent.service:
                # A request crosses processes: a server's span below the caller's client span.
                assert node.span.kind == SpanKind.SERVER
                assert node.parent.span.kind == SpanKind.CLIENT


def test_one_line_per_request_with_its_path(run: Run) -> None:
    lines = [line for line in run.process.stdout.splitlines() if "gateway→checkout→inventory" in line]
    assert len(lines) == REQUESTS
    for line in lines:
        assert any(trace_id.startswith(line.split()[-1]) for trace_id in run.traces)


def test_waterfall_is_the_slowest_trace_of_the_spool(run: Run) -> None:
    slowest = max(run.traces.values(), key=lambda trace: trace.duration_ns)
    shown = run.process.stdout.partition("The slowest of")[2]
    assert f"trace {slowest.trace_id}" in shown
    shown_rows = [line for line in shown.splitlines() if line.startswith(SERVICES)]
    assert any("wait for db pool" in line and "▒▒" in line for line in shown_rows)


def test_diagnosis_names_inventory_and_its_pool_with_the_figures_of_the_spans(run: Run) -> None:
    slowest = max(run.traces.values(), key=lambda trace: trace.duration_ns)
    (wait,) = [node for node in slowest.nodes if node.name == "wait for db pool"]
    sentence = " ".join(run.process.stdout.partition("Diagnosis: ")[2].split())
    share = f"{100 * wait.path_time_ns / slowest.duration_ns:.0f} %"
    assert sentence.startswith(f"inventory is the bottleneck: {share} of the slowest trace")
    assert "waits for its database pool (2 connections, up to" in sentence
    assert f"evidence: span {wait.span.span_id} in trace {slowest.trace_id}" in sentence


def test_latency_rises_with_the_load_because_of_the_queue(run: Run) -> None:
    in_order = sorted(run.traces.values(), key=lambda trace: trace.start_ns)
    waits = [next(node for node in trace.nodes if node.name == "wait for db pool").duration_ns for trace in in_order]
    assert max(waits[:4]) < max(waits[-20:])


def test_carrier_that_can_t_is_an_error_with_its_exception_and_another_is_tried(run: Run) -> None:
    failed = [trace for trace in run.traces.values() if trace.errors]
    assert len(failed) == sum(number % 15 == 7 and number % 3 == 1 for number in range(REQUESTS))
    for trace in failed:
        assert trace.status_text == "201"
        exceptions = [event for node in trace.errors for event in node.span.events if event.name == "exception"]
        assert {event.attributes["exception.type"].rpartition(".")[2] for event in exceptions} == {"CarrierUnavailable"}


def test_ls_and_show_work_on_what_the_demo_left(run: Run) -> None:
    def fasttrace(*argv: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "fasttrace", *argv, "--spool", str(run.spool)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=environment(),
            timeout=60,
            check=True,
        ).stdout

    listed: list[dict[str, Any]] = json.loads(fasttrace("ls", "--json", "--limit", "1000"))
    assert {trace["trace_id"] for trace in listed} == set(run.traces)
    shown = fasttrace("show", "slow")
    slowest = max(run.traces.values(), key=lambda trace: trace.duration_ns)
    assert f"trace {slowest.trace_id}" in shown
    assert shown.partition("trace ")[2].partition("\n\nDiagnosis")[0] in run.process.stdout


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_services_stop_with_the_demo_however_it_ends(tmp_path: Path, number: int, code: int) -> None:
    process = subprocess.Popen(
        command("--requests", "3", "--spool", str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=environment(),
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C ends it" in line:
                break
        assert len(services_of(tmp_path)) == len(SERVICES)
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(60) == code
        assert number == signal.SIGKILL or "All services stopped." in rest
    finally:
        process.kill()
        process.wait()
        process.communicate()
    assert until_gone(tmp_path)


def test_what_to_do_next_names_the_commands_that_show_more(run: Run) -> None:
    slowest = max(run.traces.values(), key=lambda trace: trace.duration_ns)
    after = run.process.stdout.partition("\nNext:\n")[2]
    commands = [line.split("  ")[1] for line in after.splitlines() if line.startswith("  fasttrace ")]
    spool = f" --spool {run.spool}"
    words = (f"show {slowest.trace_id[:8]}", "ls --slow", "ls --errors", "top", "map", "serve --open")
    assert commands == [f"fasttrace {word}{spool}" for word in words]


def test_the_page_is_there_as_long_as_the_shop_is_open(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("--requests", "3", "--serve", "--spool", str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(),
    ) as process:
        try:
            assert process.stdout is not None
            page = next(line.split()[-1] for line in process.stdout if "the page is at " in line)
            link = next(line.strip() for line in process.stdout if line.startswith(f"  {page}#/trace/"))
            with urllib.request.urlopen(page, timeout=30) as answer:
                assert b"fasttrace" in answer.read()
            trace_id = link.rpartition("/")[2]
            deadline, listed = time.monotonic() + 60, []
            while trace_id not in listed:  # the index may be a moment behind
                assert time.monotonic() < deadline, listed
                with urllib.request.urlopen(f"{page}api/traces", timeout=60) as answer:
                    listed = [trace["trace_id"] for trace in json.load(answer)["traces"]]
            process.send_signal(signal.SIGINT)
            assert "All services stopped." in process.stdout.read()
            assert process.wait(60) == 0
        finally:
            process.kill()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(page, timeout=30)


def test_a_receiver_gets_every_span_that_the_spool_has(tmp_path: Path, receiver: Receiver) -> None:
    run = subprocess.run(
        command("--requests", "4", "--exit", "--spool", str(tmp_path), "--endpoint", receiver.base),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(),
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert f" and {receiver.base}" in run.stdout.splitlines()[1]
    written = sorted(span.span_id for span in Store(tmp_path).spans())
    assert len(written) > 4
    assert sorted(receiver.span_ids(len(written))) == written


def test_a_receiver_that_does_not_answer_is_one_line_and_nothing_is_started(tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    run = subprocess.run(
        command("--spool", str(tmp_path), "--endpoint", endpoint),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert f"no spans can be sent ({endpoint}" in run.stderr and "leave --endpoint out" in run.stderr
    assert services_of(tmp_path) == []


def test_port_in_use_is_one_line_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run(
            command("--port", str(port), "--spool", str(tmp_path)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr == (
        f"fasttrace: port {port} is in use: choose another with --port, or leave it out for a free one\n"
    )
    assert services_of(tmp_path) == []


def test_spool_that_can_t_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    run = subprocess.run(
        command("--spool", str(tmp_path / "file" / "spool")), capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "name another with --spool DIR" in run.stderr
