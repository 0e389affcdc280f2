"""``fasttrace bench``: it measures what it says, says what a program would load, and needs nothing but the wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

import fasttrace
from fasttrace import benchmark
from fasttrace.cli.parser import build_parser

FIGURES = {"microseconds", "low", "high", "ratio"}


def bench(*arguments: str, before: str = "pass", **environ: str) -> str:
    """What the command prints, with a line of Python before it."""
    program = f"import sys; {before}; from fasttrace.cli import main; sys.exit(main(sys.argv[1:]))"
    given = {**os.environ, "PYTHONWARNINGS": "ignore", **environ}
    command = [sys.executable, "-c", program, "bench", "--seconds", "0.01", *arguments]
    run = subprocess.run(command, capture_output=True, env=given, timeout=120, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout


def test_json_has_every_case_for_both_implementations_and_the_sdk() -> None:
    report = json.loads(bench("--json"))
    impl, reason = fasttrace.implementation()
    assert (report["implementation"]["name"], report["implementation"]["reason"]) == (impl, reason)
    assert [case["name"] for case in report["cases"]] == list(benchmark.CASES)
    assert report["rounds"] >= benchmark.MIN_ROUNDS
    assert {"python", "opentelemetry"} <= set(report["subjects"])
    assert ("cython" in report["subjects"]) == ("cython" not in report["absent"])
    for case in report["cases"]:
        assert set(case) == {"name", *report["subjects"]}
        for name in report["subjects"]:
            assert set(case[name]) == FIGURES
            assert 0 < case[name]["low"] <= case[name]["microseconds"] <= case[name]["high"]
        assert case[report["subjects"][0]]["ratio"] == 1.0


def test_the_table_says_what_a_program_would_load_and_why() -> None:
    shown = bench(FASTTRACE_IMPL="python")
    assert "loads python: FASTTRACE_IMPL=python." in shown
    assert all(f" {case} " in shown for case in benchmark.CASES)
    assert "OpenTelemetry SDK" in shown
    assert "With python a span costs" in shown


def test_it_runs_where_neither_rich_nor_the_sdk_is_installed() -> None:
    shown = bench(before="sys.modules['rich'] = sys.modules['opentelemetry.sdk'] = sys.modules['opentelemetry'] = None")
    lines = shown.splitlines()
    table = lines[3 : 4 + len(benchmark.CASES)]
    assert table[0].startswith("CPU, microseconds")
    assert len({len(line) for line in table}) == 1
    assert "x OpenTelemetry" not in shown
    assert any(line.startswith("OpenTelemetry SDK is not measured: ") for line in lines)


def test_a_disabled_sdk_is_not_taken_for_a_quick_one() -> None:
    assert (
        json.loads(bench("--json", OTEL_SDK_DISABLED="true"))["absent"]["opentelemetry"] == "OTEL_SDK_DISABLED is set"
    )


@pytest.mark.parametrize(
    ("case", "spans", "attributes"),
    [
        (benchmark.SPAN, 1, 0),
        (benchmark.ATTRIBUTES, 1, 4),
        (benchmark.REQUEST, 6, 12),
        (benchmark.UNSAMPLED, 0, 0),
        (benchmark.HEADERS, 0, 0),
    ],
)
def test_a_case_records_what_it_says(
    core: Any, monkeypatch: pytest.MonkeyPatch, case: str, spans: int, attributes: int
) -> None:
    requests: list[bytes] = []
    assemble = core.otlp.assemble

    def kept(*arguments: Any) -> Any:
        requests.append(assemble(*arguments))
        return requests[-1]

    monkeypatch.setattr(core.otlp, "assemble", kept)
    subject = benchmark.ours(core.name)
    subject.cases[case]()
    subject.drain()
    found = [span for request in requests for span in core.decode.decode_request(request)]
    assert (len(found), sum(len(span.attributes) for span in found)) == (spans, attributes)
    assert len({span.trace_id for span in found}) == bool(spans)


def test_headers_are_read_and_written(core: Any) -> None:
    subject = benchmark.ours(core.name)
    written: dict[str, str] = {}
    inject = core.headers.inject_w3c
    assert subject.cases[benchmark.HEADERS]() is True
    assert inject(written, core.headers.extract_w3c(benchmark.INCOMING))
    assert written == {"traceparent": benchmark.INCOMING["traceparent"]}


def test_a_lost_span_is_no_quick_one(core: Any) -> None:
    subject = benchmark.ours(core.name)
    for _ in range(10_001):
        subject.cases[benchmark.SPAN]()
    with pytest.raises(RuntimeError, match="dropped"):
        subject.drain()


def test_a_sample_fits_the_queues() -> None:
    assert 6 * benchmark.MAX_CALLS <= fasttrace._core.layout.DEFAULT_QUEUE_SPANS


def test_the_time_it_may_take_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert build_parser().parse_args(["bench"]).seconds == 8
    with pytest.raises(SystemExit):
        build_parser().parse_args(["bench", "--seconds", "0"])
    assert "use seconds, above 0" in capsys.readouterr().err
