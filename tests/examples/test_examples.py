"""Each example for real, as its README has it: what is recorded, in which trace, and that the README shows it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from example import EXAMPLES, Example, rows, tree

from fasttrace._core.types import SpanData, SpanKind

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def once(request: pytest.FixtureRequest) -> None:
    """What the examples stand on is tested on both implementations."""
    if request.config.getoption("--impl") == "python":
        pytest.skip("once is enough: on the compiled core")


def needs(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module)


class Terminal:
    """The second terminal: runs a README's lines, and looks at the waterfalls that it promises."""

    def __init__(self, example: Example, capsys: Any, monkeypatch: Any) -> None:
        self.example = example
        self.printed: list[str] = []
        self._fixtures = capsys, monkeypatch

    def run(self, lines: list[str], *counts: int, kind: SpanKind | None = None) -> None:
        """Run commands in order. Before each of our own, but for the like that follow, there are so many spans."""
        expected, promised = iter(counts), self.example.waterfalls()
        waited = False
        for line in lines:
            ours = line.startswith("fasttrace ")
            if ours and not waited:
                self.example.spans(next(expected), kind)
            waited = ours
            text = self.example.fasttrace(line, *self._fixtures) if ours else self.example.run(line)
            self.printed.append(text)
            if line.startswith("fasttrace show "):
                assert rows(text) == rows(promised.pop(0)), text
        assert not promised


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda example: Terminal(example, capsys, monkeypatch)


def logged(log: str, text: str) -> str:
    """The trace id on the line of a log that has this text."""
    (found,) = re.findall(rf"{re.escape(text)}.* trace_id=(\w*)", log)
    return str(found)


def nothing_failed(example: Example) -> None:
    """No server has logged an exception, or a word of ours that is not about where spans go."""
    log = example.log()
    assert "Traceback" not in log, log
    assert [line for line in log.splitlines() if line.startswith("fasttrace") and "spans go to" not in line] == []


def test_every_example_is_in_the_list_and_every_link_leads_somewhere() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("*/README.md")}
    listed = re.findall(r"^\| \[([\w-]+)\]\(\1\) \|", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(folders)
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] not in "._"} == folders
    for page in (EXAMPLES / "README.md", *EXAMPLES.glob("*/README.md")):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page, target)


def test_fastapi_with_sqlalchemy(tmp_path: Path, terminal: Any) -> None:
    needs("fastapi", "sqlalchemy", "uvicorn", "rich")
    example = Example("fastapi-sqlalchemy", tmp_path, 8000)
    fill, serve = example.blocks[0]
    example.run(fill)
    with example.serving(serve):
        terminal(example).run([*example.blocks[1], *example.blocks[2]], 10, 17)
    spans = example.spans(17)
    assert tree(spans, "http.response.status_code") == [
        "bookshop GET /authors 200",
        "  bookshop SELECT authors",
        *["  bookshop SELECT books"] * 8,
        "bookshop POST /orders 201",
        "  bookshop SELECT books",
        "  bookshop charge",
        "  bookshop UPDATE books",
        "bookshop POST /orders 502 error",
        "  bookshop SELECT books",
        "  bookshop charge error",
    ]
    fine, failed = (span for span in spans if span.name == "POST /orders")
    assert (fine.attributes["order.copies"], failed.attributes["order.copies"]) == (1, 3)
    assert [event.name for event in failed.events] == ["last copy sold"]
    assert spans[-1].status.description == "BankError: connection refused"
    assert logged(example.log(), "ERROR not charged: connection refused") == failed.trace_id
    nothing_failed(example)


