"""What ``fasttrace collector-config`` prints, started for real: a load balancer before two samplers, and two services."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from otlp_json import spans_of

import fasttrace
from fasttrace.export import OTLPExporter

HERE = Path(__file__).parent
TRACES = 2000
SPANS_OF_A_TRACE = 4
RULES = "latency=0.5s,error,baseline=10%"
BASELINE = 0.1

# One machine has all of it here, so addresses are the loopback's, and nobody waits for half a minute.
HERE_AND_NOW = """\
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "127.0.0.1:${env:PORT_GRPC}"}
      http: {endpoint: "127.0.0.1:${env:PORT_HTTP}"}
service:
  telemetry: {metrics: {level: none}}
"""
SOON = "processors: {tail_sampling: {decision_wait: 3s}}\n"

# A receiver and a file for each of the samplers, to know which of them has kept what.
BACKEND = """\
receivers:
  otlp/one: {protocols: {grpc: {endpoint: "127.0.0.1:${env:PORT_GRPC}"}}}
  otlp/two: {protocols: {http: {endpoint: "127.0.0.1:${env:PORT_HTTP}"}}}
exporters:
  file/one: {path: one.json}
  file/two: {path: two.json}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces/one: {receivers: [otlp/one], exporters: [file/one]}
    traces/two: {receivers: [otlp/two], exporters: [file/two]}
