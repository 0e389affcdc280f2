"""What ``top``, ``map``, ``diff`` and ``tail`` draw, against golden files. ``python tests/local/test_pictures.py`` writes them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sample_answers as answers
import sample_traces as traces
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from sample_traces import any_spans

from fasttrace._core.types import SpanData
from fasttrace.local.compare import compare, compare_groups
from fasttrace.local.difference import render_difference, sentence
from fasttrace.local.listing import render_list
from fasttrace.local.model import Trace
from fasttrace.local.routes import format_rate, in_order, render_routes, routes_title
from fasttrace.local.service_map import render_map
from fasttrace.local.store import Summary
from fasttrace.local.terminal import Pen, Text

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (60, 80, 120, 200)


def top(pen: Pen) -> list[Text]:
    rows = in_order(answers.routes(), "self")
    title = pen.fit(routes_title(rows, "self", ".fasttrace/spool"), pen.width)
    return [pen.line((title, "")), *render_routes(rows, pen, "self", chosen=1)]


def listing(pen: Pen) -> list[Text]:
    found = []
    for spans in (traces.checkout(), traces.damaged(), answers.fast_checkout()):
        summary = Summary(spans[0].trace_id)
        for data in spans:
            summary.add(data)
        found.append(summary)
    return render_list(found, pen)


PICTURES: dict[str, Callable[[Pen], list[Text]]] = {
    "top": top,
    "map": lambda pen: render_map(answers.service_map(), pen),
    "diff": lambda pen: render_difference(answers.two_traces(), pen),
    "diff-groups": lambda pen: render_difference(answers.two_groups(), pen),
    "listing": listing,
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def picture(name: str, width: int, unicode: bool = True) -> str:
    return "".join(f"{line.plain}\n" for line in PICTURES[name](Pen(width, unicode)))


def golden(name: str, width: int, unicode: bool) -> Path:
    return GOLDEN / f"{name}-{width}{'' if unicode else '-ascii'}.txt"


@pytest.mark.parametrize("unicode", [True, False], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PICTURES)
def test_picture_looks_as_agreed(name: str, width: int, unicode: bool) -> None:
    drawn = picture(name, width, unicode)
    assert drawn == golden(name, width, unicode).read_text(encoding="utf-8")
    assert all(cell_len(line) <= width for line in drawn.splitlines())
    assert "\x1b" not in drawn
    assert unicode or drawn.isascii()


def test_what_does_not_fit_goes_and_what_matters_stays() -> None:
    for width in (60, 80, 120):
        heading = picture("top", width).splitlines()[1].split()
        assert {"service", "route", "calls", "errors", "p95"} <= set(heading)


@pytest.mark.parametrize("name", PICTURES)
def test_red_is_for_failures_only(name: str) -> None:
    for line in PICTURES[name](Pen(120)):
        for part in line.spans:
            text = line.plain[part.start : part.end]
            if "red" in str(part.style):
                assert (
                    "%" in text
                    or "✖" in text
                    or "error" in text
                    or "/shipments" in text
                    or text.strip() in ("500", "503")
                )


def test_service_has_the_same_colour_whatever_comes_first() -> None:
    first, second = Pen(), Pen()
    first.learn(["web", "shop", "db"])
    second.learn(["db", "web", "shop", "web"])
    assert all(first.hue(name) == second.hue(name) for name in ("web", "shop", "db"))


def test_routes_keep_their_order_by_what_was_chosen() -> None:
    by_errors = [row["service"] for row in in_order(answers.routes(), "errors")]
    assert by_errors[:2] == ["gateway", "checkout"]
    assert next(row["route"] for row in in_order(answers.routes(), "calls")) == "GET /"


@pytest.mark.parametrize(
    ("per_second", "shown"),
    [(None, "-"), (0, "-"), (0.001, "<1/min"), (0.05, "3/min"), (1.25, "1.2/s"), (12, "12/s"), (12_345, "12,345/s")],
)
def test_rates_are_short(per_second: float | None, shown: str) -> None:
    assert format_rate(per_second) == shown


def test_service_that_two_others_call_is_opened_once_and_a_circle_ends() -> None:
    lines = [line.plain.split()[:3] for line in render_map(answers.service_map(), Pen(120))]
    assert sum("inventory" in line for line in lines) == 2
    assert any("(again)" in line for line in lines)
    assert sum("egg" in line for line in lines) + sum("chicken" in line for line in lines) == 3


def test_map_of_nothing_is_nothing() -> None:
    assert render_map({"nodes": [], "edges": []}, Pen(80)) == []


@st.composite
def any_map(draw: st.DrawFn) -> dict[str, Any]:
    names = [f"s{n}" for n in range(draw(st.integers(1, 8)))]
    figures = {"errors": 0, "p50": 1, "p95": draw(st.sampled_from([None, 0, 10**9]))}
    edges = draw(st.sets(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=20))
    return {
        "nodes": [{"service": name, "spans": 1, "requests": 1, **figures} for name in names],
        "edges": [{"from": caller, "to": callee, "calls": 1, **figures} for caller, callee in sorted(edges)],
    }


@given(any_map(), st.integers(60, 200))
@settings(deadline=None, max_examples=60)
def test_map_shows_every_service_and_every_call(found: dict[str, Any], width: int) -> None:
    lines = [line.plain for line in render_map(found, Pen(width))][1:]
    for node in found["nodes"]:
        assert any(node["service"] in line.split()[:9] for line in lines)
    calls = sum(edge["from"] != edge["to"] for edge in found["edges"])
    assert sum("→" in line for line in lines) == calls


@given(any_spans(), any_spans(), st.integers(60, 200), st.booleans())
@settings(deadline=None, max_examples=60)
def test_changes_of_all_rows_add_up(a: list[SpanData], b: list[SpanData], width: int, unicode: bool) -> None:
    first, second = Trace(a), Trace(b)
    found = compare(first, second)
    own = [sum(node.self_time_ns for node in trace.nodes) for trace in (first, second)]
    assert sum(row["change"] for row in found["rows"]) == own[1] - own[0]
    assert all(cell_len(line.plain) <= width for line in render_difference(found, Pen(width, unicode)))


def test_trace_differs_from_itself_in_nothing() -> None:
    trace = Trace(traces.checkout())
    assert sentence(compare(trace, trace)) == "b takes as long as a."
    assert not compare(trace, trace)["largest"]


def test_groups_are_compared_by_their_means() -> None:
    found = compare_groups([Trace(answers.fast_checkout())], [Trace(answers.fast_checkout(f)) for f in (1.0, 3.0)])
    assert found["change"] == found["a"]["duration_ns"]
    assert (found["b"]["traces"], found["b"]["p50"]) == (2, found["a"]["p50"])
    assert sentence(found).startswith("b is 310 ms slower (+100 %): the largest part is checkout `POST /orders`")


def test_ids_in_names_do_not_part_what_is_alike() -> None:
    def order(number: int) -> Trace:
        return Trace([traces.span(1, 0, 0, 10, f"GET /orders/{number}", "shop")])

    assert len(compare(order(7), order(12345))["rows"]) == 1


if __name__ == "__main__":
    import os

    os.environ["TZ"] = "UTC"
    time.tzset()
    for name in PICTURES:
        for width in WIDTHS:
            for unicode in (True, False):
                golden(name, width, unicode).write_text(picture(name, width, unicode), encoding="utf-8")
    sys.stdout.write(f"golden files written to {GOLDEN}\n")
