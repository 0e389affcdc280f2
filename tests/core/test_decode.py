"""Decoding: what the official library writes is read, what is damaged is refused, and the twins agree."""

from __future__ import annotations

from typing import Any

import hostile
import pytest
import values
from google.protobuf.message import DecodeError as OfficialDecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OfficialSpan

from fasttrace._core.types import DecodeError, SpanData, SpanKind, StatusCode


def official_request() -> ExportTraceServiceRequest:
    """Two resources with everything that a span may hold."""
    request = ExportTraceServiceRequest()
    for service in ("gateway", "inventory"):
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.extend(values.key_values({"service.name": service, "n": [1, 2.5, "x"]}))
        scope_spans = resource_spans.scope_spans.add(schema_url="https://example.org/1")
        scope_spans.scope.name = "scope"
        scope_spans.scope.version = "1"
        span = scope_spans.spans.add(
            trace_id=b"\x01" * 16,
            span_id=b"\x02" * 8,
            parent_span_id=b"\x03" * 8,
            trace_state="a=1",
            flags=0x101,
            name="naïve ✓",
            kind=OfficialSpan.SPAN_KIND_CONSUMER,
            start_time_unix_nano=5,
            end_time_unix_nano=9,
            attributes=values.key_values({"deep": {"list": [None, True, b"\0", {"k": -1}]}}),
            dropped_attributes_count=1,
            dropped_events_count=2,
            dropped_links_count=3,
        )
        span.events.add(
            time_unix_nano=6, name="event", attributes=values.key_values({"e": 1}), dropped_attributes_count=4
        )
        span.links.add(
            trace_id=b"\x04" * 16, span_id=b"\x05" * 8, trace_state="b=2", flags=1, dropped_attributes_count=5
        )
        span.status.code = 2
        span.status.message = "broken"
    return request


def as_dict(span: SpanData) -> dict[str, Any]:
    """Everything a decoded span says, comparable."""
    found = {name: getattr(span, name) for name in SpanData.__slots__}
    found["events"] = [(e.name, e.time_ns, repr(e.attributes), e.dropped_attributes_count) for e in span.events]
    found["links"] = [
        (li.trace_id, li.span_id, repr(li.attributes), li.trace_state, li.flags, li.dropped_attributes_count)
        for li in span.links
    ]
    found["scope"] = (span.scope.name, span.scope.version, span.scope.schema_url, repr(span.scope.attributes))
    found["attributes"] = repr(span.attributes)
    found["resource"] = repr(span.resource)
    return found


def test_everything_the_official_library_writes_is_read(core: Any) -> None:
    gateway, inventory = core.decode.decode_request(official_request().SerializeToString())
    assert (gateway.resource["service.name"], inventory.resource["service.name"]) == ("gateway", "inventory")
    span = inventory
    assert span.trace_id == "01" * 16
    assert span.span_id == "02" * 8
    assert span.parent_span_id == "03" * 8
    assert span.trace_state == "a=1"
    assert span.flags == 0x101
    assert span.name == "naïve ✓"
    assert span.kind is SpanKind.CONSUMER
    assert (span.start_time_ns, span.end_time_ns) == (5, 9)
    assert values.frozen(span.attributes) == {"deep": {"list": [None, True, b"\0", {"k": -1}]}}
    (event,) = span.events
    assert (event.name, event.time_ns, event.attributes, event.dropped_attributes_count) == ("event", 6, {"e": 1}, 4)
    (link,) = span.links
    assert (link.trace_id, link.span_id, link.trace_state, link.flags) == ("04" * 16, "05" * 8, "b=2", 1)
    assert link.dropped_attributes_count == 5
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "broken")
    dropped = (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count)
    assert dropped == (1, 2, 3)
    assert (span.scope.name, span.scope.version, span.scope.schema_url) == ("scope", "1", "https://example.org/1")


def test_unknown_fields_are_skipped(core: Any) -> None:
    body = official_request().resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    unknown = b"\xf8\x07\x96\x01" + b"\xf9\x07" + bytes(8) + b"\xfa\x07\x02hi" + b"\xfd\x07" + bytes(4)
    assert as_dict(core.decode.decode_span(unknown + body + unknown)) == as_dict(core.decode.decode_span(body))


def test_later_singular_fields_win_and_messages_merge(core: Any) -> None:
    first = OfficialSpan(name="old", trace_id=b"\1" * 16, span_id=b"\2" * 8, end_time_unix_nano=4)
    first.status.message = "kept"
    second = OfficialSpan(name="new", start_time_unix_nano=3)
    second.status.code = 2
    span = core.decode.decode_span(first.SerializeToString() + second.SerializeToString())
    assert (span.name, span.start_time_ns, span.end_time_ns) == ("new", 3, 4)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "kept")


