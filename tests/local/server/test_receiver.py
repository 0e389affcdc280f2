"""The OTLP/HTTP receiver: OpenTelemetry's own exporters, and what is not to be had."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from fasttrace.errors import SpoolError

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def request_of(*ids: tuple[bytes, bytes], service: str = "elsewhere") -> ExportTraceServiceRequest:
    """A request with one span for each trace id and span id."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = service
    for number, (trace_id, span_id) in enumerate(ids):
        span = resource_spans.scope_spans.add().spans.add(trace_id=trace_id, span_id=span_id, name=f"span {number}")
        span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 5
        span.status.code = 2
    return request


ONE = request_of((b"t" * 16, b"s" * 8))


def status_of(answer: Any) -> tuple[int, str]:
    """google.rpc's code and message, in the encoding of the answer."""
    if answer.headers["content-type"] == "application/json":
        found = answer.json()
        return found["code"], found["message"]
    status = Status.FromString(answer.content)
    return status.code, status.message


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_what_the_opentelemetry_sdk_exports_arrives(start: Callable[..., Any], compression: str) -> None:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    server = start()
    results: list[SpanExportResult] = []

    class Noting(SpanExporter):
        inner = OTLPSpanExporter(f"{server.url}/v1/traces", compression=Compression(compression))

        def export(self, spans: Any) -> SpanExportResult:
            results.append(self.inner.export(spans))
            return results[-1]

    provider = TracerProvider(resource=Resource.create({"service.name": "sdk"}))
    provider.add_span_processor(SimpleSpanProcessor(Noting()))
    with provider.get_tracer("tests").start_as_current_span("outer", attributes={"list": [1, 2], "größe": 1.5}) as span:
        span.add_event("said", {"what": "hello"})
    provider.shutdown()
    assert results == [SpanExportResult.SUCCESS]
    (found,) = server.spans()
    assert (found.name, found.resource["service.name"], found.events[0].name) == ("outer", "sdk", "said")
    assert found.attributes == {"list": [1, 2], "größe": 1.5}
    listed = server.wait_for(lambda: server.get("/api/traces")["traces"])
    assert listed[0]["trace_id"] == found.trace_id


def test_json_means_the_same_as_protobuf(start: Callable[..., Any]) -> None:
    """The encoding of opentelemetry-proto's examples: hex ids in any case, 64-bit numbers as text or number."""
    server = start()
    values = [
        ("text", {"stringValue": "größe"}, "größe"),
        ("truth", {"boolValue": False}, False),
        ("whole", {"intValue": "-9223372036854775808"}, -(2**63)),
        ("small", {"intValue": 7}, 7),
        ("real", {"doubleValue": 0.5}, 0.5),
        ("endless", {"doubleValue": "Infinity"}, float("inf")),
        ("list", {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}]}}, [1, "x"]),
        ("map", {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}}, {"a": True}),
        ("bytes", {"bytesValue": "AAH_"}, b"\x00\x01\xff"),
        ("nothing", {}, None),
    ]
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "eee19b7ec3c1b173",
        "name": "I'm a server span",
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "kind": 2,
        "traceState": "a=b",
        "flags": 257,
        "unknown": {"of": "a later version"},
        "attributes": [{"key": key, "value": value} for key, value, _ in values],
        "events": [{"timeUnixNano": "1544712660500000000", "name": "said", "attributes": []}],
        "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}],
        "status": {"code": 2, "message": "no"},
        "droppedEventsCount": 3,
    }
    body = {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "js"}}]},
                               "scopeSpans": [{"scope": {"name": "lib", "version": "1"}, "spans": [span]}]}]}  # fmt: skip
    answer = server.client.post("/v1/traces", json=body)
    assert (answer.status_code, answer.json(), answer.headers["content-type"]) == (200, {}, "application/json")
    (found,) = server.spans()
    assert (found.trace_id, found.span_id, found.parent_span_id) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b173")  # fmt: skip
    assert (found.start_time_ns, found.end_time_ns, found.kind.name) == (
        1544712660 * 10**9,
        1544712661 * 10**9,
        "SERVER",
    )
    assert found.attributes == {key: value for key, _, value in values}
    assert (found.events[0].name, found.links[0].span_id, found.status.description) == (
        "said",
        "eee19b7ec3c1b174",
        "no",
    )
    assert (found.scope.name, found.resource, found.flags, found.dropped_events_count) == (
        "lib",
        {"service.name": "js"},
        257,
        3,
    )


