"""export and import as users type them: files, pipes, packed, and what goes wrong."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fasttrace.cli import main


def names(spool: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert main(["ls", "--json", "--spool", str(spool)]) == 0
    return [trace["name"] for trace in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    "name", ["t.otlp.jsonl", "t.otlp", "t.jaeger.json", "t.zipkin.json", "t.otlp.gz", "t.jsonl.gz"]
)
def test_what_is_exported_can_be_imported(
    spool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file, other = str(tmp_path / name), tmp_path / "other"
    assert main(["export", "-o", file, "--spool", str(spool)]) == 0
    assert f"3 traces to {file}" in capsys.readouterr().err
    if os.name != "nt":
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert main(["import", file, "--spool", str(other)]) == 0
    assert f"4 spans from {file}" in capsys.readouterr().err
    assert names(other, capsys) == ["GET /slow", "GET /fast", "GET /failed"]
    assert main(["import", file, "--spool", str(other)]) == 0
    assert names(other, capsys) == ["GET /slow", "GET /fast", "GET /failed"], "a second time changes nothing"
    assert os.listdir(tmp_path / "other")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (["slow"], ["GET /slow"]),
        (["last"], ["GET /failed"]),
        (["status=error"], ["GET /failed"]),
        (["dur>20ms", "-code=503"], ["GET /slow"]),
        (["--limit", "2"], ["GET /fast", "GET /failed"]),
    ],
    ids=" ".join,
)
def test_a_trace_or_a_search_is_exported(
    spool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: list[str], found: list[str]
) -> None:
    assert main(["export", *what, "-o", str(tmp_path / "t.jsonl"), "--spool", str(spool)]) == 0
    assert main(["import", str(tmp_path / "t.jsonl"), "--spool", str(tmp_path / "other")]) == 0
    assert names(tmp_path / "other", capsys) == found


def test_pipes_carry_traces_from_one_spool_to_another(spool: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fasttrace"]
    for form in ("otlp", "zipkin"):
        export = subprocess.run(
            [*command, "export", "slow", "--format", form, "--spool", str(spool)],
            capture_output=True,
            timeout=60,
            check=True,
        )
        taken = subprocess.run(
            [*command, "import", "-", "--spool", str(tmp_path / form)], input=gzip.compress(export.stdout),
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        assert b"2 spans from standard input" in taken.stderr
    assert b"\x1b" not in export.stderr + taken.stderr, "no bar where there is no terminal"


def test_one_bad_file_does_not_keep_the_others_back(
    spool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, cut = tmp_path / "good.jsonl", tmp_path / "bad.json", tmp_path / "cut.jsonl.gz"
    assert main(["export", "-o", str(good), "--spool", str(spool)]) == 0
    bad.write_text('{"spans": []}')
    cut.write_bytes(gzip.compress(good.read_bytes())[:-20])
    capsys.readouterr()
    argv = ["import", str(bad), str(cut), str(tmp_path / "none"), str(good), "--spool", str(tmp_path / "other")]
    assert main(argv) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    assert f"{bad}: an object with spans: not OTLP (resourceSpans), Jaeger" in said[0]
    assert str(cut) in said[1]
    assert "No such file" in said[2]
    assert "4 spans" in said[3]
    assert names(tmp_path / "other", capsys) == ["GET /slow", "GET /fast", "GET /failed"]


def test_spans_without_ids_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spans = [{"traceId": "0" * 32, "spanId": "1" * 16}, {"traceId": "a" * 32, "spanId": "b" * 16, "name": "fine"}]
    (tmp_path / "x.jsonl").write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    assert main(["import", str(tmp_path / "x.jsonl"), "--spool", str(tmp_path / "other")]) == 0
    assert "1 span from" in (said := capsys.readouterr().err)
    assert "1 span without valid ids left out" in said
    assert names(tmp_path / "other", capsys) == ["fine"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nothing=here"], "nothing matches 'nothing=here' in"),
        (["dur>5"], "'5' has no unit"),
        (["abcdef12"], "begins with abcdef12"),
    ],
)
def test_export_of_nothing_says_so_and_leaves_no_file(
    spool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert main(["export", *argv, "-o", str(tmp_path / "x.jsonl"), "--spool", str(spool)]) == 1
    assert said in capsys.readouterr().err
    assert main(["export", "-o", str(tmp_path / "no folder" / "x.jsonl"), "--spool", str(spool)]) == 1
    assert f"{tmp_path / 'no folder' / 'x.jsonl'} can't be written: No such file" in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))


BAR = """
from fasttrace.cli.progress import progress
with progress("quick") as advance:
    advance(3, 3)
with progress("slow", bytes_of=True) as advance:
    for step in range(4):
        advance(step * 1000, 3000)
"""


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals of POSIX")
def test_a_terminal_gets_a_bar_for_what_is_not_done_at_once() -> None:
    import pty

    controller, terminal = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", BAR], stderr=terminal, env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    said = b""
    try:
        while data := os.read(controller, 4096):
            said += data
    except OSError:
        pass
    os.close(controller)
    assert process.wait(60) == 0
    assert b"quick" not in said
    assert b"slow" in said
    assert b"3.0/3.0 kB" in said


def test_json_says_what_was_written_and_what_became_of_each_file(
    spool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, bad, other = tmp_path / "t.jsonl.gz", tmp_path / "bad.json", str(tmp_path / "other")
    assert main(["export", "slow", "-o", str(file), "--json", "--spool", str(spool)]) == 0
    written = capsys.readouterr()
    size = file.stat().st_size
    assert json.loads(written.out) == {"file": str(file), "format": "otlp-json", "traces": 1, "bytes": size}
    assert written.err == ""
    bad.write_text("{}")
    assert main(["import", str(bad), str(file), "--json", "--spool", other]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert (first["file"], first["spans"]) == (str(bad), 0)
    assert "an object with nothing" in first["error"]
    assert second == {"file": str(file), "spans": 2, "left_out": 0, "error": None}
    assert main(["export", "slow", "--json", "--spool", str(spool)]) == 1
    refused = capsys.readouterr()
    assert "--output" in refused.err
    assert refused.out == ""
