"""The OpenTelemetry Collector takes what we send by every way, and understands of it what was recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import telling
import trustme
from otlp_json import attributes_of, spans_of, wait_for
from recipes import _running
from recipes._kit import OTLP_RECEIVER
from succeeding import succeed

from fasttrace import StatusCode

HERE = Path(__file__).parent
# opentelemetry-proto, SpanFlags: sampled, of a random trace id, and that the parent is, or is not, of another process.
LOCAL_PARENT, REMOTE_PARENT = 0x103, 0x301

CONFIG = (
    OTLP_RECEIVER
    + """\
exporters:
  file:
    path: spans.json
    flush_interval: 50ms
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
"""
)
TLS = "\n        tls: {cert_file: CERTIFICATES/server.pem, key_file: CERTIFICATES/server.key, client_ca_file: CERTIFICATES/ca.pem}"
PROTOCOLS = {"http": "http/protobuf", "grpc": "grpc"}


def _tell(endpoint: str, protocol: str, impl: str, **variables: str) -> dict[str, Any]:
    """What ``telling.py`` has recorded and sent."""
    environment = {
        **os.environ,
        "FASTTRACE_IMPL": impl,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": PROTOCOLS[protocol],
        **variables,
    }
    run = succeed([sys.executable, str(HERE / "telling.py")], env=environment)
    told: dict[str, Any] = json.loads(run.stdout)
    assert told["implementation"] == impl
    return told


def _check_accounts(told: dict[str, Any]) -> None:
    """All is delivered: an answer with an empty ``partial_success``, as the Collector gives it, rejects nothing."""
    stats = told["stats"]
    assert told["delivered"] is True
    assert (stats["exported"], stats["spooled"], stats["last_error"]) == (len(telling.SPANS), 0, None)
    assert set(stats["dropped"].values()) == {0}


def _check(spans: list[dict[str, Any]], told: dict[str, Any]) -> None:
    """Every field of every span is the one that was recorded, and there is no field besides."""
    found = {span["spanId"]: span for span in spans}
    assert len(found) == len(telling.SPANS)
    for index, said in enumerate(telling.SPANS):
        trace_id, span_id = told["ids"][index]
        span = dict(found[span_id])
        assert span.pop("spanId") == span_id
        assert span.pop("traceId") == trace_id
        parent = told["ids"][said["parent"]][1] if "parent" in said else "a7" * 8 if "remote" in said else ""
        assert span.pop("parentSpanId", "") == parent
        assert span.pop("traceState", "") == (telling.REMOTE["tracestate"] if "remote" in said else "")
        assert trace_id == ("4b" * 16 if "remote" in said else trace_id)
        assert span.pop("flags") == (REMOTE_PARENT if "remote" in said else LOCAL_PARENT)
        assert span.pop("name") == said["name"]
        assert span.pop("kind") == said["kind"].value + 1
        assert span.pop("startTimeUnixNano") == str(telling.start_ns(index))
        assert span.pop("endTimeUnixNano") == str(telling.end_ns(index))
        assert _same(attributes_of(span.pop("attributes", [])), said.get("attributes", {}))
        events = [
            (event["name"], int(event["timeUnixNano"]), attributes_of(event.get("attributes", [])))
            for event in span.pop("events", [])
        ]
        assert events == [
            (name, telling.start_ns(index) + offset, attributes) for name, offset, attributes in said.get("events", [])
        ]
        links = [
            (link["traceId"], link["spanId"], attributes_of(link.get("attributes", [])), link["flags"])
            for link in span.pop("links", [])
        ]
        assert links == [(*told["ids"][to], attributes, LOCAL_PARENT) for to, attributes in said.get("links", [])]
        code, description = said.get("status", (None, ""))
        expected = {"code": code.value, "message": description} if code else {}
        assert span.pop("status", {}) == {key: value for key, value in expected.items() if value}
        scope = span.pop("scope")
        assert (scope["name"], scope["version"]) == telling.SCOPE[:2]
        assert attributes_of(scope["attributes"]) == telling.SCOPE[3]
        assert span.pop("resource") == told["resource"]
        assert span.pop("schemas") == ("", telling.SCOPE[2])
        assert span == {}


def _same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Equal in value, type and order."""
    return [(key, type(value), value) for key, value in found.items()] == [
        (key, type(value), value) for key, value in expected.items()
    ]


