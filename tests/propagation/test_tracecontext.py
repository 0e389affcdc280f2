"""extract and inject: carriers of every shape, and headers that are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fasttrace
from fasttrace.propagation import get_propagator

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class MultiDict:
    """The interface of several frameworks' header objects."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def getlist(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key.lower() == name]


@pytest.mark.parametrize(
    "carrier",
    [
        {"traceparent": HEADER},
        {"Traceparent": HEADER},
        {b"TRACEPARENT": HEADER.encode()},
        {"traceparent": [HEADER]},
        [("host", "a"), ("traceparent", HEADER)],
        [(b"host", b"a"), (b"traceparent", HEADER.encode())],
        MultiDict([("Traceparent", HEADER)]),
    ],
)
def test_extract_reads_every_kind_of_carrier(carrier: Any) -> None:
    context = fasttrace.extract(carrier)
    assert context.span_context is not None
    assert context.span_context.trace_id_hex == TRACE_ID
    assert context.span_context.is_remote


@pytest.mark.parametrize(
    "carrier",
    [
        {},
        [],
        None,
        17,
        {"traceparent": "garbage"},
        {"traceparent": None},
        {"traceparent": HEADER.upper()},
        {"traceparent": [HEADER, HEADER]},
        [("traceparent", HEADER), ("traceparent", HEADER)],
        {"tracestate": "a=b"},
        [(None, None)],
        [1, 2, 3],
    ],
)
def test_a_missing_or_malformed_header_starts_a_new_trace_and_never_raises(carrier: Any) -> None:
    context = fasttrace.extract(carrier)
    assert context.span_context is None
    provider = fasttrace.TracerProvider(exporter="none")
    span = provider.get_tracer("test").start_span("root", context=context)
    assert span.parent_span_id == 0
    span.end()
    provider.shutdown(1)


def test_extraction_never_overwrites_a_context_that_is_there() -> None:
    context = fasttrace.extract({"traceparent": HEADER})
    again = fasttrace.extract({"traceparent": "garbage"}, context)
    assert again.span_context == context.span_context


def test_what_goes_in_comes_out_with_tracestate() -> None:
    state = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
    context = fasttrace.extract(
        [("traceparent", HEADER), ("tracestate", "congo=t61rcWkgMzE"), ("tracestate", "rojo=00f067aa0ba902b7")]
    )
    carrier: dict[str, str] = fasttrace.inject({}, context)
    assert carrier == {"traceparent": HEADER, "tracestate": state}


def test_a_child_carries_the_tracestate_on() -> None:
    provider = fasttrace.TracerProvider(exporter="none")
    context = fasttrace.extract({"traceparent": HEADER, "tracestate": "a=1"})
    with provider.get_tracer("test").start_as_current_span("child", context=context):
        carrier: dict[str, str] = fasttrace.inject({})
    assert carrier["tracestate"] == "a=1"
    assert carrier["traceparent"].split("-")[1] == TRACE_ID
    assert carrier["traceparent"].split("-")[2] != HEADER.split("-")[2]
    provider.shutdown(1)


@pytest.mark.parametrize("state", ["a=b\x00", "ä=1", "a=1\r\nx: y"])
def test_a_bad_tracestate_never_harms_the_traceparent(state: str) -> None:
    context = fasttrace.extract({"traceparent": HEADER, "tracestate": state})
    assert context.span_context is not None
    assert fasttrace.inject({}, context) == {"traceparent": HEADER}


def test_inject_replaces_what_is_there_and_keeps_the_kind_of_pairs() -> None:
    context = fasttrace.extract({"traceparent": HEADER})
    assert fasttrace.inject([(b"a", b"1"), (b"TraceParent", b"old")], context) == [
        (b"a", b"1"),
        (b"traceparent", HEADER.encode()),
    ]
    assert fasttrace.inject([("a", "1")], context) == [("a", "1"), ("traceparent", HEADER)]


def test_inject_without_a_trace_writes_nothing() -> None:
    assert fasttrace.inject({}) == {}
    assert fasttrace.inject([], fasttrace.Context()) == []


def test_a_carrier_that_cannot_be_written_to_is_named() -> None:
    with pytest.raises(TypeError, match="mutable mapping or a list of pairs"):
        fasttrace.inject((), fasttrace.extract({"traceparent": HEADER}))


def test_an_unknown_propagator_is_refused_with_the_known_ones() -> None:
    with pytest.raises(fasttrace.ConfigurationError, match="tracecontext"):
        get_propagator("tracecontex")


@given(st.one_of(st.text(max_size=100), st.binary(max_size=100), st.none(), st.integers(), st.lists(st.text())))
def test_no_header_value_makes_extract_raise(value: Any) -> None:
    fasttrace.extract({"traceparent": value, "tracestate": value})
    fasttrace.extract([("traceparent", value), (value, value)])
