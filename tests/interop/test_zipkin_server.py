"""The Zipkin server: what we export, upload and carry in B3 headers is read back by its API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import samples

import fasttrace
from fasttrace.export import SpoolExporter, ZipkinExporter
from fasttrace.local.exchange import zipkin as zipkin_json
from fasttrace.propagation import get_propagator

STARTED_MS = samples.START_NS // 1_000_000


@pytest.fixture(scope="module")
def zipkin(start_shared_peer: Callable[..., Any]) -> Iterator[httpx.Client]:
    """Its API."""
    peer = start_shared_peer("zipkin")
    with httpx.Client(base_url=f"http://127.0.0.1:{peer.port}/api/v2", trust_env=False, timeout=30) as client:
        yield client


def provider(zipkin: httpx.Client, undelivered: Path, **options: Any) -> fasttrace.TracerProvider:
    exporter = ZipkinExporter(f"{zipkin.base_url}spans", compression=options.pop("compression", "none"))
    return fasttrace.TracerProvider(exporter=exporter, undelivered_dir=str(undelivered), schedule_delay=60, **options)


def ask(zipkin: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = zipkin.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.engines(
    "zipkin", tested="v2 JSON, plain and gzip: kinds, parents, tags, annotations, errors, found by its API"
)
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_is_exported_is_what_the_server_answers(zipkin: httpx.Client, tmp_path: Path, compression: str) -> None:
    service = f"shop-{compression}"
    tracing = provider(
        zipkin, tmp_path, compression=compression, resource={**samples.RESOURCE, "service.name": service}
    )
    tracing.exporter.probe(10)
    samples.send(tracing)
    stats = tracing.stats()
    assert (stats["exported"], stats["last_error"]) == (samples.COUNT, None)
    tracing.shutdown(10)

    trace_id, parent_id = samples.PARENT["traceparent"].split("-")[1:3]
    spans = {
        span["name"]: span
        for span in ask(zipkin, f"trace/{trace_id}")
        if span["localEndpoint"]["serviceName"] == service
    }
    assert {name: span.get("kind") for name, span in spans.items()} == {
        "get /ünï": "SERVER",  # the server writes names in lower case
        "client": "CLIENT",
        "producer": "PRODUCER",
        "consumer": "CONSUMER",
        "internal": None,
    }
    server = spans.pop("get /ünï")
    assert server["parentId"] == parent_id
    assert {span["parentId"] for span in spans.values()} == {server["id"]}
    assert {span["traceId"] for span in (server, *spans.values())} == {trace_id}
    assert (server["timestamp"], server["duration"]) == (samples.START_NS // 1000, 1_234_568)
    assert {span["duration"] for span in spans.values()} == {1}
    assert sorted(note["value"] for note in server["annotations"]) == [
        "",
        '{"cache miss": {"key": "AQ==", "tries": 2}}',
    ]
    tags = server["tags"]
    assert tags["error"] == "out of stock" and tags["otel.status_code"] == "ERROR"
    assert spans["client"]["tags"]["otel.status_code"] == "OK"
    assert (tags["otel.scope.name"], tags["otel.scope.version"]) == ("interop", "2.1")
    assert (tags["service.version"], tags["replicas"]) == ("1.0", "3")
    assert set(samples.VALUES) <= set(tags)
    for key, value in samples.VALUES.items():
        if isinstance(value, str):
            assert tags[key] == value
        elif isinstance(value, bytes):
            assert b64decode(tags[key]) == value
        elif key != "map":
            assert samples.typed(json.loads(tags[key])) == samples.typed(value), key
    assert tags["map"] == '{"inner":{"deep":[1,"two"]},"none":null,"infinite":"-Infinity"}'

    around = {"serviceName": service, "endTs": STARTED_MS + 10_000, "lookback": 60_000}
    found = ask(zipkin, "traces", annotationQuery="error and text.empty=", **around)
    assert [span["id"] for trace in found for span in trace if span["id"] == server["id"]] == [server["id"]]
    assert ask(zipkin, "traces", annotationQuery="error=nothing like it", **around) == []


@pytest.mark.engines("zipkin", tested="dependencies of two services and a remote one, from ids in one trace")
def test_the_services_and_who_calls_whom(zipkin: httpx.Client, tmp_path: Path) -> None:
    from fasttrace import SpanKind

    front = provider(zipkin, tmp_path / "front", service_name="front")
    back = provider(zipkin, tmp_path / "back", service_name="back")
    headers: dict[str, str] = {}
    with front.get_tracer("").start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"peer.service": "back"}):
        get_propagator("b3").inject(headers)
    context = get_propagator("b3").extract(headers)
    with back.get_tracer("").start_as_current_span("GET", context=context, kind=SpanKind.SERVER):
        query = {"peer.service": "orders-db"}
        back.get_tracer("").start_span("SELECT", kind=SpanKind.CLIENT, attributes=query).end()
    for tracing in (front, back):
        assert tracing.flush(10)
        tracing.shutdown(10)
    assert {"front", "back"} <= set(ask(zipkin, "services"))
    assert set(ask(zipkin, "spans", serviceName="back")) == {"get", "select"}
    assert ask(zipkin, "remoteServices", serviceName="back") == ["orders-db"]
    links = ask(zipkin, "dependencies", endTs=int(time.time() * 1000) + 60_000, lookback=600_000)
    found = {(link["parent"], link["child"]): link["callCount"] for link in links}
    assert found == {("front", "back"): 1, ("back", "orders-db"): 1}


@pytest.mark.engines("zipkin", tested="B3: 64-bit and 128-bit ids, a span id shared by client and server")
@pytest.mark.parametrize("trace_id", ["48485a3953bb6124", "463ac35c9f6413ad48485a3953bb6124"])
def test_a_trace_that_brave_began_goes_on_in_ours(zipkin: httpx.Client, tmp_path: Path, trace_id: str) -> None:
    """Its client and its server share a span id, as B3 asks; ours is a child of the server."""
    shared, ours_name = "a2fb4a1d1a96d312", "ours"
    theirs = [
        {"id": shared, "kind": "CLIENT", "name": "call", "localEndpoint": {"serviceName": "brave-client"}},
        {"id": shared, "kind": "SERVER", "shared": True, "localEndpoint": {"serviceName": "brave-server"}},
    ]
    body = [{"traceId": trace_id, "timestamp": STARTED_MS * 1000, "duration": 900, **span} for span in theirs]
    assert zipkin.post("spans", json=body).status_code == 202
    context = get_propagator("b3").extract({"b3": f"{trace_id}-{shared}-1"})
    tracing = provider(zipkin, tmp_path, service_name="ours")
    span = tracing.get_tracer("").start_span(ours_name, context=context, start_time=samples.START_NS)
    span.end(samples.START_NS + 500_000)
    assert tracing.flush(10)
    tracing.shutdown(10)

    trace = ask(zipkin, f"trace/{trace_id}")
    assert {item["traceId"] for item in trace} == {trace_id}
    (ours,) = (item for item in trace if item["localEndpoint"]["serviceName"] == "ours")
    assert (ours["id"], ours["parentId"]) == (span.span_id_hex, shared)
    assert len(trace) == 3

    read = {data.resource["service.name"]: data for data in zipkin_json.read(trace)}
    client, server, child = (read[name] for name in ("brave-client", "brave-server", "ours"))
    assert client.span_id != server.span_id == shared, "of two spans that share an id, the client gets another"
    assert (server.parent_span_id, child.parent_span_id) == (client.span_id, server.span_id)


class Back(BaseHTTPRequestHandler):
    """A service of ours behind Envoy."""

    server: Any

    def do_GET(self) -> None:
        context = get_propagator(self.server.propagator).extract(self.headers)
        with self.server.tracer.start_as_current_span("back", context=context, kind=fasttrace.SpanKind.SERVER):
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def back(zipkin: httpx.Client, tmp_path: Path) -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Back)
    server.tracing = provider(zipkin, tmp_path / "back", service_name="back")
    server.tracer = server.tracing.get_tracer("")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    server.tracing.shutdown(10)


@pytest.fixture
def envoy(start_peer: Callable[..., Any], zipkin: httpx.Client, back: Any) -> Any:
    config = Path(__file__).with_name("envoy_b3.yaml").read_text()
    return start_peer("envoy", config=config, ports={"back": back.server_port, "zipkin": zipkin.base_url.port})


@pytest.mark.engines(
    "zipkin", "envoy", tested="B3, single and multiple headers, through Envoy, which shares our span id"
)
def test_b3_headers_through_a_hop_that_speaks_nothing_else(
    zipkin: httpx.Client, envoy: Any, back: Any, tmp_path: Path
) -> None:
    front = provider(zipkin, tmp_path / "front", service_name="front")
    unsampled = provider(zipkin, tmp_path / "unsampled", service_name="front", sampler=0.0)
    for propagator in ("b3", "b3multi"):
        back.propagator = propagator
        ids = {}
        for tracing in (unsampled, front):
            headers: dict[str, str] = {}
            with tracing.get_tracer("").start_as_current_span("front", kind=fasttrace.SpanKind.CLIENT) as client:
                get_propagator(propagator).inject(headers)
                assert all("b3" in name.lower() for name in headers)
                answer = httpx.get(f"http://127.0.0.1:{envoy.port}/", headers=headers, trust_env=False)
            assert answer.status_code == 200
            assert tracing.flush(10) and back.tracing.flush(10)
            ids[tracing] = client
        client = ids[front]
        deadline = time.monotonic() + 60
        while len(trace := zipkin.get(f"trace/{client.trace_id_hex}").json()) < 3:
            assert time.monotonic() < deadline, trace
            time.sleep(0.02)
        spans = {span["localEndpoint"]["serviceName"]: span for span in trace}
        assert {name: span["kind"] for name, span in spans.items()} == {
            "front": "CLIENT",
            "envoy": "SERVER",
            "back": "SERVER",
        }
        assert spans["envoy"]["shared"] is True
        assert spans["front"]["id"] == spans["envoy"]["id"] == spans["back"]["parentId"] == client.span_id_hex
        read = {data.resource["service.name"]: data for data in zipkin_json.read(trace)}
        assert read["envoy"].parent_span_id == read["front"].span_id != read["envoy"].span_id
        assert read["back"].parent_span_id == read["envoy"].span_id
        assert zipkin.get(f"trace/{ids[unsampled].trace_id_hex}").status_code == 404
    for tracing in (front, unsampled):
        tracing.shutdown(10)


@pytest.mark.engines("zipkin", tested="`fasttrace export --format zipkin` uploaded, and what it answers imported")
def test_a_file_of_the_export_is_taken_and_comes_back(zipkin: httpx.Client, tmp_path: Path) -> None:
    spool, again, upload, download = (tmp_path / name for name in ("spool", "again", "up.json", "down.zipkin.json"))
    tracing = fasttrace.TracerProvider(exporter=SpoolExporter(str(spool)), service_name="uploaded")
    with tracing.get_tracer("library").start_as_current_span("request") as root:
        with tracing.get_tracer("library").start_as_current_span("query") as child:
            child.add_event("retry", {"attempt": 2})
            child.set_status(fasttrace.StatusCode.ERROR, "broken")
    tracing.shutdown(10)
    _fasttrace("export", "--format", "zipkin", "--output", str(upload), "--spool", str(spool))
    answer = zipkin.post("spans", content=upload.read_bytes(), headers={"content-type": "application/json"})
    assert answer.status_code == 202, answer.text

    trace = ask(zipkin, f"trace/{root.trace_id_hex}")
    found = {span["name"]: span for span in trace}
    assert found["request"]["id"] == root.span_id_hex == found["query"]["parentId"]
    assert found["query"]["tags"]["error"] == "broken"
    assert [note["value"] for note in found["query"]["annotations"]] == ['{"retry": {"attempt": 2}}']

    download.write_text(json.dumps(trace))
    _fasttrace("import", str(download), "--spool", str(again))
    shown = json.loads(_fasttrace("show", root.trace_id_hex, "--json", "--spool", str(again)))
    spans = {span["name"]: span for span in shown["spans"]}
    assert spans["query"]["parent_id"] == spans["request"]["span_id"] == root.span_id_hex


def _fasttrace(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fasttrace", *arguments], env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