@pytest.fixture(scope="module")
def collector(start_shared_peer: Any) -> Any:
    return start_shared_peer("otelcol", config=CONFIG)


@pytest.mark.engines(
    "otelcol", tested="OTLP/HTTP and OTLP/gRPC, plain and gzip: every field as it was recorded, read back as OTLP/JSON"
)
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_field_arrives_as_it_was_recorded(collector: Any, protocol: str, compression: str, impl: str) -> None:
    before = len(spans_of(collector.folder / "spans.json"))
    endpoint = f"http://127.0.0.1:{collector.ports[protocol]}"
    told = _tell(endpoint, protocol, impl, OTEL_EXPORTER_OTLP_COMPRESSION=compression)
    _check_accounts(told)
    spans = wait_for(collector.folder / "spans.json", before + len(telling.SPANS))
    _check(spans[before:], told)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority's certificate, and those of a server and a client with their keys."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, certificate in (
        ("server", authority.issue_cert("127.0.0.1")),
        ("client", authority.issue_cert("client")),
    ):
        certificate.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        certificate.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    return folder


@pytest.fixture(scope="module")
def guarded(start_shared_peer: Any, certificates: Path) -> Any:
    tls = TLS.replace("CERTIFICATES", str(certificates))
    config = CONFIG.replace("PORT_GRPC}", f"PORT_GRPC}}{tls}").replace("PORT_HTTP}", f"PORT_HTTP}}{tls}")
    return start_shared_peer("otelcol", config=config)


@pytest.mark.engines(
    "otelcol", tested="mutual TLS on both transports; without a client's certificate all waits on disk"
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mutual_tls(guarded: Any, certificates: Path, protocol: str, impl: str, tmp_path: Path) -> None:
    before = len(spans_of(guarded.folder / "spans.json"))
    endpoint = f"https://127.0.0.1:{guarded.ports[protocol]}"
    server = {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates / "ca.pem"),
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
        "FASTTRACE_UNDELIVERED_DIR": str(tmp_path),
    }
    client = {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(certificates / "client.pem"),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(certificates / "client.key"),
        "OTEL_EXPORTER_OTLP_TIMEOUT": "10000",
    }
    refused = _tell(endpoint, protocol, impl, **server)
    assert (refused["stats"]["exported"], refused["stats"]["spooled"]) == (0, len(telling.SPANS))
    assert len(spans_of(guarded.folder / "spans.json")) == before
    told = _tell(endpoint, protocol, impl, **{**server, **client})
    # It delivers what the one before has left, too.
    spans = wait_for(guarded.folder / "spans.json", before + 2 * len(telling.SPANS))[before:]
    ids = {span_id for _, span_id in told["ids"]}
    _check([span for span in spans if span["spanId"] in ids], told)
    _check([span for span in spans if span["spanId"] not in ids], refused)


