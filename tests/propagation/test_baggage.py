"""W3C Baggage on the wire, its API, and its copy to attributes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fasttrace
from fasttrace import Context, baggage
from fasttrace.context import use
from fasttrace.export import MemoryExporter
from fasttrace.propagation import get_propagator

PROPAGATOR: Any = get_propagator("baggage")

HEADERS: dict[str, tuple[Any, dict[str, str]]] = {
    "one": ("a=1", {"a": "1"}),
    "blanks": (" a = 1 ,\tb=2 ", {"a": "1", "b": "2"}),
    "several fields": (["a=1", "b=2"], {"a": "1", "b": "2"}),
    "percent": ("a=%C3%BC%20x%2C", {"a": "ü x,"}),
    "lower-case percent": ("a=%c3%bc", {"a": "ü"}),
    "plus is a plus": ("a=1+1", {"a": "1+1"}),
    "not UTF-8": ("a=%ff", {"a": "\ufffd"}),
    "encoded blanks at the edge survive": ("a=%20x%20", {"a": " x "}),
    "equals in a value": ("a=b=c", {"a": "b=c"}),
    "empty value": ("a=", {"a": ""}),
    "keys are not decoded": ("a%20b=1", {"a%20b": "1"}),
    "case counts": ("a=1,A=2", {"a": "1", "A": "2"}),
    "twice": ("a=1,a=2", {"a": "2"}),
    "outside the grammar": ('a=1,b="x",c,=d,e=f\\,g h=1,ü=1,ok=ü,z=1', {"a": "1", "z": "1"}),
    "properties": ("a=1;ttl=60;private , b=2", {"a": "1", "b": "2"}),
}


@pytest.mark.parametrize("case", HEADERS)
def test_baggage_is_read(case: str) -> None:
    value, expected = HEADERS[case]
    found = PROPAGATOR.extract({"baggage": value})
    assert (found.baggage if found else {}) == expected


def test_properties_are_kept_as_they_came() -> None:
    written: dict[str, str] = {}
    PROPAGATOR.inject(written, PROPAGATOR.extract({"baggage": 'a=1 ; ttl = 60;private, b=%20;x=%20;br"oken'}))
    assert written == {"baggage": "a=1;ttl=60;private,b=%20;x=%20"}


def test_64_members_and_8192_bytes_are_carried_and_what_is_beyond_left_out_whole() -> None:
    fits = ",".join(f"k{n:02d}=" + "x" * 123 for n in range(64))
    assert len(fits) == 64 * 127 + 63
    assert len(PROPAGATOR.extract({"baggage": fits}).baggage) == 64
    assert len(PROPAGATOR.extract({"baggage": fits + ",more=1"}).baggage) == 64
    exactly = "a=" + "x" * 8190
    assert PROPAGATOR.extract({"baggage": exactly}).baggage == {"a": "x" * 8190}
    assert PROPAGATOR.extract({"baggage": exactly + "y"}) is None
    written: dict[str, str] = {}
    PROPAGATOR.inject(written, Context(None, {f"k{n}": "ü" * 40 for n in range(100)}))
    assert len(written["baggage"]) <= 8192
    assert PROPAGATOR.extract(written).baggage == {f"k{n}": "ü" * 40 for n in range(len(written["baggage"].split(",")))}


@given(members=st.dictionaries(st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,9}", fullmatch=True), st.text(st.characters(codec="utf-8"), max_size=20), max_size=5))  # fmt: skip
def test_what_is_written_is_read_back(members: dict[str, str]) -> None:
    written: dict[str, str] = {}
    PROPAGATOR.inject(written, Context(None, members))
    found = PROPAGATOR.extract(written)
    assert (found.baggage if found else {}) == members


@given(text=st.text(max_size=300))
def test_arbitrary_text_never_raises(text: str) -> None:
    PROPAGATOR.extract({"baggage": text})
    PROPAGATOR.inject({}, Context(None, {text: text}))


def test_the_api_gets_sets_and_removes() -> None:
    assert baggage.get("tenant") is None
    context = baggage.set("tenant", "blue", properties="ttl=60")
    with use(context):
        assert baggage.get("tenant") == "blue"
        assert baggage.get_all() == {"tenant": "blue"}
        assert fasttrace.inject({}) == {"baggage": "tenant=blue;ttl=60"}
        with use(baggage.set("tenant", "red")):
            assert fasttrace.inject({}) == {"baggage": "tenant=red"}
        with use(baggage.remove("tenant")):
            assert baggage.get_all() == {}
        with use(baggage.clear()):
            assert fasttrace.inject({}) == {}
    assert baggage.get_all() == {}


def test_baggage_goes_with_the_trace_through_spans_and_services() -> None:
    exporter = MemoryExporter()
    provider = fasttrace.TracerProvider(exporter=exporter, baggage_attributes=["tenant", "absent"])
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("outer"):
        with use(baggage.set("tenant", "blue")):
            with tracer.start_as_current_span("inner"):
                headers: dict[str, str] = fasttrace.inject({})
    context = fasttrace.extract(headers)
    with tracer.start_as_current_span("next service", context) as span:
        assert span.attributes == {"tenant": "blue"}
        assert fasttrace.inject({})["baggage"] == "tenant=blue"
    assert provider.flush()
    attributes = {span.name: span.attributes for span in exporter.spans}
    assert attributes == {"outer": {}, "inner": {"tenant": "blue"}, "next service": {"tenant": "blue"}}
    provider.shutdown()


def test_a_baggage_header_alone_keeps_the_current_span() -> None:
    provider = fasttrace.TracerProvider(exporter="none")
    with provider.get_tracer("test").start_as_current_span("outer") as outer:
        context = fasttrace.extract({"baggage": "a=1"})
        assert context.span is outer
        assert context.baggage == {"a": "1"}
    provider.shutdown()
