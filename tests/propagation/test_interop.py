"""Against implementations that nobody here wrote: OpenTelemetry's propagators, in both directions.

Where they disagree with us, the rule and the reason stand in docs/propagation.md, and here.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage as otel_baggage
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.propagators.jaeger import JaegerPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fasttrace import Context, SpanContext
from fasttrace.propagation import get_propagator

THEIRS: dict[str, Any] = {
    "tracecontext": TraceContextTextMapPropagator(),
    "b3": B3SingleFormat(),
    "b3multi": B3MultiFormat(),
    "jaeger": JaegerPropagator(),
}
IDS = {"trace_id": st.integers(1, 2**128 - 1), "span_id": st.integers(1, 2**64 - 1), "sampled": st.booleans()}


@pytest.mark.parametrize("name", THEIRS)
@given(**IDS)
def test_they_read_what_we_write(name: str, trace_id: int, span_id: int, sampled: bool) -> None:
    carrier: dict[str, str] = {}
    get_propagator(name).inject(carrier, Context(SpanContext(trace_id, span_id, False, int(sampled))))
    found = trace.get_current_span(THEIRS[name].extract(carrier)).get_span_context()
    assert (found.trace_id, found.span_id, found.is_remote) == (trace_id, span_id, True)
    assert found.trace_flags.sampled == sampled


@pytest.mark.parametrize("name", THEIRS)
@given(**IDS)
def test_we_read_what_they_write(name: str, trace_id: int, span_id: int, sampled: bool) -> None:
    carrier: dict[str, str] = {}
    theirs = trace.SpanContext(trace_id, span_id, False, trace.TraceFlags(int(sampled)))
    THEIRS[name].inject(carrier, trace.set_span_in_context(trace.NonRecordingSpan(theirs)))
    context = get_propagator(name).extract(carrier)
    assert (context.span_context.trace_id, context.span_context.span_id) == (trace_id, span_id)
    assert context.sampled == sampled


MEMBERS = st.dictionaries(
    st.from_regex(r"[0-9A-Za-z_.\-]{1,9}", fullmatch=True), st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12), max_size=4
)  # fmt: skip


@given(members=MEMBERS)
def test_baggage_both_ways(members: dict[str, str]) -> None:
    ours: dict[str, str] = {}
    get_propagator("baggage").inject(ours, Context(None, members))
    read = otel_baggage.get_all(W3CBaggagePropagator().extract(ours))
    assert dict(read) == members
    context = None
    for key, value in members.items():
        context = otel_baggage.set_baggage(key, value, context)
    theirs: dict[str, str] = {}
    W3CBaggagePropagator().inject(theirs, context)
    found = get_propagator("baggage").extract(theirs)
    # Theirs writes a blank as a plus, which the specification reads as a plus: the values here have no blanks.
    assert (found.baggage if found else {}) == members


@given(state=st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}=[!-+\--<>-~]{1,9}", fullmatch=True), unique_by=lambda m: m.split("=")[0], max_size=5))  # fmt: skip
def test_tracestate_both_ways(state: list[str]) -> None:
    header = ",".join(state)
    carrier = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "tracestate": header}
    ours: dict[str, str] = {}
    get_propagator("tracecontext").inject(ours, get_propagator("tracecontext").extract(carrier))
    assert ours.get("tracestate", "") == header
    found = trace.get_current_span(THEIRS["tracecontext"].extract(ours)).get_span_context()
    assert found.trace_state.to_header() == header


# Each row: their name, a carrier, what they make of it, what we make of it. docs/propagation.md gives the rules.
T, S = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"
DISAGREEMENTS: dict[str, tuple[str, dict[str, str], bool, bool]] = {
    "tracecontext: reserved flags in version 00": ("tracecontext", {"traceparent": f"00-{T}-{S}-ff"}, True, True),
    "tracecontext: a member that begins with a digit": (
        "tracecontext",
        {"traceparent": f"00-{T}-{S}-01", "tracestate": "1a=1"},
        True,
        True,
    ),
    "b3: upper-case ids": ("b3", {"b3": f"{T.upper()}-{S}-1"}, True, False),
    "b3: malformed state": ("b3", {"b3": f"{T}-{S}-2"}, True, False),
    "b3: broken single beside multi": ("b3", {"b3": "x", "x-b3-traceid": T, "x-b3-spanid": S}, False, True),
    "jaeger: empty flags": ("jaeger", {"uber-trace-id": f"{T}:{S}:0:"}, False, False),
}


@pytest.mark.parametrize("case", DISAGREEMENTS)
def test_disagreements_are_the_documented_ones(case: str) -> None:
    name, carrier, theirs, ours = DISAGREEMENTS[case]
    try:
        found = trace.get_current_span(THEIRS[name].extract(carrier)).get_span_context().is_valid
    except ValueError:
        found = False
    assert found == theirs, "they have changed: mend docs/propagation.md"
    context = get_propagator(name).extract(carrier)
    assert (context is not None and context.span_context is not None) == ours


def test_they_read_a_plus_as_a_blank_so_we_never_write_one() -> None:
    assert dict(otel_baggage.get_all(W3CBaggagePropagator().extract({"baggage": "a=1+1"}))) == {"a": "1 1"}
    assert get_propagator("baggage").extract({"baggage": "a=1+1"}).baggage == {"a": "1+1"}
    carrier: dict[str, str] = {}
    get_propagator("baggage").inject(carrier, Context(None, {"a": "1+1"}))
    assert carrier == {"baggage": "a=1%2B1"}
    assert dict(otel_baggage.get_all(W3CBaggagePropagator().extract(carrier))) == {"a": "1+1"}


def test_their_jaeger_marks_every_sampled_span_as_debug_and_ours_does_not() -> None:
    theirs: dict[str, str] = {}
    context = trace.SpanContext(1, 2, False, trace.TraceFlags(1))
    THEIRS["jaeger"].inject(theirs, trace.set_span_in_context(trace.NonRecordingSpan(context)))
    assert theirs["uber-trace-id"].endswith(":03")
    ours: dict[str, str] = {}
    get_propagator("jaeger").inject(ours, Context(SpanContext(1, 2, False, 1)))
    assert ours["uber-trace-id"].endswith(":1")


@given(**IDS)
def test_xray_both_ways(trace_id: int, span_id: int, sampled: bool) -> None:
    ours: dict[str, str] = {}
    get_propagator("xray").inject(ours, Context(SpanContext(trace_id, span_id, False, int(sampled))))
    theirs = AwsXRayPropagator()
    found = trace.get_current_span(theirs.extract(ours)).get_span_context()  # they compare the name with case
    assert (found.trace_id, found.span_id, bool(found.trace_flags.sampled)) == (trace_id, span_id, sampled)
    written: dict[str, str] = {}
    context = trace.SpanContext(trace_id, span_id, False, trace.TraceFlags(int(sampled)))
    theirs.inject(written, trace.set_span_in_context(trace.NonRecordingSpan(context)))
    back = get_propagator("xray").extract(written)
    assert (back.span_context.trace_id, back.span_context.span_id, back.sampled) == (trace_id, span_id, sampled)


def test_they_drop_an_xray_header_that_leaves_the_decision_open() -> None:
    header = {"X-Amzn-Trace-Id": f"Root=1-{T[:8]}-{T[8:]};Parent={S};Sampled=?"}
    assert not trace.get_current_span(AwsXRayPropagator().extract(header)).get_span_context().is_valid
    assert get_propagator("xray").extract(header).sampled is None
