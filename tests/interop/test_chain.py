"""One request through proxies of others and services of ours: one trace, the right parents, all that it carries.

curl -> Caddy, Traefik or Node with OpenTelemetry's SDK -> ASGI under uvicorn -> WSGI under gunicorn -> Envoy -> a worker. All of them export to one receiver.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("grpc")
pytest.importorskip("gunicorn")
if shutil.which("curl") is None:
    pytest.skip("no curl here", allow_module_level=True)

from collector import Collector
from programs import Program
from recipes import _running

HERE = Path(__file__).parent
PARENT_ID = "b7ad6b7169203331"
CARRIED = {"tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "baggage": "user=alice,plan=gold"}
CADDY = """
http://127.0.0.1:$http {
    tracing {
        span "caddy"
    }
    reverse_proxy 127.0.0.1:$next
}
"""
TRAEFIK = """
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: WARN}
entryPoints: {web: {address: "127.0.0.1:$http"}}
providers: {file: {filename: "$work/routes.yaml"}}
tracing: {serviceName: traefik, otlp: {grpc: {endpoint: "127.0.0.1:$otlp", insecure: true}}}
"""
ROUTES = """
http:
  routers: {all: {rule: "PathPrefix(`/`)", service: next}}
  services: {next: {loadBalancer: {servers: [{url: "http://127.0.0.1:%d"}]}}}
"""


class Chain:
    """The processes behind the front, and what they export."""

    def __init__(self, collector: Collector, port: int) -> None:
        self.collector, self.port = collector, port

    def spans(self, trace_id: str) -> dict[str, tuple[str, Any]]:
        """Service and span by span id, of one trace."""
        return {
            span.span_id.hex(): (_service(part.resource), span)
            for request in list(self.collector.taken)
            for part in request.resource_spans
            for scope in part.scope_spans
            for span in scope.spans
            if span.trace_id.hex() == trace_id
        }

    def path(self, trace_id: str, root: str, services: set[str]) -> list[tuple[str, Any]]:
        """From the worker's span up to the one whose parent is ``root``: all that there is of the trace."""
        deadline = time.monotonic() + 60
        while True:
            spans = self.spans(trace_id)
            path, parent = [], next((span_id for span_id, span in spans.items() if span[0] == "worker"), "")
            while parent in spans:
                path.append(spans.pop(parent))
                parent = path[-1][1].parent_span_id.hex()
            if parent == root and not spans and {service for service, _ in path} == services:
                return path
            assert time.monotonic() < deadline, (path, "beside:", spans)
            time.sleep(0.02)


def _service(resource: Any) -> str:
    return next(pair.value.string_value for pair in resource.attributes if pair.key == "service.name")


