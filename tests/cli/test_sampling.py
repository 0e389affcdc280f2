"""``fasttrace sampling`` and ``collector-config``: real commands, and worker processes that follow what they write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fasttrace.sampling import control

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

# An application that serves a request again and again, and tells what is in force: the ratio, whether the trace that was
# dropped at first has been recalled, whether the file is refused.
WORKER = f"""
import time
import fasttrace
provider = fasttrace.configure(service_name="worker", sampler=0.01, tail="error", exporter="memory")
tracer = fasttrace.get_tracer("worker")
parent = fasttrace.extract({{"traceparent": "00-{TRACE_ID}-00f067aa0ba902b7-00"}})
with tracer.start_as_current_span("asked for", context=parent):
    pass
before = None
while True:
    with tracer.start_as_current_span("request"):
        pass
    state = fasttrace.stats()["sampling"]
    ratio = max(state["ratio"], state["boost"]["ratio"] if state["boost"] else 0.0)
    recalled = any(span.name == "asked for" for span in provider.exporter.spans)
    now = repr((ratio, recalled, bool(state["control_file"]["error"])))
    if now != before:
        before = now
        print(before, flush=True)
    time.sleep(0.05)
"""


def fasttrace(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fasttrace", *argv],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


class Worker:
    def __init__(self, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", WORKER],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        assert self.next() == (0.01, False, False)

    def next(self) -> Any:
        """What is in force, once it is something else."""
        assert self.process.stdout is not None
        return eval(self.process.stdout.readline())

    def stop(self) -> str:
        self.process.kill()
        return self.process.communicate()[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sampling.toml"


@pytest.fixture
def workers(path: Path) -> Iterator[list[Worker]]:
    """Two processes that follow one file."""
    started = [Worker(FASTTRACE_CONTROL_FILE=str(path)) for _ in range(2)]
    yield started
    for worker in started:
        worker.stop()


def test_every_process_follows_what_the_command_writes(workers: list[Worker], path: Path) -> None:
    def told(*argv: str) -> list[Any]:
        run = fasttrace("sampling", *argv, FASTTRACE_CONTROL_FILE=str(path))
        assert run.returncode == 0 and run.stderr == "", run.stderr
        assert run.stdout.startswith(f"{path}: ")
        return [worker.next() for worker in workers]

    assert told("ratio", "5%") == [(0.05, False, False)] * 2
    assert told("boost", "100%", "--for", "10m") == [(1.0, False, False)] * 2
    assert told("recall", TRACE_ID) == [(1.0, True, False)] * 2
    assert told("reset") == [(0.01, True, False)] * 2


def test_a_boost_falls_back_by_itself_in_every_process(workers: list[Worker], path: Path) -> None:
    run = fasttrace("sampling", "boost", "1", "--for", "4s", "--file", str(path))
    assert run.returncode == 0
    assert [worker.next()[0] for worker in workers] == [1.0, 1.0]
    assert [worker.next()[0] for worker in workers] == [0.01, 0.01]


def test_a_file_with_an_error_changes_nothing_and_is_told_once_by_each(workers: list[Worker], path: Path) -> None:
    fasttrace("sampling", "ratio", "0.5", "--file", str(path))
    assert [worker.next()[0] for worker in workers] == [0.5, 0.5]
    path.write_text("ratio = 1.5\n")
    assert [worker.next() for worker in workers] == [(0.5, False, True)] * 2
    time.sleep(2.2)  # time to look twice more
    said = [worker.stop() for worker in workers]
    for text in said:
        assert text.count("ratio=1.5: use a number from 0 to 1") == 1
        assert f"control file {path}: line 1: " in text


def test_the_command_refuses_a_broken_file_and_reset_writes_a_new_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("ratoi = 0.5\n")
    for argv in (["show"], ["ratio", "5%"], ["boost", "1"]):
        run = fasttrace("sampling", *argv, "--file", str(path))
        assert run.returncode == 1 and run.stdout == ""
        assert "line 1: ratoi is unknown: did you mean ratio?" in run.stderr
        assert "`fasttrace sampling reset` writes a new one" in run.stderr
    assert fasttrace("sampling", "reset", "--file", str(path)).returncode == 0
    assert control.load(str(path)).ratio is None


def test_show_says_what_is_asked_in_words_and_as_json(path: Path) -> None:
    def show(*argv: str) -> str:
        run = fasttrace("sampling", "show", *argv, "--file", str(path))
        assert run.returncode == 0, run.stderr
        return run.stdout

    assert show().splitlines() == [
        f"file    {path} (not there)",
        "ratio   as configured",
        "boost   none",
        "recall  none",
    ]
    assert not path.exists()
    fasttrace("sampling", "ratio", "0.25%", "--file", str(path))
    fasttrace("sampling", "boost", "50%", "--for", "1h", "--file", str(path))
    fasttrace("sampling", "recall", TRACE_ID, "--file", str(path))
    lines = show().splitlines()
    assert lines[0] == f"file    {path}" and lines[1] == "ratio   0.25%"
    assert lines[2].startswith("boost   50% until 20") and "UTC, 3" in lines[2]
    assert lines[3] == f"recall  {TRACE_ID}"
    data = json.loads(show("--json"))
    assert data["ratio"] == 0.0025 and data["boost"]["ratio"] == 0.5 and data["recall"]["trace_ids"] == [TRACE_ID]
    assert 3500 < data["boost"]["seconds_left"] <= 3601


def test_a_boost_that_is_over_leaves_the_file_with_the_next_change(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("[boost]\nratio = 1.0\nuntil = 2020-01-01T00:00:00Z\n")
    assert "over" in fasttrace("sampling", "show", "--file", str(path)).stdout
    fasttrace("sampling", "ratio", "5%", "--file", str(path))
    assert control.load(str(path)).boost is None


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["boost", "150%"], "argument RATIO: '150%': use a number from 0 to 1, or a percentage such as 10%"),
        (["boost", "-1"], "use a number from 0 to 1"),
        (["boost", "1", "--for", "-5"], "argument --for: '-5': use seconds above 0"),
        (["boost", "1", "--for", "tomorrow"], "argument --for: 'tomorrow': use seconds above 0"),
        (["recall"], "give the trace ids to recall, or --seconds"),
        (["recall", "4bf92f35"], "'4bf92f35': use the 32 hexadecimal digits of a trace id"),
        (["bosst", "1"], "no action 'bosst'. Did you mean boost?"),
        (["boost", "1", "--fro", "10m"], "unknown argument --fro. Did you mean --for?"),
        (["ratio"], "the following arguments are required: RATIO"),
        ([], "the following arguments are required: action"),
    ],
)
def test_mistakes_are_answered_with_what_is_accepted(path: Path, argv: list[str], said: str) -> None:
    run = fasttrace("sampling", *argv, FASTTRACE_CONTROL_FILE=str(path))
    assert run.returncode == 2 and run.stdout == ""
    assert said in run.stderr and "--help` lists what there is" in run.stderr
    assert not path.exists()


def test_a_process_that_follows_no_file_is_not_written_to() -> None:
    run = fasttrace("sampling", "ratio", "5%", FASTTRACE_CONTROL_FILE="none")
    assert run.returncode == 1 and "processes follow no file; name theirs with --file" in run.stderr


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = fasttrace("sampling", "ratio", "5%", "--file", str(tmp_path / "file" / "x.toml"))
    assert run.returncode == 1 and len(run.stderr.splitlines()) == 1 and "file" in run.stderr


# --- collector-config


def test_the_collectors_configuration_is_two_yaml_documents_or_one() -> None:
    both = fasttrace("collector-config", "--tail", "latency=1s,baseline=5%", "--samplers", "a:4317,b:4317")
    assert both.returncode == 0 and both.stderr == ""
    first, second = yaml.safe_load_all(both.stdout)
    assert first["exporters"]["load_balancing"]["resolver"]["static"]["hostnames"] == ["a:4317", "b:4317"]
    policies = second["processors"]["tail_sampling"]["policies"]
    assert [policy["name"] for policy in policies] == ["fasttrace: kept already", "latency", "baseline"]
    for tier, document in (("load-balancer", first), ("sampler", second)):
        run = fasttrace(
            "collector-config", "--tier", tier, "--tail", "latency=1s,baseline=5%", "--samplers", "a:4317,b:4317"
        )
        assert yaml.safe_load(run.stdout) == document


def test_the_rules_come_from_the_variable_or_are_the_usual_ones() -> None:
    def names(**environment: str) -> list[str]:
        run = fasttrace("collector-config", "--tier", "sampler", **environment)
        found = yaml.safe_load(run.stdout)["processors"]["tail_sampling"]["policies"]
        return [policy["name"] for policy in found[1:]]

    assert names(FASTTRACE_TAIL="error") == ["error"]
    assert names(FASTTRACE_TAIL="") == ["latency", "error", "http_5xx", "exception", "baseline"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--tail", "latensy=2s"], "did you mean latency?"),
        (["--tail", "baseline=150%"], "use a number from 0 to 1"),
        (["--samplers", "nowhere"], "'nowhere': use host:port"),
        (["--endpoint", "ftp://x"], "'ftp://x': use host:port"),
    ],
)
def test_bad_rules_and_places_are_refused_with_what_is_accepted(argv: list[str], said: str) -> None:
    run = fasttrace("collector-config", *argv)
    assert run.returncode == 1 and run.stdout == "" and said in run.stderr and len(run.stderr.splitlines()) == 1
