"""Decoders of OTLP that others wrote, in Rust and with the official classes: what arrives is what was traced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import samples
from google.protobuf import json_format

pytest.importorskip("grpc")

from collector import Collector

import fasttrace
from fasttrace.export import OTLPExporter, OTLPGrpcExporter

TRANSPORTS = ("http", "http gzip", "grpc", "grpc gzip")


@pytest.fixture(scope="module")
def behind_rotel() -> Iterator[Collector]:
    """Who reads what rotel has understood and encoded anew, in messages as large as it likes."""
    collector = Collector(options=[("grpc.max_receive_message_length", -1)])
    yield collector
    collector.stop()


@pytest.fixture(scope="module")
def rotel(start_shared_peer: Callable[..., Any], behind_rotel: Collector) -> Any:
    return start_shared_peer("rotel", hand_on_to=behind_rotel.endpoint)


@pytest.fixture(scope="module")
def ddapm(start_shared_peer: Callable[..., Any]) -> Any:
    return start_shared_peer("ddapm")


class Shown:
    """What ddapm-test-agent shows of what it got."""

    def __init__(self, peer: Any) -> None:
        self.base = f"http://127.0.0.1:{peer.ports['http']}/test/session"

    def __enter__(self) -> Shown:
        assert httpx.get(f"{self.base}/clear", trust_env=False).status_code == 200
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def requests(self) -> list[samples.ExportTraceServiceRequest]:
        answer = httpx.get(f"{self.base}/traces", trust_env=False)
        return [json_format.ParseDict(item, samples.ExportTraceServiceRequest()) for item in answer.json()]


def exporter(peer: Any, transport: str) -> Any:
    base = f"http://127.0.0.1:{peer.ports[transport.removesuffix(' gzip')]}"
    compression = "gzip" if transport.endswith("gzip") else "none"
    if transport.startswith("grpc"):
        return OTLPGrpcExporter(base, compression=compression)
    return OTLPExporter(f"{base}/v1/traces", compression=compression)


def provider(peer: Any, transport: str, undelivered: Path, **options: Any) -> fasttrace.TracerProvider:
    return fasttrace.TracerProvider(
        exporter=exporter(peer, transport),
        undelivered_dir=str(undelivered),
        resource=samples.RESOURCE,
        schedule_delay=60,
        **options,
    )


def spans_of(requests: list[samples.ExportTraceServiceRequest]) -> list[Any]:
    return [
        span
        for request in requests
        for part in request.resource_spans
        for scope in part.scope_spans
        for span in scope.spans
    ]


@pytest.mark.engines("rotel", tested="OTLP, every field; HTTP and gRPC, plain and gzip")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rotel_understands_every_field(rotel: Any, behind_rotel: Collector, transport: str, tmp_path: Path) -> None:
    behind_rotel.taken.clear()
    exporter(rotel, transport).probe(10)
    tracing = provider(rotel, transport, tmp_path)
    samples.send(tracing)
    tracing.shutdown(10)
    deadline = time.monotonic() + 60
    while len(behind_rotel.spans()) < samples.COUNT and time.monotonic() < deadline:
        time.sleep(0.01)
    samples.check(samples.as_plain(behind_rotel.taken))


@pytest.mark.engines("ddapm", tested="OTLP, every field; HTTP and gRPC, plain and gzip")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_ddapm_understands_every_field(ddapm: Any, transport: str, tmp_path: Path) -> None:
    exporter(ddapm, transport).probe(10)
    with Shown(ddapm) as shown:
        tracing = provider(ddapm, transport, tmp_path)
        samples.send(tracing)
        tracing.shutdown(10)
        samples.check(samples.as_plain(shown.requests()))


def send_much(peer: Any, transport: str, megabytes: int, undelivered: Path) -> tuple[set[str], dict[str, Any]]:
    """One batch of so much text; the ids of its spans, and the accounts."""
    tracing = provider(peer, transport, undelivered, max_queue_bytes=64 << 20, max_batch_bytes=32 << 20)
    tracer = tracing.get_tracer("much")
    started = set()
    for number in range(megabytes * 8):
        span = tracer.start_span("much", attributes={"text": f"{number:07d} " * (1 << 14)})
        span.end()
        started.add(span.span_id_hex)
    assert tracing.flush(60), tracing.stats()
    stats = tracing.stats()
    tracing.shutdown(10)
    return started, stats


@pytest.mark.engines("rotel", tested="a batch above 4 MiB by gRPC, refused as OUT_OF_RANGE, arrives in parts")
def test_what_rotel_refuses_as_out_of_range_is_halved(rotel: Any, behind_rotel: Collector, tmp_path: Path) -> None:
    """It takes 4 MiB by gRPC and says OUT_OF_RANGE to more."""
    behind_rotel.taken.clear()
    started, stats = send_much(rotel, "grpc", 6, tmp_path)
    assert stats["exported"] == len(started) == stats["started"]
    assert stats["retried_ambiguous"] == 0
    deadline = time.monotonic() + 60
    while len(behind_rotel.spans()) < len(started) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sorted(span.span_id.hex() for span in behind_rotel.spans()) == sorted(started)


@pytest.mark.engines("ddapm", tested="a batch above 1 MiB by HTTP, refused with 413, arrives in parts")
def test_what_ddapm_refuses_with_413_is_halved(ddapm: Any, tmp_path: Path) -> None:
    """It takes 1 MiB by HTTP."""
    with Shown(ddapm) as shown:
        started, stats = send_much(ddapm, "http", 3, tmp_path)
        assert stats["exported"] == len(started) == stats["started"]
        assert stats["retried_ambiguous"] == 0
        assert sorted(span.span_id.hex() for span in spans_of(shown.requests())) == sorted(started)


@pytest.mark.engines("rotel", "ddapm", tested="a request that is no OTLP is refused, and not sent again")
@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_what_is_no_otlp_is_refused_for_good(rotel: Any, ddapm: Any, transport: str) -> None:
    """A request that was cut: both say so, and we neither send it again nor take it for delivered."""
    from fasttrace.export.base import Batch

    cut = Batch(b"\x0a\x7fnot all of it", 1)
    for peer in (rotel, ddapm):
        sender = exporter(peer, transport)
        with pytest.raises(fasttrace.ExportError) as caught:
            sender.export(cut)
        assert not caught.value.retryable, caught.value
        sender.shutdown(1)
