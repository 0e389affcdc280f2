"""The viewer and its traces in one file: what the server would say is in it, and nothing of a trace is ever markup."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from gzip import decompress
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import sample_traces as traces
from hypothesis import given, settings
from sample_traces import any_spans, event, span

import fasttrace
from fasttrace._core import decode
from fasttrace._core.types import SpanData
from fasttrace.cli import main
from fasttrace.errors import FasttraceError
from fasttrace.export import SpoolExporter
from fasttrace.local import exchange, plain, trace_data
from fasttrace.local.exchange import html
from fasttrace.local.exchange.bundle import bundle
from fasttrace.local.exchange.encode import encode_request
from fasttrace.local.model import Trace

ATTACK = (
    "</script></style><script>alert(1)</script><img src=x onerror=alert(2)><!-- \u2028 \" onclick='x' \x1b[31m\u202e"
)


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.page = page.decode()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.contents: list[tuple[str, dict[str, str | None], str]] = []
        self._open: dict[str, str | None] | None = None
        self.feed(self.page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag in ("script", "style"):
            self.contents.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.contents and self.get_starttag_text() and self.cdata_elem:
            tag, attributes, before = self.contents[-1]
            self.contents[-1] = tag, attributes, before + data

    def inline(self, tag: str, kind: str | None) -> str:
        (found,) = (content for name, attrs, content in self.contents if (name, attrs.get("type")) == (tag, kind))
        return found

    def answers(self) -> dict[str, Any]:
        """What the page would unpack, by the path it asks for."""
        packed = {str(attrs["data-path"]): content for _, attrs, content in self.contents if "data-path" in attrs}
        return {path: json.loads(decompress(b64decode(content, validate=True))) for path, content in packed.items()}


def seen(*members: list[SpanData]) -> Seen:
    return Seen(b"".join(exchange.write("html", members)))


def as_json(found: Any) -> Any:
    return json.loads(plain.dump(found))


@settings(max_examples=25, deadline=None)
@given(any_spans())
def test_file_answers_what_the_server_would(spans: list[SpanData]) -> None:
    answers = seen(spans).answers()
    path = f"trace/{traces.TRACE_ID}"
    trace = Trace(decode.decode_request(encode_request(spans)))  # the order of spans decides what a duplicate is
    assert [row["trace_id"] for row in answers["traces"]["traces"]] == [traces.TRACE_ID]
    assert answers[path] == as_json(trace_data.columns(trace))
    parts = {f"{path}/{one}" for one in ("diagnosis", "events", "spans/0")}
    assert set(answers) == {"traces", "map", "routes", path, *parts}
    assert answers[f"{path}/events"]["events"] == as_json(trace_data.events(trace))
    assert len(answers[f"{path}/spans/0"]["spans"]) == len(trace.nodes)


def test_contents_of_many_spans_stand_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "SPANS_IN_BLOCK", 10)
    page = seen(traces.checkout())
    answers = page.answers()
    path = f"trace/{traces.TRACE_ID}"
    blocks = [answers[f"{path}/spans/{number}"] for number in range(3)]
    assert [len(block["spans"]) for block in blocks] == [10, 10, 6]
    assert ("data-spans", "10") in page.attributes
    whole = [as_json(trace_data.span(Trace(traces.checkout()), row)) for row in range(26)]
    found = [
        {**one, "resource": block["resources"][str(one["resource"])]} for block in blocks for one in block["spans"]
    ]
    assert [{**meant, **one} for meant, one in zip(whole, found, strict=True)] == whole
    assert answers[f"{path}/diagnosis"]["diagnosis"][0]["rule"] == "pool_wait"
    assert [one["name"] for one in answers[f"{path}/events"]["events"]] == ["card checked", "exception"]
    assert len(answers["map"]["edges"]) == 4
    assert answers["routes"]["routes"]


def test_traces_of_all_batches_are_listed() -> None:
    others = [span(1, 0, 0, 5, "other", trace_id="e" * 32)], [span(1, 0, 9, 10, "third", trace_id="f" * 32)]
    listed = seen(traces.checkout(), *others).answers()["traces"]["traces"]
    assert {row["name"] for row in listed} == {"POST /checkout", "other", "third"}


def hostile() -> list[SpanData]:
    data = span(1, 0, 0, 10, ATTACK, ATTACK, error=ATTACK, events=[event(1, ATTACK, **{ATTACK: ATTACK})])
    data.attributes = {ATTACK: ATTACK, "http.response.status_code": ATTACK, "list": [ATTACK], "bytes": b"<b>"}
    data.resource = {"service.name": ATTACK, ATTACK: ATTACK}
    return [data]


def test_no_text_of_a_trace_stands_in_the_page_as_it_is() -> None:
    attacked, usual = seen(hostile()), seen([span(1, 0, 0, 10)])
    assert attacked.tags == usual.tags
    assert "alert(" not in attacked.page
    assert attacked.answers()[f"trace/{traces.TRACE_ID}/spans/0"]["spans"][0]["attributes"][ATTACK] == ATTACK


def test_only_its_own_script_and_style_are_allowed_and_nothing_is_fetched() -> None:
    page = seen(traces.checkout())
    (policy,) = (value for key, value in page.attributes if key == "content" and "default-src" in (value or ""))
    script, style = (
        f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
        for content in (page.inline("script", "module"), page.inline("style", None))
    )
    assert policy == (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert [
        value for key, value in page.attributes if key in ("src", "href") and not str(value).startswith("data:")
    ] == []
    assert set(page.tags) == {"html", "head", "meta", "title", "link", "style", "body", "div", "noscript", "script"}
    for content in (page.inline("script", "module"), page.inline("style", None)):
        assert not re.search(r"</script|</style|<!--|sourceMappingURL|@import|url\((?!data:)", content)
    licences = page.inline("script", "text/plain")
    for name in ("preact ", "@preact/signals ", "@preact/signals-core ", "htm "):
        assert f"\n{name}" in f"\n{licences}"
    assert "uplot" not in licences.lower(), "it is not in the file"


def test_more_spans_than_a_browser_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MAX_SPANS", 25)
    with pytest.raises(FasttraceError, match="narrow the search"):
        seen(traces.checkout())


def test_export_writes_one_by_its_name_or_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = tmp_path / "spool"
    provider = fasttrace.TracerProvider(service_name="shop", exporter=SpoolExporter(spool))
    provider.get_tracer("t").start_span("GET /").end()
    assert provider.shutdown(timeout=60)
    target = tmp_path / "slow.html"
    assert main(["export", "slow", "-o", str(target), "--spool", str(spool)]) == 0
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["export", "slow", "--html", "--spool", str(spool)]) == 0
    assert capsys.readouterr().out == target.read_text(encoding="utf-8")


MAP = '<script type="importmap">{"imports": {"dep": "./vendor/dep.mjs"}}</script>'


def joined(files: dict[str, str], **instead: str) -> str:
    files = {"index.html": MAP, "vendor/dep.mjs": "var a=1;export{a as one,a as two};\n//# sourceMappingURL=x", **files}
    return bundle(
        "js/main.js", {f"js/{name}.js": f"js/{other}.js" for name, other in instead.items()}, files.__getitem__
    )[0]


def test_modules_become_one_script_in_order_of_need() -> None:
    files = {
        "js/main.js": 'import { a as b } from "./a.js";\nimport d from "./d.js";\nconsole.log(b, d);\n',
        "js/a.js": 'import {\n  one,\n} from "dep";\nexport const a = one;\nexport { two } from "dep";\nexport class C {}\nexport async function f() {}\n',
        "js/d.js": "export default function(s){return s}",
        "js/e.js": "export default function(s){return -s}",
    }
    found = joined(files)
    assert [line[3:] for line in found.splitlines() if line.startswith("// ")] == ["vendor/dep.mjs", "js/a.js", "js/d.js", "js/main.js"]  # fmt: skip
    assert "return {two: $passed0, a: a, C: C, f: f};" in found
    assert "return {one: a, two: a};" in found
    assert "const {default: d} = $module2;" in found
    assert "sourceMappingURL" not in found
    assert "return -s" in joined(files, d="e")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ('import { none } from "dep";', "vendor/dep.mjs exports no none"),
        ('import { a } from "nowhere";', "nothing is known of 'nowhere'"),
        ('import { x } from "./main.js";', "js/main.js → js/a.js → js/main.js"),
        ('import * as all from "dep";', "more than can be put into one script"),
        ('import "dep";', "more than can be put into one script"),
        ("export let a = 1;", "more than can be put into one script"),
        ("export const a = 1;export * from 'dep';", "more than can be put into one script"),
    ],
)
def test_what_the_bundle_can_t_do_it_says(module: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        joined({"js/main.js": 'import { a } from "./a.js";', "js/a.js": module})
    assert said in str(caught.value)


def test_dynamic_import_of_what_only_the_server_has_stays_where_it_is() -> None:
    assert 'import("uplot")' in joined({"js/main.js": 'const later = () => import("uplot");'})
