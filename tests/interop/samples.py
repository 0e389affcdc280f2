"""Spans with everything that OTLP has room for, and what a receiver should have understood of them."""

from __future__ import annotations

import math
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import fasttrace

PARENT = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
    "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
}
LINKED = {"traceparent": "00-ffffffffffffffff0000000000000001-00000000000000ff-00", "tracestate": "rojo=1"}
RESOURCE = {"service.name": "interop", "service.version": "1.0", "regions": ["eu", "us"], "replicas": 3}
VALUES: dict[str, Any] = {
    "text": "ünï©ødé \N{SNOWMAN} \U0001f680",
    "text.empty": "",
    "text.nul": "a\0b",
    "flag": True,
    "flag.no": False,
    "int": 42,
    "int.zero": 0,
    "int.least": -(2**63),
    "int.most": 2**63 - 1,
    "float": 1.5,
    "float.zero": 0.0,
    "float.tiny": 5e-324,
    "float.infinite": math.inf,
    "bytes": b"\x00\xff\xfe",
    "bytes.empty": b"",
    "list": ["a", "", "c"],
    "list.empty": [],
    "list.int": [1, -2],
    "list.float": [0.5, 2.0],
    "list.flag": [True, False],
    "map": {"inner": {"deep": [1, "two"]}, "none": None, "infinite": -math.inf},
    "long": "x" * 5000,
}
COUNT = 6
EVENT_NS, START_NS = 1_700_000_000_000_000_500, 1_700_000_000_000_000_000
END_NS = START_NS + 1_234_567_891


def send(provider: fasttrace.TracerProvider) -> None:
    """Trace a request of every kind of span, and flush it."""
    from fasttrace import Link, SpanKind, StatusCode

    tracer = provider.get_tracer("interop", "2.1", "https://opentelemetry.io/schemas/1.30.0", {"scope.flag": True})
    linked = fasttrace.extract(LINKED).span_context
    server = tracer.start_span(
        "GET /ünï", context=fasttrace.extract(PARENT), kind=SpanKind.SERVER, attributes=VALUES,
        links=[Link(linked, {"why": "retry", "n": [1, 2]}), Link(linked)], start_time=START_NS,
    )  # fmt: skip
    server.add_event("cache miss", {"key": b"\x01", "tries": 2}, timestamp=EVENT_NS)
    server.add_event("", timestamp=EVENT_NS + 1)
    server.set_status(StatusCode.ERROR, "out of stock")
    for kind in (SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.INTERNAL):
        child = tracer.start_span(kind.name, context=server, kind=kind, start_time=START_NS + 1)
        child.set_status(StatusCode.OK if kind is SpanKind.CLIENT else StatusCode.UNSET)
        child.end(START_NS + 2)
    server.end(END_NS)
    provider.get_tracer("").start_span("root of its own", start_time=START_NS).end(START_NS)
    assert provider.flush(20), provider.stats()


def as_plain(requests: list[ExportTraceServiceRequest]) -> dict[str, dict[str, Any]]:
    """Every field of the spans that arrived, by name, in Python's types; ids and flags as hex."""
    found: dict[str, dict[str, Any]] = {}
    for request in requests:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    assert span.name not in found, f"{span.name!r} arrived twice"
                    found[span.name] = {
                        "resource": _attributes(resource.resource.attributes),
                        "scope": (scope.scope.name, scope.scope.version, scope.schema_url),
                        "scope attributes": _attributes(scope.scope.attributes),
                        "ids": (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()),
                        "tracestate": span.trace_state,
                        "flags": hex(span.flags),
                        "kind": span.kind - 1,
                        "times": (span.start_time_unix_nano, span.end_time_unix_nano),
                        "attributes": _attributes(span.attributes),
                        "events": [(e.time_unix_nano, e.name, _attributes(e.attributes)) for e in span.events],
                        "links": [
                            (link.trace_id.hex(), link.span_id.hex(), link.trace_state, _attributes(link.attributes))
                            for link in span.links
                        ],
                        "status": (span.status.code, span.status.message),
                        "dropped": (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count),
                    }
    return found


def _attributes(pairs: Any) -> dict[str, Any]:
    found = {pair.key: _value(pair.value) for pair in pairs}
    assert len(found) == len(pairs), "a key arrived twice"
    return found


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def check(found: dict[str, dict[str, Any]]) -> None:
    """Compare what arrived with what was traced, field by field."""
    kinds = {"GET /ünï": 1, "CLIENT": 2, "PRODUCER": 3, "CONSUMER": 4, "INTERNAL": 0, "root of its own": 0}
    assert {name: span["kind"] for name, span in found.items()} == kinds
    trace_id, parent_id = PARENT["traceparent"].split("-")[1:3]
    for span in found.values():
        assert RESOURCE.items() <= span["resource"].items()
        assert span["resource"]["telemetry.sdk.name"] == "fasttrace"
        assert span["dropped"] == (0, 0, 0)
    root, server = found.pop("root of its own"), found.pop("GET /ünï")
    assert root["ids"][0] not in ("", trace_id) and root["ids"][2] == ""
    assert (root["times"], root["scope"], root["tracestate"]) == ((START_NS, START_NS), ("", "", ""), "")
    assert root["flags"] == "0x103"

    assert server["ids"][0] == trace_id and server["ids"][2] == parent_id
    assert (server["flags"], server["times"]) == ("0x303", (START_NS, END_NS))
    assert typed(server["attributes"]) == typed(VALUES)
    assert server["status"] == (2, "out of stock")
    assert server["events"] == [
        (EVENT_NS, "cache miss", {"key": b"\x01", "tries": 2}),
        (EVENT_NS + 1, "", {}),
    ]
    linked = LINKED["traceparent"].split("-")[1:3]
    assert server["links"] == [(*linked, "rojo=1", {"why": "retry", "n": [1, 2]}), (*linked, "rojo=1", {})]
    for name, child in found.items():
        assert child["ids"][0] == trace_id and child["ids"][2] == server["ids"][1]
        assert child["flags"] == "0x103"
        assert child["status"] == ((1 if name == "CLIENT" else 0), "")
    for span in (server, *found.values()):
        assert span["tracestate"] == PARENT["tracestate"]
        assert span["scope"] == ("interop", "2.1", "https://opentelemetry.io/schemas/1.30.0")
        assert span["scope attributes"] == {"scope.flag": True}
    assert len({span["ids"][1] for span in (root, server, *found.values())}) == len(kinds)


def typed(value: Any) -> Any:
    """A value with the types in it: 1, 1.0 and True are equal to Python."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value).__name__, value
