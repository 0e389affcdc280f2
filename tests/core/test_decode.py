"""Decoding: what the official library writes is read, what is damaged is refused, and the twins agree."""

from __future__ import annotations

from typing import Any

import pytest
import values
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