@pytest.mark.parametrize("headers", [PROTOBUF, JSON, {"content-type": "application/json; charset=utf-8"}], ids=str)
def test_an_empty_request_succeeds(server: Any, headers: dict[str, str]) -> None:
    answer = server.client.post("/v1/traces", content=b"" if headers is PROTOBUF else b"{}", headers=headers)
    assert (answer.status_code, answer.content) == (200, b"" if headers is PROTOBUF else b"{}")


def test_spans_without_valid_ids_are_rejected_and_the_others_kept(start: Callable[..., Any]) -> None:
    server = start()
    good, other = (b"t" * 16, b"s" * 8), (b"u" * 16, b"v" * 8)
    request = request_of(good, (b"\0" * 16, b"s" * 8), (b"", b"s" * 8), (b"t" * 16, b"\0" * 8), other)
    answer = server.client.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 3
    assert "trace id" in partial.error_message
    assert [span.name for span in server.spans()] == ["span 0", "span 4"]
    assert all(span.resource == {"service.name": "elsewhere"} for span in server.spans())
    spans = [{"traceId": "", "spanId": "", "name": "none"}]
    answer = server.client.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert len(server.spans()) == 2


TEXT = '{"resourceSpans": [{"scopeSpans": [{"spans": [%s]}]}]}'
NESTED = '{"attributes": [{"key": "a", "value": ' + '{"arrayValue": {"values": [' * 40 + "{}" + "]}}" * 40 + "}]}"
MALFORMED = [
    (PROTOBUF, b"\xff"),
    (PROTOBUF, ONE.SerializeToString()[:-3]),
    (PROTOBUF, request_of((b"short", b"s" * 8)).SerializeToString()),
    (PROTOBUF, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
    (PROTOBUF, b"{}"),
    (JSON, b""),
    (JSON, b"\xff\xfe"),
    (JSON, b"[]"),
    (JSON, b"[" * 100_000),
    (JSON, b'{"resourceSpans": {}}'),
    (JSON, b'{"resourceSpans": [1]}'),
    (JSON, (TEXT % '{"traceId": "xyz"}').encode()),
    (JSON, (TEXT % NESTED).encode()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "body"), MALFORMED, ids=[f"{h['content-type'][12:]} {b[-40:]!r}" for h, b in MALFORMED]
)
def test_what_is_malformed_is_refused_for_good(server: Any, headers: dict[str, str], body: bytes) -> None:
    answer = server.client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == headers["content-type"]
    code, message = status_of(answer)
    assert code == 3 and message.startswith("not an OTLP trace request: ")
    assert server.spans() == []


def test_the_place_of_a_mistake_is_named(server: Any) -> None:
    answer = server.client.post("/v1/traces", content=TEXT % '{"status": {"code": "bad"}}', headers=JSON)
    assert "resourceSpans[0].scopeSpans[0].spans[0].status.code: not a valid enum" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", PROTOBUF, 405),
        ("PUT", JSON, 405),
        ("POST", {}, 415),
        ("POST", {"content-type": "text/plain"}, 415),
        ("POST", {**PROTOBUF, "content-encoding": "zstd"}, 415),
    ],
    ids=str,
)
def test_other_ways_of_sending_are_refused(server: Any, method: str, headers: dict[str, str], status: int) -> None:
    answer = server.client.request(method, "/v1/traces", headers=headers, content=b"")
    assert answer.status_code == status
    assert status_of(answer)[1]
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no gzip", 400),
        (gzip.compress(ONE.SerializeToString())[:-4], 400),
        (gzip.compress(b"") * 100, 400),
        (gzip.compress(bytes(10_000_000)), 413),
        (gzip.compress(b"x") * 3, 400),
    ],
    ids=["none", "cut", "many members", "bomb", "no request"],
)
def test_hostile_compression_is_refused(start: Callable[..., Any], body: bytes, status: int) -> None:
    server = start(max_body_bytes=100_000)
    answer = server.client.post("/v1/traces", content=body, headers={**PROTOBUF, "content-encoding": "gzip"})
    assert answer.status_code == status
    assert status_of(answer)[1]