"""


def _printed(*arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "fasttrace", "collector-config", *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout


def _sampler(start_peer: Any, endpoint: str) -> Any:
    config = _printed("--tier", "sampler", "--tail", RULES, "--endpoint", endpoint)
    return start_peer("otelcol", config=config, overlay=HERE_AND_NOW + SOON)


@pytest.mark.engines(
    "otelcol",
    tested="what `fasttrace collector-config` prints: one load balancer, two tail samplers; of 2,000 traces across two "
    "services all errors and slow ones are kept whole, the rest at its ratio, none is split",
)
def test_errors_and_slow_traces_are_kept_whole_and_the_rest_at_its_ratio(start_peer: Any, tmp_path: Path) -> None:
    backend = start_peer("otelcol", config=BACKEND)
    samplers = [
        _sampler(start_peer, f"127.0.0.1:{backend.ports['grpc']}"),
        _sampler(start_peer, f"http://127.0.0.1:{backend.ports['http']}"),
    ]
    hosts = ",".join(f"127.0.0.1:{sampler.ports['grpc']}" for sampler in samplers)
    config = _printed("--tier", "load-balancer", "--samplers", hosts)
    balancer = start_peer("otelcol", config=config, overlay=HERE_AND_NOW)

    kinds = _trade(balancer, tmp_path)
    deadline = time.monotonic() + 60
    certain = SPANS_OF_A_TRACE * (len(kinds["failed"]) + len(kinds["slow"]))
    while _counted(backend, "one").total() + _counted(backend, "two").total() < certain and time.monotonic() < deadline:
        time.sleep(0.1)
    # Each sends on what it has before it ends, and the samplers decide what they have not decided yet.
    for peer in (balancer, *samplers, backend):
        peer.stop()

    one, two = _counted(backend, "one"), _counted(backend, "two")
    assert not set(one) & set(two), "a trace was split"
    assert min(len(one), len(two)) > (len(one) + len(two)) / 4, "one sampler has nearly all of them"
    kept = one | two
    assert set(kept.values()) == {SPANS_OF_A_TRACE}
    for kind in ("failed", "slow"):
        assert not kinds[kind] - set(kept), f"{kind} traces were not kept"
    assert len(kinds["failed"]) == TRACES // 10 and len(kinds["slow"]) == TRACES // 20
    others = len(kinds["other"] & set(kept))
    expected = len(kinds["other"]) * BASELINE
    assert abs(others - expected) < 6 * (expected * (1 - BASELINE)) ** 0.5
    assert set(kept) <= set().union(*kinds.values())


def _counted(backend: Any, name: str) -> Counter[str]:
    """How many spans of each trace one of the samplers has kept."""
    return Counter(span["traceId"] for span in spans_of(backend.folder / f"{name}.json"))


def _trade(balancer: Any, folder: Path) -> dict[str, set[str]]:
    """Ids of the traces by how they went; the front sends by HTTP, the back by gRPC, each with another core."""

    def start(role: str, impl: str, protocol: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(HERE / "trading.py"), role, *arguments, str(folder / role)],
            env={
                **os.environ,
                "FASTTRACE_IMPL": impl,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{balancer.ports[protocol]}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if protocol == "grpc" else "http/protobuf",
                "FASTTRACE_UNDELIVERED_DIR": "none",
            },
            **options,
        )

    front = start("front", "cython", "http", str(TRACES), stdout=subprocess.PIPE)
    back = start("back", "python", "grpc", stdin=front.stdout)
    assert front.stdout is not None
    front.stdout.close()
    try:
        assert (front.wait(120), back.wait(120)) == (0, 0)
    finally:
        for process in (front, back):
            process.kill()
            process.wait()
    assert (folder / "front").read_text() == (folder / "back").read_text()
    kinds: dict[str, set[str]] = {}
    for line in (folder / "front").read_text().splitlines():
        kind, trace_id = line.split()
        kinds.setdefault(kind, set()).add(trace_id)
    return kinds


EVERY_RULE = (
    "latency=2s,error,http_5xx,exception,attribute=tier:gold|silver,attribute=flag:true,attribute=count:1..5,"
    'attribute=score:..-2.5,attribute=seen,attribute=mixed:7|"eight"|false,attribute="odd \\"key\\", ü":x,'
    "rare=10/60s,percentile=0.99,baseline=0%"
)


@pytest.mark.engines(
    "otelcol", tested="every tail rule, as `fasttrace collector-config` puts it, keeps what it names and nothing else"
)
def test_every_rule_keeps_the_traces_that_it_names(start_peer: Any) -> None:
    backend = start_peer("otelcol", config=BACKEND)
    endpoint = f"127.0.0.1:{backend.ports['grpc']}"
    config = _printed("--tier", "sampler", "--tail", EVERY_RULE, "--endpoint", endpoint)
    sampler = start_peer("otelcol", config=config, overlay=HERE_AND_NOW + SOON)
    exporter = OTLPExporter(f"http://127.0.0.1:{sampler.ports['http']}/v1/traces")
    provider = fasttrace.TracerProvider(service_name="shop", exporter=exporter, undelivered_dir="none")
    wanted = _send(provider.get_tracer("tests"))
    assert provider.shutdown(timeout=30)
    for peer in (sampler, backend):
        peer.stop()
    kept = {span["name"] for span in spans_of(backend.folder / "one.json")}
    assert kept == {part for name in wanted for part in (name, f"child of {name}")}
    assert "deprecated" not in sampler.log()


def _send(tracer: fasttrace.Tracer) -> set[str]:
    """Traces of two spans, and the names of those that a rule asks for."""
    wanted = set()
    start = time.time_ns() - 10_000_000_000

    def trace(name: str, keep: bool, seconds: float = 0.1, **options: Any) -> None:
        root = tracer.start_span(name, context=fasttrace.Context(), start_time=start)
        child = tracer.start_span(f"child of {name}", context=root, start_time=start, attributes=options.get("has"))
        if options.get("error"):
            child.set_status(fasttrace.StatusCode.ERROR)
        if options.get("raised"):
            child.record_exception(ValueError("x"))
        child.end(start + int(seconds * 1e9))
        root.end(start + int(seconds * 1e9))
        if keep:
            wanted.add(name)

    trace("slow", True, seconds=2.5)
    trace("not slow", False, seconds=1.9)
    trace("failed", True, error=True)
    trace("raised", True, raised=True)
    for key, keep, refuse in (
        ("http.response.status_code", (500, 599), (404, 600)),
        ("tier", ("gold", "silver"), ("tin", 5)),
        ("flag", (True,), (False, "true")),
        ("count", (1, 5), (0, 6, "3")),
        ("score", (-2.5, -7), (-2.4, 0)),
        ("seen", (0, "", False), ()),
        ("mixed", (7, "eight", False), (8, "7", True)),
        ('odd "key", ü', ("x",), ("y",)),
        ("fasttrace.keep_reason", ("latency",), ()),
    ):
        for value in (*keep, *refuse):
            trace(f"{key}={value!r}", value in keep and type(value) in map(type, keep), has={key: value})
    return wanted
