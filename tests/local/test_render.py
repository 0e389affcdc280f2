"""The waterfall in the terminal, against golden files. ``python tests/local/test_render.py`` writes them anew."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sample_traces as traces
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from sample_traces import any_spans

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.local.diagnosis import diagnose
from fasttrace.local.model import Trace
from fasttrace.local.render import render_diagnosis, render_trace
from fasttrace.local.terminal import Pen, print_lines, shows_unicode, terminal_width

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (60, 80, 120, 200)
CASES = {"checkout": traces.checkout, "damaged": traces.damaged}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def picture(case: str, width: int, unicode: bool = True) -> str:
    trace, pen = Trace(CASES[case]()), Pen(width, unicode)
    lines = [*render_trace(trace, pen), pen.line(), *render_diagnosis(diagnose([trace], "this trace"), pen)]
    return "".join(f"{line.plain}\n" for line in lines)


def golden(case: str, width: int, unicode: bool) -> Path:
    return GOLDEN / f"{case}-{width}{'' if unicode else '-ascii'}.txt"


@pytest.mark.parametrize("unicode", [True, False], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_waterfall_looks_as_agreed(case: str, width: int, unicode: bool) -> None:
    assert picture(case, width, unicode) == golden(case, width, unicode).read_text(encoding="utf-8")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_ascii_is_ascii(case: str, width: int) -> None:
    assert picture(case, width, unicode=False).isascii()


@settings(max_examples=60, deadline=None)
@given(any_spans(), st.integers(60, 200), st.booleans())
def test_no_line_is_wider_than_the_terminal(spans: list[SpanData], width: int, unicode: bool) -> None:
    for line in render_trace(Trace(spans), Pen(width, unicode)):
        assert cell_len(line.plain) <= width


def test_deep_traces_keep_their_names_readable() -> None:
    spans = [traces.span(n, n - 1, n / 10, 1000 - n / 10, f"level {n}") for n in range(1, 300)]
    lines = [line.plain for line in render_trace(Trace(spans), Pen(80))]
    assert any("level 250" in line for line in lines)


def test_header_says_why_the_trace_was_kept_and_where_it_ran_if_there_is_room() -> None:
    data = traces.span(1, 0, 0, 10, "GET /", "web", fasttrace__keep_reason="latency")
    data.resource = {**data.resource, "service.version": "1.4\x1b[31m", "cloud.region": "eu-west-1"}
    assert render_trace(Trace([data]), Pen(120))[1].plain.endswith(
        "12:03:41 · kept: latency · 1.4\ufffd[31m · eu-west-1"
    )
    narrow = render_trace(Trace([data]), Pen(60))[1].plain
    assert "kept" not in narrow


def test_the_two_sides_of_an_rpc_are_told_apart() -> None:
    name = "shop.Stock/Reserve"
    calling = traces.span(1, 0, 0, 10, name, "shop", kind=SpanKind.CLIENT, rpc__method=name)
    serving = traces.span(2, 1, 2, 8, name, "stock", kind=SpanKind.SERVER, rpc__method=name)
    lines = [line.plain for line in render_trace(Trace([calling, serving]), Pen(80))]
    rows = [line.split(name)[0] for line in lines if name in line and line.startswith(("shop ", "stock "))]
    assert rows == ["shop  → ", "stock └ "]


def test_long_traces_say_how_much_is_not_shown() -> None:
    spans = [traces.span(n, 1 if n > 1 else 0, n, n + 1, f"call {n}") for n in range(1, 102)]
    lines = [line.plain for line in render_trace(Trace(spans), Pen(80), max_rows=50)]
    assert "51 more rows not shown" in lines


def test_pipes_get_no_escape_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    stream = io.StringIO()
    print_lines(render_trace(Trace(traces.checkout()), Pen(80)), stream)
    assert "\x1b" not in stream.getvalue()


def test_colour_is_only_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    lines = render_trace(Trace(traces.checkout()), Pen(80))
    print_lines(lines, stream)
    import re

    assert "\x1b[" in stream.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()) == "".join(f"{line.plain}\n" for line in lines)


def test_no_color_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    print_lines(render_trace(Trace(traces.checkout()), Pen(80)), stream)
    assert "\x1b" not in stream.getvalue()


def test_red_is_for_errors_only() -> None:
    healthy = [data for data in traces.checkout() if data.span_id not in (f"{50:016x}", f"{51:016x}")]
    styles = {str(part.style) for line in render_trace(Trace(healthy), Pen(120)) for part in line.spans}
    assert not any("red" in style for style in styles)
    styles = {str(part.style) for line in render_trace(Trace(traces.checkout()), Pen(120)) for part in line.spans}
    assert any("red" in style for style in styles)


def test_width_comes_from_columns_then_100_for_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal_width(io.StringIO()) == 100
    for columns, width in (("72", 72), ("20", 60), ("500", 200), ("wide", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        assert terminal_width(io.StringIO()) == width


def test_encodings_without_the_signs_get_ascii() -> None:
    for encoding, expected in (("utf-8", True), ("ascii", False), ("latin-1", False), ("cp437", False)):
        assert shows_unicode(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) is expected


if __name__ == "__main__":
    import os

    os.environ["TZ"] = "UTC"
    time.tzset()
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        for width in WIDTHS:
            for unicode in (True, False):
                golden(case, width, unicode).write_text(picture(case, width, unicode), encoding="utf-8")
    sys.stdout.write(f"golden files written to {GOLDEN}\n")