def test_flask_with_requests(tmp_path: Path, terminal: Any) -> None:
    needs("flask", "gunicorn", "requests", "rich")
    example = Example("flask-requests", tmp_path, 8000, 8001)
    example.environment["PRICES_URL"] = f"http://127.0.0.1:{example.ports[8001]}"
    at = terminal(example)
    with example.serving(*example.blocks[0]):
        at.run([*example.blocks[1], *example.blocks[2]], 16, 24)
    spans = example.spans(24)

    def asked(item: str, status: int, shop: str = "", prices: str = "") -> list[str]:
        return [f"    shop GET {status}{shop}", f"      prices GET /prices/<item> {item} {status}{prices}"]

    assert tree(spans, "item", "http.response.status_code") == [
        *["shop GET /basket 200", "  shop add up", *asked("apple", 200)],
        *["shop GET /basket 200", "  shop add up", *asked("apple", 200), *asked("plum", 404, " error")],
        *["shop GET /basket 502 error", "  shop add up error", *asked("apple", 200)],
        *asked("durian", 503, " error", " error"),
        *["shop GET /basket 200", "  shop add up"],
        *[line for item in ("apple", "pear", "melon") for line in asked(item, 200)],
    ]
    _, without, failed, slow = (span for span in spans if span.name == "GET /basket")
    assert len({span.trace_id for span in spans}) == 4
    (event,) = next(span for span in spans if span.parent_span_id == without.span_id).events
    assert (event.name, event.attributes) == ("item left out", {"item": "plum"})
    assert logged(example.log(), "ERROR no prices") == failed.trace_id
    assert "prices is the slow dependency" in at.printed[-1] and slow.trace_id in at.printed[-1]
    nothing_failed(example)


def test_django(tmp_path: Path, terminal: Any) -> None:
    needs("django", "rich")
    example = Example("django", tmp_path, 8000)
    migrate, serve = example.blocks[0]
    example.run(migrate)
    with example.serving(serve):
        terminal(example).run(example.blocks[1], 3, kind=SpanKind.SERVER)
    spans = example.spans(3, SpanKind.SERVER)
    books, lent, refused = (span for span in spans if span.kind is SpanKind.SERVER)
    assert books.name == "GET /books/"
    for request, status in ((lent, 200), (refused, 409)):
        assert (request.name, request.attributes["http.response.status_code"]) == (
            "POST /books/<int:book_id>/lend",
            status,
        )
        inside = [span for span in spans if span.parent_span_id == request.span_id]
        assert {span.trace_id for span in inside} == {request.trace_id}
        (rules,) = (span for span in inside if span.name == "check rules")
        assert rules.attributes["book.id"] == 2
        assert [event.name for event in rules.events] == (["already lent"] if request is refused else [])
        assert [span.name for span in inside if "UPDATE" in span.name] == (
            ["UPDATE books_book"] if request is lent else []
        )
    assert {span.resource["service.name"] for span in spans} == {"shelf"}
    assert not [span for span in spans if span.status.status_code.name == "ERROR"]
    assert logged(example.log(), "INFO lent Volume 2") == lent.trace_id
    assert logged(example.log(), "WARNING Volume 2 is lent already") == refused.trace_id
    nothing_failed(example)


