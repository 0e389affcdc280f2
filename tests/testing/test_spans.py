"""What tests ask of their spans, and what they are told when it is not so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from unittest.mock import ANY

import pytest

import fasttrace
from fasttrace import SpanKind
from fasttrace.testing import Spans, capture_spans

tracer = fasttrace.get_tracer("tests.testing")


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Ours, made by hand."""
    with capture_spans() as captured:
        yield captured


def order(items: int = 2) -> None:
    """A request that asks the database once for each item."""
    with tracer.start_as_current_span(
        "GET /orders/{id}", kind=SpanKind.SERVER, attributes={"http.response.status_code": 200}
    ):
        query("SELECT orders", "SELECT * FROM orders WHERE id = ?")
        for _ in range(items):
            query("SELECT item", "SELECT * FROM item WHERE id = ?")


def query(name: str, text: str) -> None:
    attributes = {"db.system.name": "sqlite", "db.query.text": text}
    with tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=attributes):
        pass


def failing() -> None:
    with pytest.raises(ValueError, match="no"), tracer.start_as_current_span("charge"):
        raise ValueError("no")


def told(question: object) -> str:
    with pytest.raises(AssertionError) as caught:
        question()  # type: ignore[operator]
    return str(caught.value)


def test_spans_can_be_counted_gone_through_and_chosen(spans: Spans) -> None:
    assert len(spans) == 0
    assert not spans
    assert list(spans) == spans.all() == []
    order()
    failing()
    assert len(spans) == 5
    assert [span.name for span in spans] == [
        "GET /orders/{id}",
        "SELECT orders",
        "SELECT item",
        "SELECT item",
        "charge",
    ]
    assert len(spans.all("SELECT item")) == 2
    assert len(spans.all("SELECT*")) == len(spans.all(kind=SpanKind.CLIENT)) == 3
    assert len(spans.all(attributes={"db.system.name": "sqlite"})) == 3
    assert [span.name for span in spans.all(error=True)] == ["charge"]
    assert len(spans.all(error=False)) == 4
    assert spans.all("SELECT*", {"db.system.name": "mysql"}) == []


def test_one_gives_the_only_span_there_is(spans: Spans) -> None:
    with tracer.start_as_current_span("charge", attributes={"amount": 5, "items": ("a", "b")}):
        pass
    span = spans.one()
    assert span is spans.one("charge") is spans.one("char*") is spans.one(name="charge", amount=5)
    assert (
        span is spans.one(attributes={"items": ("a", "b")}) is spans.one("charge", {"items": ["a", "b"], "amount": ANY})
    )
    assert span is spans.one(kind=SpanKind.INTERNAL, error=False)


def test_a_name_with_stars_and_brackets_is_a_name_too(spans: Spans) -> None:
    for name in ("GET /static/*path", "GET /[a-z]", "a\nb"):
        with tracer.start_as_current_span(name):
            pass
        assert spans.one(name).name == name
    assert spans.one("a*b").name == "a\nb"
    assert len(spans.all("GET *")) == 2


def test_one_says_what_there_was_and_what_was_perhaps_meant(spans: Spans) -> None:
    assert told(lambda: spans.one("charge")) == "no span named 'charge'\nno spans were captured"
    order()
    assert told(lambda: spans.one("GET /order/{id}")) == (
        "no span named 'GET /order/{id}'; did you mean 'GET /orders/{id}'?\n"
        "4 spans were captured:\n"
        "  GET /orders/{id}\n"
        "  ├─ SELECT orders\n"
        "  ├─ SELECT item\n"
        "  └─ SELECT item"
    )
    text = told(lambda: spans.one("GET /orders/{id}", {"http.status_code": 200, "http.response.status_code": 500}))
    assert text.splitlines()[:2] == [
        "no span named 'GET /orders/{id}' with http.status_code=200 with http.response.status_code=500",
        "  GET /orders/{id} has no http.status_code (but http.response.status_code=200), http.response.status_code=200",
    ]
    assert told(lambda: spans.one("SELECT item")).startswith("2 spans named 'SELECT item': one was expected\n4 spans")
    text = told(lambda: spans.one("SELECT orders", kind=SpanKind.SERVER))
    assert "no span named 'SELECT orders' of kind SERVER\n  SELECT orders has kind CLIENT\n" in text
    text = told(lambda: spans.one("SELECT orders", error=True))
    assert "no span named 'SELECT orders' that failed\n  SELECT orders has status UNSET\n" in text


