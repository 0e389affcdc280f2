"""Spans that are lost are loud: in ``ls``, ``tail`` and ``doctor``, by what real processes have left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fasttrace
from fasttrace import accounts
from fasttrace.cli import main
from fasttrace.export import SpoolExporter, stats_file

LOST = "spans were dropped by shop, pid"


def provider_of(spool: Path) -> fasttrace.TracerProvider:
    """A provider with room for ten spans."""
    return fasttrace.TracerProvider(
        service_name="shop", exporter=SpoolExporter(spool), max_queue_spans=10, schedule_delay=0.05
    )


def lose(provider: fasttrace.TracerProvider) -> None:
    for _ in range(100):
        provider.get_tracer("test").start_span("operation").end()


def test_ls_says_that_spans_were_lost_and_nothing_where_none_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = provider_of(tmp_path)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(20)
    assert main(["ls", "--spool", str(tmp_path)]) == 0
    assert "dropped" not in capsys.readouterr().err
    lose(provider)
    assert provider.shutdown(20)
    dropped = provider.stats()["dropped"]["queue_full"]
    said = f"fasttrace: {dropped} {LOST} {os.getpid()} (queue_full {dropped}); `fasttrace doctor` says what helps\n"
    for options in ([], ["--json"]):
        assert main(["ls", "--spool", str(tmp_path), *options]) == 0
        assert said in capsys.readouterr().err


def test_tail_says_it_when_it_happens(tmp_path: Path) -> None:
    provider = provider_of(tmp_path)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(20)
    command = [sys.executable, "-m", "fasttrace", "tail", "--json", "--for", "60s", "--spool", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        time.sleep(0.5)
        lose(provider)
        assert process.stderr is not None
        assert LOST in process.stderr.readline()
        process.kill()
    provider.shutdown(20)


def test_doctor_has_every_process_and_what_helps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provider = provider_of(tmp_path)
    lose(provider)
    assert provider.shutdown(20)
    stats = {**accounts.blank(), "started": 5, "queued": 5}
    silent = stats_file.StatsFile(lambda: str(tmp_path), lambda: "killed\x1b[31m", lambda: stats)
    silent.write(at_once=True)
    silent.after_fork_in_child()  # lets go of the file without a word
    assert main(["doctor", "--offline", "--json", "--spool", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    (section,) = [section for section in report["sections"] if section["name"] == "processes"]
    summary, *each = section["findings"]
    by_service = {finding["data"]["service"]: finding for finding in each}
    shop, killed = by_service["shop"], by_service["killed\x1b[31m"]
    lost = provider.stats()["dropped"]["queue_full"]
    assert (summary["data"]["running"], summary["data"]["ended"], summary["data"]["dropped"]) == (0, 2, lost)
    assert (shop["status"], shop["data"]["state"], shop["data"]["dropped"]) == (
        "warning",
        "ended",
        {"queue_full": lost},
    )
    assert "FASTTRACE_MAX_QUEUE_SPANS" in shop["advice"]
    assert (killed["status"], killed["data"]["state"]) == ("warning", "gone")
    assert "5 of 0 queued" in killed["text"]
    assert main(["doctor", "--offline", "--spool", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "queue_full" in printed
    assert "\x1b" not in printed