@pytest.fixture(scope="module")
def chain(start_shared_peer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """All that comes behind the first proxy."""
    folder = tmp_path_factory.mktemp("chain")
    collector = Collector()
    ports = _running.free_ports(["asgi", "wsgi", "worker"])
    programs: list[Program] = []

    def run(service: str, command: list[str], **variables: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        environment = {
            **kept,
            "OTEL_SERVICE_NAME": service,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "FASTTRACE_UNDELIVERED_DIR": str(folder),
            **variables,
        }
        programs.append(Program(command, ports[service], environment, HERE / "hops", folder / f"{service}.log"))

    traced = [sys.executable, "-m", "fasttrace", "run", "--", sys.executable, "-m"]
    try:
        run("worker", [sys.executable, "hop_worker.py"], PORT=str(ports["worker"]))
        envoy = start_shared_peer(
            "envoy",
            config=(HERE / "envoy_hop.yaml").read_text(),
            ports={"worker": ports["worker"], "otlp": collector.port},
        )
        gunicorn = ["gunicorn", "hop_wsgi:app", "--bind", f"127.0.0.1:{ports['wsgi']}", "--workers", "2"]
        run("wsgi", [*traced, *gunicorn], NEXT_HOP=f"http://127.0.0.1:{envoy.port}/work")
        uvicorn = ["uvicorn", "hop_asgi:app", "--port", str(ports["asgi"]), "--log-level", "warning"]
        run("asgi", [*traced, *uvicorn], NEXT_HOP=f"http://127.0.0.1:{ports['wsgi']}/order")
        yield Chain(collector, ports["asgi"])
    finally:
        for program in reversed(programs):
            program.stop()
        collector.stop()


@pytest.fixture(scope="module")
def caddy(chain: Chain, start_shared_peer: Callable[..., Any]) -> Any:
    environment = {
        "OTEL_SERVICE_NAME": "caddy",
        "OTEL_EXPORTER_OTLP_ENDPOINT": chain.collector.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    return start_shared_peer("caddy", config=CADDY, environment=environment, ports={"next": chain.port})


@pytest.fixture(scope="module")
def traefik(chain: Chain, start_shared_peer: Callable[..., Any]) -> Any:
    peer = start_shared_peer(
        "traefik",
        config=TRAEFIK,
        files={"routes.yaml": ROUTES % chain.port},
        environment={"OTEL_BSP_SCHEDULE_DELAY": "50"},
        ports={"otlp": chain.collector.port},
    )
    deadline = time.monotonic() + 60
    while httpx.get(f"http://127.0.0.1:{peer.ports['http']}/", trust_env=False).status_code == 404:
        assert time.monotonic() < deadline, "it has read no routes"  # it listens before it does
        time.sleep(0.02)
    return peer


@pytest.fixture(scope="module")
def opentelemetry_js(chain: Chain, start_shared_peer: Callable[..., Any]) -> Any:
    environment = {
        "NEXT_HOP": f"http://127.0.0.1:{chain.port}/",
        "OTEL_EXPORTER_OTLP_ENDPOINT": chain.collector.endpoint,
    }
    return start_shared_peer("opentelemetry_js", environment=environment)


def get(front: Any, **headers: str) -> dict[str, Any]:
    """What the worker saw of a request."""
    options = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--max-time", "60", *options]
    url = f"http://127.0.0.1:{front.ports['http']}/"
    answer = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def check_one_trace(chain: Chain, front: Any) -> None:
    trace_id = secrets.token_hex(16)
    seen = get(front, traceparent=f"00-{trace_id}-{PARENT_ID}-01", **CARRIED)
    path = chain.path(trace_id, PARENT_ID, {"worker", "envoy", "wsgi", "asgi", front.name})
    services = [service for service, _ in path]
    ours = ["worker", "envoy", "wsgi", "wsgi", "asgi", "asgi"]
    assert services[: len(ours)] == ours and set(services[len(ours) :]) == {front.name}
    kinds = [span.kind for _, span in path[: len(ours)]]
    server, client, consumer = 2, 3, 5
    assert [kinds[0], *kinds[2:]] == [consumer, client, server, client, server]
    for service, span in path:
        if service in ("worker", "wsgi", "asgi"):
            assert span.trace_state == CARRIED["tracestate"], service
    assert seen["traceparent"] == f"00-{trace_id}-{path[1][1].span_id.hex()}-01"
    assert seen["tracestate"] == CARRIED["tracestate"]
    # In Go's SDK the members of a baggage have no order.
    assert sorted(seen["baggage"].split(",")) == sorted(CARRIED["baggage"].split(","))
    assert (seen["user"], seen["sampled"]) == ("alice", True)


def check_unsampled(chain: Chain, front: Any) -> None:
    quiet = secrets.token_hex(16)
    seen = get(front, traceparent=f"00-{quiet}-{PARENT_ID}-00", **CARRIED)
    _, trace_id, span_id, flags = seen["traceparent"].split("-")
    assert (trace_id, flags) == (quiet, "00") and span_id != PARENT_ID
    assert seen["tracestate"] == CARRIED["tracestate"]
    assert (seen["user"], seen["sampled"]) == ("alice", False)
    # One that is sampled arrives afterwards, of everybody.
    began = get(front)
    trace_id = began["traceparent"].split("-")[1]
    path = chain.path(trace_id, "", {"worker", "envoy", "wsgi", "asgi", front.name})
    assert path[-1][0] == front.name
    assert chain.spans(quiet) == {}


@pytest.mark.engines(
    "caddy", "envoy", tested="W3C through Caddy, ASGI, WSGI, Envoy, a worker: parents, tracestate, baggage"
)
def test_one_trace_through_caddy(chain: Chain, caddy: Any) -> None:
    check_one_trace(chain, caddy)


@pytest.mark.engines(
    "caddy", "envoy", tested="an unsampled parent stays unsampled at every hop; without one the proxy begins"
)
def test_unsampled_through_caddy(chain: Chain, caddy: Any) -> None:
    check_unsampled(chain, caddy)


@pytest.mark.engines("traefik", tested="W3C through Traefik, ASGI, WSGI, Envoy, a worker: parents, tracestate, baggage")
def test_one_trace_through_traefik(chain: Chain, traefik: Any) -> None:
    check_one_trace(chain, traefik)


@pytest.mark.engines("traefik", tested="an unsampled parent stays unsampled at every hop; without one the proxy begins")
def test_unsampled_through_traefik(chain: Chain, traefik: Any) -> None:
    check_unsampled(chain, traefik)


@pytest.mark.engines(
    "opentelemetry_js", tested="W3C through Node, ASGI, WSGI, Envoy, a worker: parents, tracestate, baggage"
)
def test_one_trace_through_node(chain: Chain, opentelemetry_js: Any) -> None:
    check_one_trace(chain, opentelemetry_js)


@pytest.mark.engines(
    "opentelemetry_js", tested="an unsampled parent stays unsampled at every hop; without one Node begins"
)
def test_unsampled_through_node(chain: Chain, opentelemetry_js: Any) -> None:
    check_unsampled(chain, opentelemetry_js)
