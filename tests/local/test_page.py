"""The page in one file: whole, and inert whatever a trace holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import sample_traces as traces
from hypothesis import given, settings
from sample_traces import any_spans, event, span

import fasttrace
from fasttrace._core.types import SpanData, SpanLink
from fasttrace.cli import main
from fasttrace.export import SpoolExporter
from fasttrace.local import exchange
from fasttrace.local.exchange import page
from fasttrace.local.model import Trace

ATTACK = "</td></style><script>alert(1)</script><img src=x onerror=alert(2)>\" onclick='x' \x1b[31m\u202e"
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "article", "h1", "p", "ul", "li", "a", "b", "i", "u", "code",
    "div", "span", "details", "summary", "table", "caption", "tr", "th", "td",
}  # fmt: skip


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            assert name in ("class", "style", "id", "href", "title", "lang", "charset", "http-equiv", "content", "name")
            self.ids += [value or ""] if name == "id" else []
            self.links += [value or ""] if name == "href" else []
            if name == "style":
                assert re.fullmatch(r"(--depth:\d+|(left:-?[\d.]+%;)?width:[\d.]+%)", value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)


def seen(*members: list[SpanData]) -> Seen:
    return Seen(b"".join(exchange.write("html", members)).decode())


def hostile() -> list[SpanData]:
    data = span(1, ATTACK, 0, 10, ATTACK, ATTACK, error=ATTACK, events=[event(1, ATTACK, **{ATTACK: ATTACK})])
    data.attributes = {ATTACK: ATTACK, "http.response.status_code": ATTACK, "list": [ATTACK], "bytes": b"<b>"}
    data.resource = {"service.name": ATTACK, ATTACK: ATTACK}
    data.links = [SpanLink(ATTACK, ATTACK, {})]
    return [data]


@given(any_spans())
@settings(max_examples=40, deadline=None)
def test_every_span_has_its_place_and_every_reference_leads_to_one(spans: list[SpanData]) -> None:
    found = seen(spans)
    assert found.open == []
    assert set(found.tags) <= TAGS
    assert sorted(found.ids) == sorted(f"{traces.TRACE_ID}-{node.index}" for node in Trace(spans).nodes)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)


def test_text_of_a_trace_is_text_whatever_it_is() -> None:
    found = seen(hostile())
    assert set(found.tags) <= TAGS
    assert found.tags.count("style") == 1
    text = "".join(found.texts)
    assert "<script>alert(1)</script>" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_page_runs_nothing_and_fetches_nothing() -> None:
    text = b"".join(exchange.write("html", [traces.checkout()])).decode()
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert "<script" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_what_was_found_and_the_details_are_there() -> None:
    text = " ".join("".join(seen(traces.checkout()).texts).split())
    assert "inventory is the bottleneck: 74 % of this trace" in text
    assert "drones do not fly to 9021" in text
    assert "SELECT quantity FROM stock WHERE item = ?" in text
    assert "×12" in text


def test_traces_stand_one_behind_the_other() -> None:
    other = [span(1, 0, 0, 5, "other", trace_id="e" * 32)]
    assert seen(traces.checkout() + other, [span(1, 0, 0, 5, "third", trace_id="f" * 32)]).tags.count("h1") == 3


def test_large_traces_say_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MAX_ROWS", 10)
    spans = [span(n, 1 if n > 1 else 0, n, n + 1, f"call {chr(96 + n)}") for n in range(1, 26)]
    spans += [span(100 + n, 1, 30 + n, 31 + n, "like") for n in range(30)]
    assert "16 more rows not shown." in "".join(seen(spans).texts)
    folded = [span(1, 0, 0, 100), *[span(100 + n, 1, 30 + n, 31 + n, "like") for n in range(30)]]
    assert "10 more like spans not written out." in "".join(seen(folded).texts)


def test_export_writes_one_by_its_name_or_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provider = fasttrace.TracerProvider(service_name="shop", exporter=SpoolExporter(tmp_path))
    provider.get_tracer("t").start_span("GET /").end()
    assert provider.shutdown(timeout=10)
    target = tmp_path / "slow.html"
    assert main(["export", "slow", "-o", str(target), "--spool", str(tmp_path)]) == 0
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["export", "slow", "--html", "--spool", str(tmp_path)]) == 0
    assert capsys.readouterr().out == target.read_text(encoding="utf-8")