DAMAGED = {
    "overlong field": b"\x2a\x05abc",
    "text that is not UTF-8": b"\x2a\x02\xff\xfe",
    "trace id of 15 bytes": b"\x0a\x0f" + b"\1" * 15,
    "span id of 9 bytes": b"\x12\x09" + b"\1" * 9,
    "wrong wire type": b"\x28\x05",
    "varint without end": b"\x30\xff\xff",
    "varint of 11 bytes": b"\x30" + b"\xff" * 10 + b"\x01",
    "field number 0": b"\x02\x00",
    "group": b"\x2b\x2c",
    "cut fixed64": b"\x39\1\2\3",
    "key without its field": b"\x2a",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_refused(core: Any, case: str) -> None:
    with pytest.raises(DecodeError):
        core.decode.decode_span(DAMAGED[case])


def test_values_nested_too_deeply_are_refused(core: Any) -> None:
    value = AnyValue(int_value=1)
    for _ in range(40):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    span = OfficialSpan(attributes=[KeyValue(key="deep", value=value)])
    with pytest.raises(DecodeError, match="deep"):
        core.decode.decode_span(span.SerializeToString())


def test_a_cut_request_is_refused_or_ends_at_a_field(core: Any) -> None:
    data = official_request().SerializeToString()
    first = official_request()
    del first.resource_spans[1]
    ends = {0, len(first.SerializeToString()), len(data)}
    for length in range(len(data)):
        if length in ends:
            core.decode.decode_request(data[:length])
        else:
            with pytest.raises(DecodeError):
                core.decode.decode_request(data[:length])


def outcome(core: Any, call: str, data: bytes) -> Any:
    try:
        found = getattr(core.decode, call)(data)
    except DecodeError as error:
        return str(error)
    return [as_dict(span) for span in found] if call == "decode_request" else as_dict(found)


WHOLE = official_request().SerializeToString()
ONE = official_request().resource_spans[0].scope_spans[0].spans[0].SerializeToString()


@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(WHOLE)))
def test_twins_judge_damage_alike(both: Any, at: int, byte: int, cut: int) -> None:
    data = (WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])[: max(cut, at + 1)]
    assert outcome(both[0], "decode_request", data) == outcome(both[1], "decode_request", data)


@given(at=st.integers(0, len(ONE)), new=st.binary(max_size=6), skip=st.integers(0, 4))
def test_twins_judge_damaged_spans_alike(both: Any, at: int, new: bytes, skip: int) -> None:
    data = ONE[:at] + new + ONE[at + skip :]
    assert outcome(both[0], "decode_span", data) == outcome(both[1], "decode_span", data)


@given(data=st.binary(max_size=40))
def test_twins_judge_noise_alike(both: Any, data: bytes) -> None:
    assert outcome(both[0], "decode_span", data) == outcome(both[1], "decode_span", data)


# --- messages that nobody sends in good faith


def read_or_refuse(core: Any, data: bytes) -> DecodeError | None:
    try:
        core.decode.decode_request(data)
    except DecodeError as error:
        return error
    return None


@pytest.mark.parametrize("case", hostile.CROWDS)
def test_memory_is_in_proportion_to_the_bytes_read(core: Any, case: str) -> None:
    data, refused = hostile.CROWDS[case]
    assert (read_or_refuse(core, data) is not None) is refused
    assert hostile.peak(lambda: read_or_refuse(core, data)) < 32 * len(data) + (2 << 20)


@pytest.mark.parametrize("case", hostile.LIES)
def test_lies_are_refused(core: Any, case: str) -> None:
    data = hostile.LIES[case]
    assert read_or_refuse(core, data) is not None
    assert hostile.peak(lambda: read_or_refuse(core, data)) < 1 << 20


def test_real_spans_and_events_are_never_a_crowd(core: Any) -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(10_000):
        span = scope.spans.add(trace_id=bytes(15) + b"\1", span_id=bytes(7) + b"\1")
        if number == 0:
            for _ in range(50_000):
                span.events.add(time_unix_nano=1)
                span.links.add(span_id=bytes(7) + b"\1")
    spans = core.decode.decode_request(request.SerializeToString())
    assert (len(spans), len(spans[0].events), len(spans[0].links)) == (10_000, 50_000, 50_000)


def test_a_small_request_may_hold_any_number_of_empty_spans(core: Any) -> None:
    assert len(core.decode.decode_request(hostile.request(b"\x12\x00" * 2000))) == 2000


WIRE = st.recursive(
    st.binary(max_size=24),
    lambda inner: st.lists(st.tuples(st.sampled_from([1, 2, 3, 5, 6, 9, 11, 13, 15]), inner), max_size=4).map(
        lambda fields: b"".join(hostile.message(number, body) for number, body in fields)
    ),
    max_leaves=12,
)


@given(data=WIRE)
def test_twins_judge_well_formed_nonsense_alike(both: Any, data: bytes) -> None:
    for wrapped in (data, hostile.request(hostile.message(2, data)), hostile.with_value(data)):
        assert outcome(both[0], "decode_request", wrapped) == outcome(both[1], "decode_request", wrapped)


@given(data=WIRE)
def test_the_official_library_reads_the_same_spans_where_it_reads_any(core: Any, data: bytes) -> None:
    for wrapped in (data, hostile.request(hostile.message(2, data)), hostile.with_value(data)):
        # Either is stricter in places: what it does not read may be broken.
        try:
            official = ExportTraceServiceRequest.FromString(wrapped)
        except (OfficialDecodeError, UnicodeDecodeError):  # the latter from its pure-Python parser
            continue
        try:
            spans = core.decode.decode_request(wrapped)
        except DecodeError:
            continue
        found = [span for rs in official.resource_spans for ss in rs.scope_spans for span in ss.spans]
        assert [(span.name, span.trace_id) for span in spans] == [(span.name, span.trace_id.hex()) for span in found]
