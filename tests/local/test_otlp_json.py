"""The one reader of OTLP/JSON: what the specification lets in, what it keeps out, and where the fault is said to be."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import pytest
import sample_traces as traces
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from fasttrace.export.otlp_json import to_otlp_json
from fasttrace.local import exchange
from fasttrace.local.otlp_json import request_from_json
from fasttrace.local.server import otlp

SPAN = "resourceSpans[0].scopeSpans[0].spans[0]"
IDS = {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174"}


def document(span: Any) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


def value(found: Any) -> dict[str, Any]:
    return {**IDS, "attributes": [{"key": "a", "value": found}]}


def read(span: Any) -> Any:
    request = TracesData.FromString(request_from_json(document(span).encode()))
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_spellings_that_the_specification_allows_are_read() -> None:
    span = read(
        {
            **IDS, "kind": 2, "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000,
            "name": None, "parentSpanId": "", "flags": 257, "notAField": {"x": [1]}, "trace_state": "not its name",
            "droppedEventsCount": 3.0,
        }
    )  # fmt: skip
    assert (span.trace_id.hex(), span.span_id.hex()) == (IDS["traceId"].lower(), IDS["spanId"])
    assert (span.kind, span.start_time_unix_nano, span.end_time_unix_nano) == (
        2,
        1544712660 * 10**9,
        1544712661 * 10**9,
    )
    assert (span.name, span.parent_span_id, span.flags, span.trace_state) == ("", b"", 257, "")
    assert span.dropped_events_count == 3


@pytest.mark.parametrize(
    ("written", "kind", "meant"),
    [
        ({"intValue": "-9223372036854775808"}, "int_value", -(2**63)),
        ({"intValue": 7.0}, "int_value", 7),
        ({"doubleValue": 3}, "double_value", 3.0),
        ({"doubleValue": "-1.5e3"}, "double_value", -1500.0),
        ({"doubleValue": "-Infinity"}, "double_value", float("-inf")),
        ({"bytesValue": "_-8"}, "bytes_value", b"\xff\xef"),
        ({"bytesValue": "/+8="}, "bytes_value", b"\xff\xef"),
        ({"boolValue": False}, "bool_value", False),
        ({"stringValue": "", "intValue": None}, "string_value", ""),
        ({}, None, None),
    ],
)
def test_value_is_what_it_says(written: Any, kind: str | None, meant: Any) -> None:
    found = read(value(written)).attributes[0].value
    assert found.WhichOneof("value") == kind
    assert kind is None or getattr(found, kind) == meant


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (5, f"{SPAN}: not an object"),
        (None, f"{SPAN}: not an object"),
        ({"traceId": "xyz"}, f"{SPAN}.traceId: not a valid trace id (not hexadecimal)"),
        ({"traceId": "5b8e"}, f"{SPAN}.traceId: not a valid trace id (4 digits, not 32)"),
        ({"spanId": "ee e1 9b 7e c3 c1 b1 74"}, f"{SPAN}.spanId: not a valid span id (not hexadecimal)"),
        ({"parentSpanId": IDS["traceId"]}, f"{SPAN}.parentSpanId: not a valid span id (32 digits, not 16)"),
        ({"name": 5}, f"{SPAN}.name: not a valid string (not text)"),
        ({"name": "\ud800"}, f"{SPAN}.name: not a valid string"),
        ({"kind": "SPAN_KIND_SERVER"}, f"{SPAN}.kind: not a valid enum (not a whole number)"),
        ({"kind": -1}, f"{SPAN}.kind: not a valid enum (out of range)"),
        ({"kind": True}, f"{SPAN}.kind: not a valid enum (not a whole number)"),
        ({"startTimeUnixNano": "-1"}, f"{SPAN}.startTimeUnixNano: not a valid fixed64"),
        ({"startTimeUnixNano": "1_000"}, f"{SPAN}.startTimeUnixNano: not a valid fixed64 (not a whole number)"),
        ({"startTimeUnixNano": " 1"}, f"{SPAN}.startTimeUnixNano: not a valid fixed64 (not a whole number)"),
        ({"startTimeUnixNano": "\u0661"}, f"{SPAN}.startTimeUnixNano: not a valid fixed64 (not a whole number)"),
        ({"startTimeUnixNano": 2**64}, f"{SPAN}.startTimeUnixNano: not a valid fixed64"),
        ({"startTimeUnixNano": "9" * 5000}, f"{SPAN}.startTimeUnixNano: not a valid fixed64 (not a whole number)"),
        ({"droppedLinksCount": 2**32}, f"{SPAN}.droppedLinksCount: not a valid uint32 (out of range)"),
        ({"events": {}}, f"{SPAN}.events: not a list"),
        ({"status": {"code": "bad"}}, f"{SPAN}.status.code: not a valid enum (not a whole number)"),
        (value({"intValue": 1.5}), f"{SPAN}.attributes[0].value.intValue: not a valid int64 (not a whole number)"),
        (value({"doubleValue": True}), f"{SPAN}.attributes[0].value.doubleValue: not a valid double (not a number)"),
        (value({"doubleValue": "1_0"}), f"{SPAN}.attributes[0].value.doubleValue: not a valid double (not a number)"),
        (value({"doubleValue": "nan"}), f"{SPAN}.attributes[0].value.doubleValue: not a valid double (not a number)"),
        (value({"doubleValue": "1e999"}), f"{SPAN}.attributes[0].value.doubleValue: not a valid double (out of range)"),
        (value({"doubleValue": float("nan")}), "NaN is not JSON"),
        (value({"bytesValue": "?"}), f"{SPAN}.attributes[0].value.bytesValue: not a valid base64"),
        (value({"intValue": 1, "boolValue": True}), f"{SPAN}.attributes[0].value: more than one value"),
    ],
)
def test_what_is_none_is_refused_with_its_place(span: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        request_from_json(document(span).encode())
    assert said in str(caught.value)


def test_nesting_has_an_end() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        request_from_json(b"[" * 100_000)
    inner: Any = {"intValue": 1}
    for _ in range(60):
        inner = {"arrayValue": {"values": [inner]}}
    with pytest.raises(ValueError, match="nested too deeply"):
        request_from_json(document(value(inner)).encode())


NAMES = ("resource", "attributes", "scope", "spans", "traceId", "spanId", "name", "kind", "events", "links", "status", "code",
         "key", "value", "intValue", "doubleValue", "arrayValue", "kvlistValue", "values", "startTimeUnixNano")  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 2**70), st.floats(), st.sampled_from(["", "a", "12", "ab" * 16, "cd" * 8])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(JSON.map(document) | JSON.map(lambda one: json.dumps({"resourceSpans": [{"scopeSpans": one}]})))
def test_receiver_and_import_take_and_refuse_the_same(text: str) -> None:
    received = taken = None
    with suppress(otlp.Malformed):
        request, accepted, rejected = otlp.admit(text.encode(), otlp.JSON)
        received = accepted + rejected
    with suppress(exchange.FormatError):
        taken = sum(len(spans) for spans in exchange.read(io.BytesIO(text.encode()), "otlp-json"))
    assert received == taken
    if received is not None:
        assert len(TracesData.FromString(request).resource_spans) == 1


def test_a_whole_trace_comes_through() -> None:
    text = json.dumps(to_otlp_json(traces.checkout())).encode()
    request, accepted, rejected = otlp.admit(text, otlp.JSON)
    (spans,) = exchange.read(io.BytesIO(text))
    assert (accepted, rejected) == (len(traces.checkout()), 0)
    assert to_otlp_json(spans) == to_otlp_json(traces.checkout())
    assert b"".join(exchange.write("otlp", [spans])) == b"".join(
        exchange.write("otlp", exchange.read(io.BytesIO(request)))
    )