def test_a_long_list_is_cut(spans: Spans) -> None:
    order(items=100)
    text = told(lambda: spans.one("charge"))
    assert len(text.splitlines()) < 50
    assert text.endswith("and 62 more")


def test_max_finds_a_query_for_each_row(spans: Spans) -> None:
    order(items=11)
    spans.max("SELECT*", count=12)
    spans.max(name="SELECT orders", count=1)
    spans.max("nothing", count=0)
    assert told(lambda: spans.max(name="SELECT*", count=3)) == (
        "12 spans named 'SELECT*': at most 3 were expected\n"
        "  below 'GET /orders/{id}':\n"
        "    11 x SELECT * FROM item WHERE id = ?\n"
        "     1 x SELECT * FROM orders WHERE id = ?"
    )
    query("SELECT item", "SELECT * FROM item WHERE id = ?")
    text = told(lambda: spans.max(attributes={"db.system.name": "sqlite"}, count=12))
    assert text.startswith("13 spans with db.system.name='sqlite': at most 12 were expected")
    assert text.endswith("  below no captured span:\n    1 x SELECT * FROM item WHERE id = ?")


def test_the_tree_has_no_times_and_no_ids(spans: Spans) -> None:
    with tracer.start_as_current_span("test"):
        order()
        failing()
        with tracer.start_as_current_span("a\nb\x1b[31m"):
            assert spans.tree() == (
                "test [running]\n"
                "├─ GET /orders/{id}\n"
                "│  ├─ SELECT orders\n"
                "│  ├─ SELECT item\n"
                "│  └─ SELECT item\n"
                "├─ charge [error]\n"
                "└─ a\\nb\\x1b[31m [running]"
            )
    spans.clear()
    assert spans.tree() == ""
    order(0)
    assert spans.tree("http.response.status_code", "missing", "db.query.text") == (
        "GET /orders/{id} http.response.status_code=200\n"
        "└─ SELECT orders db.query.text=SELECT * FROM orders WHERE id = ?"
    )


def test_the_tree_of_threads_can_be_sorted_by_its_text(spans: Spans) -> None:
    def work(parent: fasttrace.Span, name: str) -> None:
        with tracer.start_as_current_span(name, parent), tracer.start_as_current_span(f"below {name}"):
            pass

    for names in (["b", "a", "c"], ["c", "b", "a"]):
        with tracer.start_as_current_span("root") as root:
            for name in names:
                thread = threading.Thread(target=work, args=(root, name))
                thread.start()
                thread.join()
        assert spans.tree(ordered=False) == ("root\n├─ a\n│  └─ below a\n├─ b\n│  └─ below b\n└─ c\n   └─ below c")
        spans.clear()


def test_a_tree_may_be_thousands_deep(spans: Spans) -> None:
    running = [tracer.start_span("0")]
    for number in range(1, 3000):
        running.append(tracer.start_span(str(number), running[-1]))
    for span in reversed(running):
        span.end()
    lines = spans.tree().splitlines()
    assert len(lines) == 3000
    assert lines[-1].endswith("└─ 2999")


def test_clear_forgets_what_has_begun(spans: Spans) -> None:
    before = tracer.start_span("before")
    order()
    spans.clear()
    before.end()
    assert len(spans) == 0
    order(0)
    assert len(spans) == 2
