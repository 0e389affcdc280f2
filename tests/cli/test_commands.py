"""ls and show on a real spool, and how commands fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fasttrace import __version__
from fasttrace.cli import main
from fasttrace.export import SpoolExporter


def fasttrace(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as users do, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "fasttrace", *argv],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        timeout=60,
        check=False,
    )


def listed(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, object]]:
    assert main(["ls", "--json", *argv]) == 0
    traces: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return traces


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"fasttrace {__version__}\n"


def test_ls_lists_newest_last(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    traces = listed(capsys, "--spool", str(spool))
    assert [trace["name"] for trace in traces] == ["GET /slow", "GET /fast", "GET /failed"]
    slow = traces[0]
    assert {key: slow[key] for key in ("status", "duration_ns", "spans", "errors", "services", "complete")} == {
        "status": "200",
        "duration_ns": 1_500_000_000,
        "spans": 2,
        "errors": 0,
        "services": ["shop"],
        "complete": True,
    }


def test_ls_slow_lists_the_slowest_first_and_errors_only_failures(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = listed(capsys, "--spool", str(spool), "--slow", "--limit", "2")
    assert [trace["name"] for trace in slow] == ["GET /slow", "GET /failed"]
    assert [trace["name"] for trace in listed(capsys, "--spool", str(spool), "--errors")] == ["GET /failed"]


def test_ls_takes_a_search(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for query, found in (
        (["dur>30ms"], ["GET /slow", "GET /failed"]),
        (["dur>30ms", "-code=503"], ["GET /slow"]),
        (['name~"GET*"', "status=error"], ["GET /failed"]),
        (["wait"], ["GET /slow"]),
    ):
        assert [trace["name"] for trace in listed(capsys, "--spool", str(spool), *query)] == found
    assert main(["ls", "--spool", str(spool), "service=none"]) == 0
    assert "nothing matches 'service=none'" in capsys.readouterr().err
    assert main(["ls", "--spool", str(spool), "http.response.status=503"]) == 0
    assert (
        "no span has an attribute http.response.status: did you mean http.response.status_code?\n"
        in capsys.readouterr().err
    )
    assert main(["ls", "--spool", str(spool), "dur>5"]) == 1
    assert "'5' has no unit: use ns, us, ms, s, m or h" in capsys.readouterr().err


def test_ls_in_words_fits_the_terminal(
    spool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["ls", "--spool", str(spool)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:41] for line in lines] == [
        "12:03:41    200   1.50 s  GET /slow    sh",
        "12:04:41    200  12.0 ms  GET /fast    sh",
        "12:05:41    503  40.0 ms  GET /failed  sh",
    ]
    assert all(len(line) <= 80 for line in lines)


def test_ls_of_nothing_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--spool", str(tmp_path / "none")) == []
    assert main(["ls", "--spool", str(tmp_path / "none")]) == 0
    assert "no traces in" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("which", "name"), [("slow", "GET /slow"), ("last", "GET /failed")])
def test_show_finds_the_slowest_and_the_newest(
    spool: Path, capsys: pytest.CaptureFixture[str], which: str, name: str
) -> None:
    assert main(["show", which, "--spool", str(spool)]) == 0
    assert capsys.readouterr().out.startswith(f"{name}  ")


def test_show_takes_the_start_of_an_id_in_either_case(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace_id = str(listed(capsys, "--spool", str(spool))[1]["trace_id"])
    for prefix in (trace_id, trace_id[:8], trace_id[:8].upper()):
        assert main(["show", prefix, "--spool", str(spool)]) == 0
        assert f"trace {trace_id}" in capsys.readouterr().out


def test_show_says_why_it_was_slow(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "slow", "--spool", str(spool)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "shop is the bottleneck: 93 % of this trace (1.40 s of 1.50 s) waits for its database pool" in shown


def test_show_json_has_the_tree_the_times_and_the_diagnosis(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "slow", "--json", "--spool", str(spool)]) == 0
    trace = json.loads(capsys.readouterr().out)
    assert [(span["name"], span["depth"], span["self"]) for span in trace["spans"]] == [
        ("GET /slow", 0, 100_000_000),
        ("wait for db pool", 1, 1_400_000_000),
    ]
    assert [found["rule"] for found in trace["diagnosis"]] == ["pool_wait"]
    assert sum(end - start for span in trace["spans"] for start, end in span["path"]) == trace["duration_ns"]


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("xyz", "'xyz' is not the start of a trace id (4 hexadecimal digits or more), nor `slow` or `last`"),
        ("abc", "'abc' is not the start of a trace id (4 hexadecimal digits or more), nor `slow` or `last`"),
        ("0" * 32, "begins with " + "0" * 32 + ": `fasttrace ls` lists what is there"),
    ],
)
def test_show_of_what_is_not_there_is_one_line(
    spool: Path, capsys: pytest.CaptureFixture[str], which: str, said: str
) -> None:
    assert main(["show", which, "--spool", str(spool)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert said in captured.err


def test_show_from_an_empty_spool_says_how_to_fill_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "slow", "--spool", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "`fasttrace demo` makes some" in said
    assert "`fasttrace run -- COMMAND`" in said


def test_batch_that_can_t_be_read_is_left_out_and_said(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exporter = SpoolExporter(spool)
    exporter.append(b"\x0a\xff")
    exporter.shutdown(1)
    assert main(["ls", "--json", "--spool", str(spool)]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 3
    assert "1 batch in" in captured.err


def test_spool_directory_comes_from_the_environment_too(
    spool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTTRACE_SPOOL_DIR", str(spool))
    assert len(listed(capsys)) == 3


def test_terminal_without_unicode_gets_ascii(spool: Path) -> None:
    shown = fasttrace("show", "slow", "--spool", str(spool), PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert shown.stdout.isascii()
    assert "%%%%" in shown.stdout


def test_pipe_gets_100_columns_and_no_colour(spool: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR")}
    command = [sys.executable, "-m", "fasttrace", "show", "slow", "--spool", str(spool)]
    shown = subprocess.run(
        command, capture_output=True, env={**environment, "PYTHONIOENCODING": "utf-8"}, timeout=60, check=True
    )
    text = shown.stdout.decode()
    assert "\x1b" not in text
    assert 90 <= max(len(line) for line in text.splitlines()) <= 100


def test_reader_that_goes_away_is_no_noise(spool: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        process = subprocess.run(
            [sys.executable, "-m", "fasttrace", "show", "slow", "--spool", str(spool)],
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert process.returncode == 141
    assert process.stderr == b""


@pytest.mark.parametrize("command", [["show", "slow"], ["ls"], ["demo", "--exit"]], ids=lambda argv: argv[0])
def test_missing_viewer_extra_says_what_to_install(spool: Path, command: list[str]) -> None:
    code = (
        "import sys\n"
        "for name in ('rich', 'httpx', 'starlette', 'uvicorn'):\n"
        "    sys.modules[name] = None\n"
        "from fasttrace.cli import main\n"
        "raise SystemExit(main(sys.argv[1:]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *command, "--spool", str(spool)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert 'pip install "fasttrace[viewer]"' in run.stderr


def test_json_needs_no_extra(spool: Path) -> None:
    code = (
        "import sys; sys.modules['rich'] = None\nfrom fasttrace.cli import main\nraise SystemExit(main(sys.argv[1:]))"
    )
    commands = (["ls"], ["show", "slow"], ["top"], ["map"], ["diff", "slow", "last"])
    for command in ([*words, "--json"] for words in commands):
        run = subprocess.run(
            [sys.executable, "-c", code, *command, "--spool", str(spool)], capture_output=True, timeout=60, check=True
        )
        assert json.loads(run.stdout)


def test_mistyped_command_exits_2() -> None:
    run = fasttrace("shwo")
    assert run.returncode == 2
    assert "Did you mean show?" in run.stderr