@pytest.mark.engines(
    "otelcol", tested="Zipkin's JSON by its receiver: what Zipkin has a place for is as it was recorded"
)
def test_zipkin_s_json_is_read_by_the_collector(start_peer: Any, impl: str) -> None:
    otlp = CONFIG[CONFIG.index("  otlp:") : CONFIG.index("exporters:")]
    config = CONFIG.replace(otlp, "  zipkin:\n    endpoint: 127.0.0.1:${env:PORT_HTTP}\n").replace("[otlp]", "[zipkin]")
    collector = start_peer(
        "otelcol", config=config, ports={"grpc": (port := _running.free_ports(["one"])["one"]), "http": port}
    )
    told = _tell(
        "http://127.0.0.1:9",
        "http",
        impl,
        OTEL_TRACES_EXPORTER="zipkin",
        OTEL_EXPORTER_ZIPKIN_ENDPOINT=f"http://127.0.0.1:{collector.port}/api/v2/spans",
    )
    _check_accounts(told)
    found = {span["spanId"]: span for span in wait_for(collector.folder / "spans.json", len(telling.SPANS))}
    for index, said in enumerate(telling.SPANS):
        trace_id, span_id = told["ids"][index]
        span = found[span_id]
        parent = told["ids"][said["parent"]][1] if "parent" in said else "a7" * 8 if "remote" in said else ""
        assert (span["traceId"], span.get("parentSpanId", "")) == (trace_id, parent)
        # INTERNAL is no kind of Zipkin's.
        assert (span["name"], span.get("kind", 1)) == (said["name"], said["kind"].value + 1)
        start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
        assert start == _microseconds(telling.start_ns(index)) * 1000
        assert (end - start) // 1000 == max(1, _microseconds(telling.end_ns(index) - telling.start_ns(index)))
        assert span["resource"]["service.name"] == "telling"
        assert span["scope"]["name"] == telling.SCOPE[0]
        attributes = attributes_of(span.get("attributes", []))
        texts = {key: value for key, value in said.get("attributes", {}).items() if isinstance(value, str)}
        assert texts == {key: attributes[key] for key in texts}
        assert len(span.get("events", [])) == len(said.get("events", []))
        # Its receiver has names of its own for otel.status_code, and knows errors by their tag.
        failed = said.get("status", (None, ""))[0] is StatusCode.ERROR
        assert span.get("status", {}).get("code", 0) == (StatusCode.ERROR.value if failed else 0)


def _microseconds(ns: int) -> int:
    """The nearest whole number of them."""
    return (ns + 500) // 1000


LIMITED = (
    OTLP_RECEIVER
    + """\
processors:
  memory_limiter:
    check_interval: 20ms
    limit_mib: 60
    spike_limit_mib: 10
    min_gc_interval_when_soft_limited: 100ms
exporters:
  otlp_http:
    endpoint: http://127.0.0.1:${env:PORT_BACKEND}
    compression: none
    retry_on_failure: {initial_interval: 200ms, max_interval: 200ms}
    sending_queue: {queue_size: 100000}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter]
      exporters: [otlp_http]
"""
)


@pytest.mark.engines(
    "otelcol", tested="back-pressure: what the memory limiter refuses is sent again, nothing is lost or there twice"
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_memory_limiter_refuses_is_sent_again(
    start_peer: Any, protocol: str, impl: str, tmp_path: Path
) -> None:
    limited = start_peer("otelcol", config=LIMITED, more_ports=["backend"])
    flood = subprocess.Popen(
        [sys.executable, str(HERE / "flooding.py"), "4000"],
        env={
            **os.environ,
            "FASTTRACE_IMPL": impl,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{limited.ports[protocol]}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": PROTOCOLS[protocol],
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3000",
            "FASTTRACE_UNDELIVERED_DIR": str(tmp_path),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert flood.stdout is not None
        refusal = flood.stdout.readline()
        assert "data refused due to high memory usage" in refusal
        backend = start_peer("otelcol", config=CONFIG, ports={"http": limited.ports["backend"]})
        output, _ = flood.communicate("the backend is there\n", timeout=120)
    finally:
        flood.kill()
        flood.wait()
    told = json.loads(output)
    assert told["stats"]["exported"] == len(told["ids"]) == 4000
    assert set(told["stats"]["dropped"].values()) == {told["stats"]["spooled"]} == {0}
    if protocol == "http":  # UNAVAILABLE may as well be a broken connection
        assert told["stats"]["retried_ambiguous"] == 0
    spans = wait_for(backend.folder / "spans.json", len(told["ids"]))
    assert sorted(span["spanId"] for span in spans) == sorted(told["ids"])