def test_large_bodies_are_refused_before_they_are_read(start: Callable[..., Any]) -> None:
    server = start(max_body_bytes=1000)
    assert server.client.post("/v1/traces", content=b"x" * 1001, headers=PROTOBUF).status_code == 413
    chunked = server.client.post("/v1/traces", content=iter([b"x" * 600, b"x" * 600]), headers=PROTOBUF)
    assert chunked.status_code == 413
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n")  # fmt: skip
        assert b" 413 " in connection.recv(4096)


def test_a_body_that_does_not_come_keeps_nothing_busy_for_ever(start: Callable[..., Any]) -> None:
    server = start(read_seconds=0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{")  # fmt: skip
        assert b" 408 " in connection.recv(4096)
    assert server.client.post("/v1/traces", content=b"{}", headers=JSON).status_code == 200


def test_too_much_at_once_is_to_be_sent_again_later(start: Callable[..., Any]) -> None:
    server = start(max_body_bytes=100, bytes_per_second=1)
    body = request_of((b"t" * 16, b"s" * 8), service="").SerializeToString()
    answers = [server.client.post("/v1/traces", content=body, headers=PROTOBUF) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200, 429}
    late = answers[-1]
    assert int(late.headers["retry-after"]) >= 1 and status_of(late)[0] == 8
    assert len(server.spans()) == sum(answer.status_code == 200 for answer in answers)


def test_a_full_disk_is_to_be_sent_again_later(start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    server = start()

    def append(request: bytes) -> None:
        raise SpoolError("the spool is on a full disk: make room")

    monkeypatch.setattr(server.receiver._spool, "append", append)
    answer = server.client.post("/v1/traces", content=ONE.SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, status_of(answer)) == (503, (14, "the spool is on a full disk: make room"))
    assert answer.headers["retry-after"]


def test_our_own_exporter_is_understood_too(start: Callable[..., Any]) -> None:
    import fasttrace
    from fasttrace.export import OTLPExporter

    server = start()
    exporter = OTLPExporter(f"{server.url}/v1/traces", compression="gzip")
    provider = fasttrace.TracerProvider(service_name="ours", exporter=exporter)
    with provider.get_tracer("x").start_as_current_span("work"):
        pass
    assert provider.shutdown(timeout=60)
    assert [span.name for span in server.spans()] == ["work"]


def test_the_receiver_counts_what_it_did(start: Callable[..., Any]) -> None:
    server = start()
    request = request_of((b"t" * 16, b"s" * 8), (b"", b"s" * 8)).SerializeToString()
    server.client.post("/v1/traces", content=request, headers=PROTOBUF)
    server.client.post("/v1/traces", content=b"\xff", headers=PROTOBUF)
    counts = {"requests": 2, "refused_requests": 1, "accepted_spans": 1, "rejected_spans": 1}
    assert server.get("/api/health")["receiver"] == counts


def test_deflate_is_zlib() -> None:
    from fasttrace.local.server.receiver import _unpack

    assert _unpack(zlib.compress(b"abc"), "deflate", 10) == b"abc"
    assert json.loads(_unpack(gzip.compress(b"{}") + gzip.compress(b" "), "gzip", 10)) == {}
