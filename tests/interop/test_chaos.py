"""Envoy between us and a receiver refuses, delays, cuts and lies at random: no span is lost without being counted.

CHAOS_SECONDS is how long; a minute is the full form.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytest.importorskip("grpc")

from collector import Collector
from recipes import _store

import fasttrace
from fasttrace.export import OTLPExporter, OTLPGrpcExporter, segments

SECONDS = float(os.environ.get("CHAOS_SECONDS", "10"))
CONFIG = Path(__file__).with_name("envoy_chaos.yaml")
EXPORT_SECONDS = 1.0
COLLECTOR = """\
receivers:
  otlp:
    protocols: {grpc: {endpoint: "127.0.0.1:${env:PORT_GRPC}"}, http: {endpoint: "127.0.0.1:${env:PORT_HTTP}"}}
exporters: {file: {path: spans.json, flush_interval: 50ms}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [file]}}
"""


class Sender:
    """Traces and exports to one endpoint, through several providers one after the other; all that it knows."""

    def __init__(self, endpoint: str, transport: str, undelivered: Path) -> None:
        self.endpoint, self.transport, self.undelivered = endpoint, transport, undelivered
        self.started: list[str] = []
        self.accounts: list[dict[str, Any]] = []
        self.random = Random(transport)
        self.provider = self._provide()

    def _provide(self) -> fasttrace.TracerProvider:
        exporter: Any = (
            OTLPGrpcExporter(self.endpoint, timeout=EXPORT_SECONDS)
            if self.transport == "grpc"
            else OTLPExporter(f"{self.endpoint}/v1/traces", timeout=EXPORT_SECONDS)
        )
        return fasttrace.TracerProvider(
            exporter=exporter,
            undelivered_dir=str(self.undelivered),
            service_name=self.transport,
            schedule_delay=0.02,
            max_batch_spans=50,
        )

    def load(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        tracer = self.provider.get_tracer("chaos")
        while time.monotonic() < end:
            for _ in range(self.random.randrange(1, 20)):
                with tracer.start_as_current_span("request") as span:
                    child = tracer.start_span("query", attributes={"size": "x" * self.random.randrange(500)})
                    child.end()
                self.started += (span.span_id_hex, child.span_id_hex)
            if self.random.random() < 0.02:
                self.provider.flush(0.2)
            time.sleep(self.random.uniform(0, 0.03))

    def end(self) -> None:
        """What is not delivered by now stays on disk."""
        self.provider.shutdown(1)
        self.accounts.append(self.provider.stats())

    def waiting(self) -> set[str]:
        """The spans on disk."""
        return {
            span.span_id.hex()
            for path in self.undelivered.glob("*/*.spool")
            for request, _ in segments.read(path, delivered=False)
            for part in ExportTraceServiceRequest.FromString(request).resource_spans
            for scope in part.scope_spans
            for span in scope.spans
        }

    def total(self, key: str) -> int:
        return sum(accounts[key] for accounts in self.accounts)

    @property
    def dropped(self) -> int:
        return sum(sum(item["dropped"].values()) + item["replay_dropped"] for item in self.accounts)


@pytest.fixture
def receiver(start_peer: Callable[..., Any]) -> Any:
    """The Collector where there is one, else rotel: its ports, and a function for the ids that it has."""
    if _store.reason_missing("otelcol") is None:
        peer = start_peer("otelcol", config=COLLECTOR)

        def ids() -> list[str]:
            return [
                span["spanId"]
                for line in (peer.folder / "spans.json").read_text().splitlines()
                for part in json.loads(line)["resourceSpans"]
                for scope in part["scopeSpans"]
                for span in scope["spans"]
            ]

        yield peer.ports, ids
        return
    behind = Collector()
    peer = start_peer("rotel", hand_on_to=behind.endpoint)
    yield peer.ports, lambda: [span.span_id.hex() for span in behind.spans()]
    behind.stop()


@pytest.mark.engines(
    "envoy", tested="503, 429, 502, resets, delays and gRPC codes at random, over HTTP and gRPC: all is accounted for"
)
def test_every_span_arrives_or_waits_or_is_counted(
    start_peer: Callable[..., Any], receiver: Any, tmp_path: Path
) -> None:
    ports, ids = receiver
    envoy = start_peer(
        "envoy",
        config=CONFIG.read_text(),
        more_ports=["grpc", "admin", "faults_http", "faults_grpc"],
        ports={"receiver_http": ports["http"], "receiver_grpc": ports["grpc"]},
    )
    senders = [
        Sender(f"http://127.0.0.1:{envoy.ports[transport]}", transport, tmp_path / transport)
        for transport in ("http", "grpc")
    ]
    _in_threads(lambda sender: sender.load(SECONDS / 2), senders)
    _in_threads(Sender.end, senders)
    assert any(sender.waiting() for sender in senders)
    _judge(senders, _settled(ids))

    # The next ones deliver, with theirs, what the first have left on disk.
    for sender in senders:
        sender.provider = sender._provide()
    _in_threads(lambda sender: sender.load(SECONDS / 2), senders)
    answer = httpx.post(f"http://127.0.0.1:{envoy.ports['admin']}/runtime_modify?chaos=0", trust_env=False)
    assert answer.text == "OK\n"
    for sender in senders:
        deadline = time.monotonic() + 60
        while sender.provider.stats()["undelivered"] or not sender.provider.flush(5):
            assert time.monotonic() < deadline, sender.provider.stats()
            time.sleep(0.05)
    _in_threads(Sender.end, senders)
    assert _judge(senders, _settled(ids)) > 0, "no answer was lost: this was no chaos"
    for sender in senders:
        assert sender.waiting() == set(), "what waits is delivered once the receiver is well"
        assert sender.accounts[1]["spooled"] == 0
    answers = {tuple(line.split()[:3]) for line in (envoy.folder / "answers").read_text().splitlines()}
    assert {code for protocol, code, _ in answers if protocol == "HTTP/1.1"} >= {"200", "429", "502", "503"}
    assert {code for protocol, _, code in answers if protocol == "HTTP/2"} >= {"0", "8", "14"}


def _in_threads(work: Callable[[Sender], None], senders: list[Sender]) -> None:
    threads = [threading.Thread(target=work, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _settled(ids: Callable[[], list[str]]) -> Counter[str]:
    """How often each span arrived, once no more do: what Envoy holds back is under way for less than a second."""
    before = -1
    while len(found := ids()) != before:
        before = len(found)
        time.sleep(0.7)
    return Counter(found)


def _judge(senders: list[Sender], arrived: Counter[str]) -> int:
    """How many arrived twice, or wait though they arrived."""
    again = 0
    assert set(arrived) <= {span_id for sender in senders for span_id in sender.started}
    for sender in senders:
        started, waiting = set(sender.started), sender.waiting()
        assert len(started) == len(sender.started) == sender.total("started")
        for accounts in sender.accounts:
            places = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")
            accounted = sum(accounts[place] for place in places) + sum(accounts["dropped"].values())
            assert accounts["started"] == accounted, accounts
        missing = started - set(arrived) - waiting
        unknown = sender.total("retried_ambiguous")
        assert len(missing) <= sender.dropped, "a span is lost, and not counted"
        # A receiver that has a batch may have its answer lost, and be asked again in vain.
        assert sender.dropped - len(missing) <= unknown, "a span that arrived is counted as dropped"
        twice = sum(arrived[span_id] - 1 for span_id in started if arrived[span_id]) + len(waiting & set(arrived))
        assert twice <= unknown, "a span arrived twice, and not counted"
        again += twice
    return again
