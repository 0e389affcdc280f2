"""Encoding, against the official protobuf messages: the same bytes, not only the same meaning."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import pytest
import values
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope as OfficialScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OfficialSpan
from traced import FixedIds, Traced

from fasttrace._core.types import InstrumentationScope, Link, SpanKind, SpanLimits, Status, StatusCode


@given(attributes=values.ATTRIBUTES)
def test_attributes_are_the_official_bytes(core: Any, attributes: dict[str, Any]) -> None:
    official = Resource(attributes=values.key_values(attributes))
    assert core.otlp.encode_attributes(attributes) == official.SerializeToString()


@pytest.mark.parametrize("value", [False, 0, "", b"", 0.0, -0.0, None, [], {}, [None], [0], [""], {"k": None}])
def test_false_zero_and_empty_values_are_written(core: Any, value: Any) -> None:
    official = Resource(attributes=values.key_values({"key": value}))
    encoded = core.otlp.encode_attributes({"key": value})
    assert encoded == official.SerializeToString()
    (item,) = Resource.FromString(encoded).attributes
    assert item.value.WhichOneof("value") == values.any_value(value).WhichOneof("value")


@pytest.mark.parametrize("key_length", [1, 2, 60, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129])
def test_lengths_grow_to_two_bytes_where_the_official_ones_do(core: Any, key_length: int) -> None:
    for key in ("k" * key_length, "\ud800" + "k" * (key_length - 1)):
        for value in ("", *("v" * length for length in range(50, 130)), b"v" * 127, b"v" * 128, 1, -1, True, None):
            official = Resource(attributes=values.key_values({key.replace("\ud800", "\ufffd"): value}))
            assert core.otlp.encode_attributes({key: value}) == official.SerializeToString(), value


def test_a_value_that_fails_is_left_out_and_the_others_are_written(core: Any) -> None:
    class Failing:
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    encoded = core.otlp.encode_attributes({"a": 1, "failing": Failing(), "b": 2})
    assert encoded == core.otlp.encode_attributes({"a": 1, "b": 2})


def test_nan_and_infinities_are_written(core: Any) -> None:
    encoded = core.otlp.encode_attributes({"nan": math.nan, "up": math.inf, "down": -math.inf})
    found = [item.value.double_value for item in Resource.FromString(encoded).attributes]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf]


@given(attributes=values.ATTRIBUTES, name=values.TEXT, version=values.TEXT)
def test_scopes_are_the_official_bytes(core: Any, attributes: dict[str, Any], name: str, version: str) -> None:
    official = OfficialScope(name=name, version=version, attributes=values.key_values(attributes))
    assert core.otlp.encode_scope(InstrumentationScope(name, version, "", attributes)) == official.SerializeToString()


def test_every_field_of_a_span_is_written(traced: Any) -> None:
    link = traced.core.context.SpanContext(0xA, 0xB, True, 1, "vendor=1")
    parent = traced.core.headers.parse_traceparent("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "congo=t61,rojo=00f0")
    span = traced.tracer.start_span(
        "POST /orders", parent, SpanKind.SERVER, {"first": 1}, [Link(link, {"l": 2})], 10**18
    )
    span.set_attribute("http.response.status_code", 503)
    span.add_event("retry", {"attempt": 2}, 10**18 + 5)
    span.set_status(StatusCode.ERROR, "upstream is gone")
    span.end(10**18 + 7_000_000)
    (resource_spans,) = ExportTraceServiceRequest.FromString(traced.request()).resource_spans
    assert resource_spans.resource.attributes[0].value.string_value == "test"
    (scope_spans,) = resource_spans.scope_spans
    assert (scope_spans.scope.name, scope_spans.scope.version) == ("library", "1.2")
    assert scope_spans.schema_url == "https://example.org/schema/1"
    (official,) = scope_spans.spans
    expected = OfficialSpan(
        trace_id=b"\xab" * 16,
        span_id=span.get_span_context().span_id_bytes,
        trace_state="congo=t61,rojo=00f0",
        parent_span_id=b"\xcd" * 8,
        flags=0x301,  # sampled, the parent's remoteness is known, it is remote
        name="POST /orders",
        kind=OfficialSpan.SPAN_KIND_SERVER,
        start_time_unix_nano=10**18,
        end_time_unix_nano=10**18 + 7_000_000,
        attributes=values.key_values({"first": 1, "http.response.status_code": 503}),
    )
    expected.events.add(time_unix_nano=10**18 + 5, name="retry", attributes=values.key_values({"attempt": 2}))
    expected.links.add(
        trace_id=b"\0" * 15 + b"\x0a",
        span_id=b"\0" * 7 + b"\x0b",
        trace_state="vendor=1",
        attributes=values.key_values({"l": 2}),
        flags=0x301,
    )
    expected.status.code = 2
    expected.status.message = "upstream is gone"
    assert official == expected


EVENTS = st.lists(st.tuples(values.TEXT, values.ATTRIBUTES, st.integers(1, 2**63 - 1)), max_size=3)
LINKS = st.lists(st.tuples(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), values.ATTRIBUTES), max_size=3)


@given(
    name=values.TEXT,
    kind=st.sampled_from(SpanKind),
    attributes=values.ATTRIBUTES,
    events=EVENTS,
    links=LINKS,
    status=st.sampled_from(StatusCode),
    description=st.none() | values.TEXT,
    start=st.integers(1, 2**62),
    duration=st.integers(0, 2**40),
    child=st.booleans(),
)
def test_a_span_is_the_official_bytes_and_decodes_to_itself(
    core: Any,
    name: str,
    kind: SpanKind,
    attributes: dict[str, Any],
    events: Any,
    links: Any,
    status: StatusCode,
    description: str | None,
    start: int,
    duration: int,
    child: bool,
) -> None:
    traced = Traced(core)
    parent = core.context.SpanContext(7, 8, False, 3) if child else None
    span = traced.tracer.start_span(name, parent, kind, attributes, start_time=start)
    for event_name, event_attributes, time_ns in events:
        span.add_event(event_name, event_attributes, time_ns)
    for trace_id, span_id, link_attributes in links:
        span.add_link(core.context.SpanContext(trace_id, span_id, True, 1), link_attributes)
    span.set_status(Status(status, description))
    span.end(start + duration)
    records = traced.records()
    body = records[64:]
    official = OfficialSpan.FromString(body)
    assert official.SerializeToString() == body, "not the canonical encoding"
    assert official.name == name
    assert official.kind == kind + 1
    assert list(official.attributes) == values.key_values(attributes)
    assert [(e.name, e.time_unix_nano) for e in official.events] == [(n, t) for n, _, t in events]
    assert [list(e.attributes) for e in official.events] == [values.key_values(a) for _, a, _ in events]
    assert [int.from_bytes(link.trace_id, "big") for link in official.links] == [link[0] for link in links]
    assert official.status.code == status
    assert official.status.message == ((description or "") if status is StatusCode.ERROR else "")
    assert (official.start_time_unix_nano, official.end_time_unix_nano) == (start, start + duration)
    assert official.parent_span_id == (b"\0" * 7 + b"\x08" if child else b"")

    decoded = core.decode.decode_span(body)
    assert (decoded.name, decoded.kind) == (name, kind)
    assert decoded.attributes == attributes
    assert list(decoded.attributes) == list(attributes)
    assert [(e.name, e.attributes, e.time_ns) for e in decoded.events] == events
    assert [(int(li.trace_id, 16), int(li.span_id, 16), li.attributes) for li in decoded.links] == links
    assert decoded.duration_ns == duration
    assert decoded.status.status_code is status


def test_the_record_header_says_what_the_body_says(traced: Any) -> None:
    from fasttrace._core import layout

    remote = traced.core.headers.parse_traceparent("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
    with traced.tracer.start_as_current_span("root", remote) as span:
        span.set_attribute("http.response.status_code", 500)
        span.set_status(StatusCode.ERROR)
        with traced.tracer.start_as_current_span("child"):
            pass
    records = traced.records()
    seen = {}
    while records:
        fields = layout.RECORD_HEADER.unpack_from(records)
        magic, kind, flags, length = fields[:4]
        body = OfficialSpan.FromString(records[64:length])
        assert (magic, kind) == (layout.RECORD_MAGIC, layout.RECORD_KIND_SPAN)
        assert (fields[8], fields[9]) == (body.trace_id, body.span_id)
        assert (fields[10], fields[11]) == (
            body.start_time_unix_nano,
            body.end_time_unix_nano - body.start_time_unix_nano,
        )
        seen[body.name] = flags
        records = records[length:]
    root = layout.RECORD_FLAG_SAMPLED | layout.RECORD_FLAG_LOCAL_ROOT | layout.RECORD_FLAG_REMOTE_PARENT
    assert seen["root"] == root | layout.RECORD_FLAG_ERROR | layout.RECORD_FLAG_HTTP_5XX
    assert seen["child"] == layout.RECORD_FLAG_SAMPLED


def test_records_are_grouped_by_scope_in_order_of_first_appearance(traced: Any) -> None:
    other = traced.core.span.Tracer(InstrumentationScope("other"), traced.recorder)
    for tracer, name in ((traced.tracer, "a"), (other, "b"), (traced.tracer, "c")):
        tracer.start_span(name).end()
    (resource_spans,) = ExportTraceServiceRequest.FromString(traced.request()).resource_spans
    groups = [(group.scope.name, [span.name for span in group.spans]) for group in resource_spans.scope_spans]
    assert groups == [("library", ["a", "c"]), ("other", ["b"])]


def test_the_suffix_ends_every_span(traced: Any) -> None:
    traced.tracer.start_span("one").end()
    traced.tracer.start_span("two").end()
    suffix = traced.core.otlp.encode_attributes({"added": "later"}, 9)
    scopes = [(traced.core.otlp.encode_scope(scope), "") for scope in traced.recorder.scopes]
    data = traced.core.otlp.assemble(traced.records(), b"", scopes, suffix)
    spans = [
        s for r in ExportTraceServiceRequest.FromString(data).resource_spans for g in r.scope_spans for s in g.spans
    ]
    assert [[item.key for item in span.attributes] for span in spans] == [["added"], ["added"]]


def test_schema_urls_may_be_of_any_kind_of_text(traced: Any) -> None:
    class Schema(StrEnum):
        SCOPE = "https://example.com/scope"
        RESOURCE = "https://example.com/resource"

    traced.tracer.start_span("one").end()
    data = traced.core.otlp.assemble(traced.records(), b"", [(b"", Schema.SCOPE)], b"", Schema.RESOURCE)
    (found,) = ExportTraceServiceRequest.FromString(data).resource_spans
    assert (found.schema_url, found.scope_spans[0].schema_url) == (Schema.RESOURCE.value, Schema.SCOPE.value)


@pytest.mark.parametrize("damage", ["cut", "magic", "length", "scope", "short length"])
def test_what_is_no_whole_record_is_refused(traced: Any, damage: str) -> None:
    traced.tracer.start_span("operation").end()
    records = bytearray(traced.records())
    if damage == "cut":
        del records[-1]
    elif damage == "magic":
        records[0] ^= 1
    elif damage == "length":
        records[4] += 1
    elif damage == "scope":
        records[8] = 9
    else:
        records[4:8] = (8).to_bytes(4, "little")
    scopes = [(b"", "")]
    with pytest.raises(ValueError, match="record"):
        traced.core.otlp.assemble(bytes(records), b"", scopes)
    if damage != "scope":
        with pytest.raises(ValueError, match="record"):
            traced.core.otlp.count_records(bytes(records))


def test_a_gigantic_span_is_dropped_and_counted(make_traced: Any) -> None:
    traced = make_traced()
    traced.tracer.start_span("big", attributes={"text": "x" * (5 << 20)}).end()
    assert traced.records() == b""
    assert traced.dropped() == {"too_large": 1}


def test_a_large_span_goes_around_the_ring(make_traced: Any) -> None:
    traced = make_traced()
    traced.tracer.start_span("before").end()
    traced.tracer.start_span("large", attributes={"text": "x" * (3 << 20)}).end()
    traced.tracer.start_span("after").end()
    spans = traced.spans()
    assert sorted(span.name for span in spans) == ["after", "before", "large"]
    assert traced.dropped() == {}


@pytest.mark.parametrize("limits", [SpanLimits(), SpanLimits(max_attribute_length=3)])
@given(attributes=st.lists(st.tuples(values.NASTY_KEYS, values.NASTY), max_size=6))
def test_twins_encode_nasty_attributes_alike(both: Any, limits: SpanLimits, attributes: list[tuple[Any, Any]]) -> None:
    records = []
    for core in both:
        traced = Traced(core, id_generator=FixedIds(), limits=limits)
        span = traced.tracer.start_span("operation", start_time=1)
        for key, value in attributes:
            span.set_attribute(key, value)
        span.add_event("event", {key: value for key, value in attributes if key.__hash__}, 5)
        span.end(2)
        records.append((traced.records(), traced.dropped()))
    assert records[0] == records[1]
    OfficialSpan.FromString(records[0][0][64:])


@given(attributes=st.dictionaries(values.KEYS, values.NASTY, max_size=4), max_count=st.none() | st.integers(0, 3))
def test_twins_encode_attributes_alike(both: Any, attributes: dict[str, Any], max_count: int | None) -> None:
    encoded = [core.otlp.encode_attributes(attributes, 9, max_count) for core in both]
    assert encoded[0] == encoded[1]