def test_worker_on_asyncio(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    needs("rich")
    example = Example("asyncio-worker", tmp_path)
    run, errors, last = example.blocks[0]
    printed = example.run(run)
    match = re.search(r"^(\d+) spans, of which (\d+) are kept: (.+)$", printed, re.MULTILINE)
    assert match is not None and match[1] == "1198"
    spans = example.spans(int(match[2]))
    (begun,) = (span for span in spans if span.name == "import pictures")
    roots = {span.attributes["picture"]: span for span in spans if span.name == "thumbnail"}
    # All of the slow and the failed are there, whole, and few of the rest.
    assert {100, 200, 300} | {13, 113, 213} <= set(roots)
    assert len(roots) < 30
    for picture, root in roots.items():
        assert root.parent_span_id == "" and root.kind is SpanKind.CONSUMER
        assert [link.span_id for link in root.links] == [begun.span_id]
        inside = [span.name for span in spans if span.trace_id == root.trace_id and span is not root]
        assert inside == (["fetch", "resize"] if picture % 100 == 13 else ["fetch", "resize", "store"])
        if picture % 100 == 13:
            assert root.attributes["fasttrace.keep_reason"] == "error"
            assert logged(printed, f"WARNING picture {picture}: not a picture") == root.trace_id
    assert len(example.fasttrace(errors, capsys, monkeypatch).splitlines()) == 3
    (promised,) = example.waterfalls()
    assert rows(example.fasttrace(last, capsys, monkeypatch)) == rows(promised)


def test_celery(tmp_path: Path, redis_port: int, terminal: Any) -> None:
    needs("celery", "redis", "rich")
    example = Example("celery", tmp_path)
    example.environment["BROKER_URL"] = f"redis://127.0.0.1:{redis_port}/7"
    at = terminal(example)
    with example.serving(example.blocks[0][1]):
        at.run(example.blocks[1], 19)
    spans = example.spans(19)
    assert at.printed[0] == "order 1: charged 20\norder 2: more than the card allows\norder 3: charged 30\n"
    receipt = ["send tasks.send_receipt", "process tasks.send_receipt"]
    assert paths(spans) == {
        1: [["checkout", "send tasks.charge", "process tasks.charge", *receipt]],
        2: [["checkout", "send tasks.charge", "process tasks.charge", "ask the bank"]],
        3: [["checkout", *["send tasks.charge", "process tasks.charge"] * 2, *receipt]],
    }
    failed = [(span.name, span.resource["service.name"]) for span in spans if span.status.status_code.name == "ERROR"]
    assert sorted(failed) == [*[("ask the bank", "billing")] * 2, ("process tasks.charge", "billing")]
    retries = [event.attributes for span in spans for event in span.events if event.name == "retry"]
    assert retries == [{"error.type": "ConnectionError"}]
    first = next(span for span in spans if span.attributes.get("order") == 1)
    assert logged(example.log(), "INFO charged 20 for order 1") == first.trace_id
    nothing_failed(example)


def paths(spans: list[SpanData]) -> dict[Any, list[list[str]]]:
    """For each order the longest ways down its trace, as names."""
    found = {}
    for root in (span for span in spans if not span.parent_span_id):
        ways = [[root]]
        while longer := [[*way, span] for way in ways for span in spans if span.parent_span_id == way[-1].span_id]:
            ways = longer
        found[root.attributes["order"]] = [[span.name for span in way] for way in ways]
    return found


def test_grpc(tmp_path: Path, terminal: Any) -> None:
    needs("grpc", "rich")
    example = Example("grpc", tmp_path, 50051)
    example.environment["PORT"] = str(example.ports[50051])
    at = terminal(example)
    with example.serving(*example.blocks[0]):
        at.run(example.blocks[1], 14)
    assert f"```text\n{at.printed[0]}```" in example.readme
    spans = example.spans(14)
    assert tree(spans, "rpc.response.status_code") == [
        "shop checkout",
        *[
            "  shop shop.Stock/Reserve OK",
            "    stock shop.Stock/Reserve OK",
            "      stock take from the shelf",
        ]
        * 2,
        "  shop shop.Stock/Reserve NOT_FOUND error",
        "    stock shop.Stock/Reserve NOT_FOUND",
        "  shop shop.Stock/Watch OK",
        "    stock shop.Stock/Watch OK",
        *["      stock count"] * 3,
    ]
    assert len({span.trace_id for span in spans}) == 1
    answered = [span for span in spans if span.kind is SpanKind.SERVER]
    assert [span.attributes.get("rpc.request.metadata.x-customer") for span in answered] == [*[["ada"]] * 3, None]
    assert [event.name for span in spans for event in span.events] == ["not reserved", "last one taken"]
    nothing_failed(example)


def test_a_library_and_its_application(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("rich")
    # The fixture's plugin without the others that are installed here, which would take longer than all the rest.
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "fasttrace.testing.plugin"}
    example = Example("library", tmp_path, **environment)
    # As in the repository: pytest looks above for what is not here.
    shutil.copy(EXAMPLES.parent / "pyproject.toml", tmp_path)
    quiet, traced, show, tests = example.blocks[0]
    printed = example.run(quiet)
    assert "40.0 kg: 40.0 kg are too heavy for everybody" in printed
    assert not (example.folder / ".fasttrace").exists()
    assert example.run(traced) == printed
    spans = example.spans(15)
    quotes = [span for span in spans if span.name == "parcel.quote"]
    assert [span.attributes.get("parcel.carrier") for span in quotes] == ["snail", "pigeon", None]
    assert {span.scope.name for span in spans} == {"post_office", "parcel.quotes"}
    (promised,) = example.waterfalls()
    assert rows(example.fasttrace(show, capsys, monkeypatch)) == rows(promised)
    assert "3 passed" in example.run(tests)
    # And they can fail: a library that asks a carrier twice.
    asked = example.folder / "parcel" / "quotes.py"
    asked.write_text(asked.read_text().replace("for carrier in CARRIERS)", 'for carrier in (*CARRIERS, "hare"))'))
    with pytest.raises(AssertionError, match=r"\d failed, \d passed"):
        example.run(tests)
