"""top, map, diff and tail on a real spool: what they say, to whom, and in which form."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fasttrace
from fasttrace.cli import main
from fasttrace.export import SpoolExporter

COMMANDS = [["top"], ["map"], ["diff", "slow", "last"], ["show", "slow"], ["ls"], ["tail", "--for", "0.1s"]]


def answer(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> dict[str, object]:
    assert main([*argv, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_top_puts_the_time_that_services_take_themselves_first(
    spool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["top", "--spool", str(spool)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"3 requests, 1 error, 3 routes · by self · {spool}"[:99])
    assert [line.split()[2] for line in lines[3:]] == ["/slow", "/failed", "/fast"]
    assert main(["top", "--by", "errors", "--limit", "1", "--spool", str(spool)]) == 0
    captured = capsys.readouterr()
    assert [line.split()[2] for line in captured.out.splitlines()[3:]] == ["/failed"]
    assert captured.err == "1 of 3 routes; --limit shows more\n"


def test_top_json_has_every_figure(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    routes = answer(capsys, "top", "--spool", str(spool), "service=shop", "name=GET*", code=0)["routes"]
    assert routes == []  # = takes no pattern
    (route,) = answer(capsys, "top", "--spool", str(spool), "name~GET*", "dur>1s")["routes"]  # type: ignore[misc]
    assert {key: route[key] for key in ("service", "route", "count", "errors", "p95", "total_ns", "self_ns")} == {
        "service": "shop", "route": "GET /slow", "count": 1, "errors": 0, "p95": 1_500_000_000,
        "total_ns": 1_500_000_000, "self_ns": 1_500_000_000,
    }  # fmt: skip


def test_map_counts_requests_and_failures(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (node,) = answer(capsys, "map", "--spool", str(spool))["nodes"]  # type: ignore[misc]
    assert (node["service"], node["requests"], node["failed"]) == ("shop", 3, 1)
    assert main(["map", "--spool", str(spool)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["shop", "3"]


def test_last_looks_at_what_is_recent(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provider = fasttrace.TracerProvider(service_name="now", exporter=SpoolExporter(spool))
    provider.get_tracer("tests").start_span("just now").end()
    assert provider.shutdown(timeout=60)
    routes = answer(capsys, "top", "--spool", str(spool), "--last", "10m")["routes"]
    assert [row["service"] for row in routes] == ["now"]  # type: ignore[attr-defined]


def test_diff_of_two_traces_names_what_is_new(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fast = answer(capsys, "ls", "--spool", str(spool))[1]["trace_id"]  # type: ignore[index]
    assert main(["diff", str(fast), "slow", "--spool", str(spool)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "b is 1.49 s slower" in said
    assert "`wait for db pool`, +1.40 s, which is new" in said


def test_diff_of_groups_takes_searches_and_times(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "diff", "status=error", "status=ok", "--spool", str(spool))
    assert (found["a"]["traces"], found["b"]["traces"]) == (1, 2)  # type: ignore[index]
    start = "2026-11-23T12:03:00"
    found = answer(capsys, "diff", f"{start}..2026-11-23T12:05:00", "2026-11-23T12:05:00..", "--spool", str(spool))
    assert (found["a"]["traces"], found["b"]["traces"]) == (2, 1)  # type: ignore[index]


def test_diff_fails_with_code_3_when_it_is_told_to(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = ["name=GET /fast".replace(" ", "*").replace("=", "~"), "slow", "--spool", str(spool)]
    assert main(["diff", *sides]) == 0
    assert main(["diff", *sides, "--fail-over", "10%"]) == 3
    assert main(["diff", "slow", "slow", "--fail-over", "10%", "--spool", str(spool)]) == 0


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("service=nobody", "no traces for 'service=nobody'"),
        ("abcd..now", "'abcd' is not a time: use 10m (ago), 12:03"),
        ("5m..10m", "the range ends before it begins"),
        ("servce=x", "did you mean service?"),
        ("0000", "begins with 0000"),
    ],
)
def test_diff_of_what_is_not_there_is_one_line(
    spool: Path, capsys: pytest.CaptureFixture[str], side: str, said: str
) -> None:
    assert main(["diff", "slow", side, "--spool", str(spool)]) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""


@pytest.mark.parametrize("command", [["top"], ["map"], ["tail", "--for", "1s"]], ids=lambda argv: argv[0])
def test_search_that_can_t_be_read_is_one_line(
    spool: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, "dur>fast", "--spool", str(spool)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("command", [["top"], ["map"], ["tail", "--for", "0.1s"]], ids=lambda argv: argv[0])
def test_nothing_there_is_no_error_and_nothing_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, "--spool", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda argv: argv[0])
def test_pipes_get_no_escape_sequences_and_no_more_than_100_columns(
    spool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    for name, value in (("COLUMNS", ""), ("FORCE_COLOR", ""), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    assert main([*command, "--spool", str(spool)]) == 0
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert all(len(line) <= 100 for line in captured.out.splitlines())


def test_what_is_said_beside_the_output_is_on_standard_error(spool: Path) -> None:
    found = subprocess.run(
        f"{shlex.quote(sys.executable)} -m fasttrace top --limit 1 --spool {shlex.quote(str(spool))} 2>/dev/null | cat",
        shell=True, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, timeout=60, check=True,
    )  # fmt: skip
    assert len(found.stdout.splitlines()) == 4
    assert found.stderr == b""


def follow(spool: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "fasttrace", "tail", "--spool", str(spool), "--for", "30s", *argv],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def record_until(process: subprocess.Popen[str], spool: Path, record: Callable[[fasttrace.Tracer], None]) -> str:
    """Record again and again until the follower, which needs a moment to begin, has seen enough and ends."""
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        provider = fasttrace.TracerProvider(service_name="live", exporter=SpoolExporter(spool))
        record(provider.get_tracer("tests"))
        assert provider.shutdown(timeout=60)
        time.sleep(0.1)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out


def test_tail_shows_traces_that_come_and_only_those_that_were_asked_for(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = follow(spool, "--json", "--count", "2", "name~wanted*", "service=live")

    def record(tracer: fasttrace.Tracer) -> None:
        for name in ("other", "wanted one"):
            with tracer.start_as_current_span(name), tracer.start_as_current_span("inner"):
                pass

    lines = [json.loads(line) for line in record_until(process, spool, record).splitlines()]
    assert [(line["name"], line["spans"], line["services"]) for line in lines] == [("wanted one", 2, ["live"])] * 2
    assert main(["ls", "--json", "wanted", "--limit", "200", "--spool", str(spool)]) == 0
    everything = json.loads(capsys.readouterr().out)
    assert all(line in everything for line in lines), "the same of a trace as in the list"


def test_tail_of_errors_shows_failed_traces(spool: Path) -> None:
    process = follow(spool, "--errors", "--count", "1")

    def record(tracer: fasttrace.Tracer) -> None:
        tracer.start_span("fine").end()
        span = tracer.start_span("broken")
        span.set_status(fasttrace.StatusCode.ERROR)
        span.end()

    (line,) = record_until(process, spool, record).splitlines()
    assert "broken" in line
    assert "✖ 1" in line


@pytest.mark.parametrize("hours", [-24, 1], ids=["yesterday", "by_a_clock_that_is_ahead"])
def test_show_finds_the_trace_that_a_lost_context_went_on_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hours: int
) -> None:
    start, ms = time.time_ns() + hours * 3600 * 10**9, 1_000_000
    shop = fasttrace.TracerProvider(service_name="shop", exporter=SpoolExporter(tmp_path))
    pay = fasttrace.TracerProvider(service_name="payments", exporter=SpoolExporter(tmp_path))
    tracer, nothing = shop.get_tracer("t"), fasttrace.Context()
    root = tracer.start_span("POST /buy", kind=fasttrace.SpanKind.SERVER, context=nothing, start_time=start)
    asked = {"url.full": "http://pay:80/charge", "http.request.method": "POST"}
    call = tracer.start_span(
        "POST", kind=fasttrace.SpanKind.CLIENT, context=root, attributes=asked, start_time=start + ms
    )
    answered = {"url.path": "/charge", "http.request.method": "POST"}
    other = pay.get_tracer("t").start_span(
        "POST /charge", kind=fasttrace.SpanKind.SERVER, context=nothing, attributes=answered, start_time=start + 2 * ms
    )
    other.end(start + 8 * ms)
    call.end(start + 9 * ms)
    root.end(start + 10 * ms)
    assert shop.shutdown(timeout=60)
    assert pay.shutdown(timeout=60)
    traces = {row["name"]: row["trace_id"] for row in listed(capsys, tmp_path)}
    for name in ("POST /buy", "POST /charge"):
        assert main(["show", traces[name], "--spool", str(tmp_path)]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"`POST /charge` in payments begins trace {traces['POST /charge'][:8]} of its own" in said
        (found,) = [
            one for one in answer(capsys, "show", traces[name], "--spool", str(tmp_path))["diagnosis"]  # type: ignore[attr-defined]
            if one["rule"] == "lost_context"
        ]  # fmt: skip
        assert found["span_id"]


def listed(capsys: pytest.CaptureFixture[str], spool: Path) -> list[dict[str, str]]:
    assert main(["ls", "--json", "--spool", str(spool)]) == 0
    rows: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return rows
