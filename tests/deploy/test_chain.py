"""The configurations of deploy/compose at work: a process, agent, load balancer and two samplers, all real."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import manifests
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from receiving import Receiver

import fasttrace
from fasttrace.export import OTLPExporter

pytestmark = pytest.mark.skipif(not manifests.COLLECTOR, reason="no Collector: name one in OTELCOL")
TRACES = 40


def config(role: str) -> dict[str, Any]:
    """What deploy/compose has for a role."""
    found: dict[str, Any] = yaml.safe_load((manifests.COMPOSE.parent / "collector" / f"{role}.yaml").read_text())
    return found


class Collectors:
    """Processes with these configurations, in which only addresses, folders and waiting times are others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.held: dict[int, socket.socket] = {}

    def ports(self) -> tuple[int, int]:
        """For OTLP/gRPC and OTLP/HTTP; until something starts there, nobody else gets them, and nobody answers."""
        found = []
        for _ in range(2):
            held = socket.socket()
            held.bind(("127.0.0.1", 0))
            found.append(held.getsockname()[1])
            self.held[found[-1]] = held
        return found[0], found[1]

    def start(self, name: str, made: dict[str, Any], grpc: int, http: int) -> None:
        protocols = made["receivers"]["otlp"]["protocols"]
        protocols["grpc"]["endpoint"], protocols["http"]["endpoint"] = f"127.0.0.1:{grpc}", f"127.0.0.1:{http}"
        made["service"]["telemetry"] = {"metrics": {"level": "none"}}
        if "extensions" in made:
            (self.folder / "queue").mkdir(exist_ok=True)
            made["extensions"]["file_storage"]["directory"] = str(self.folder / "queue")
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(made))
        for port in (grpc, http):
            if port in self.held:
                self.held.pop(port).close()
        deadline = time.monotonic() + 60
        self.run(name)
        while not answers(http):
            assert time.monotonic() < deadline, self.log(name)
            if self.processes[name].poll() is not None:
                # Somebody's connection may have one of the ports for a moment.
                assert "address already in use" in self.log(name), self.log(name)
                self.run(name)
            time.sleep(0.05)

    def run(self, name: str) -> None:
        assert manifests.COLLECTOR
        with open(self.folder / f"{name}.log", "wb") as log:
            command = [manifests.COLLECTOR, "--config", str(self.folder / f"{name}.yaml")]
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self, *names: str) -> None:
        stopped = [self.processes.pop(name) for name in names or list(self.processes)]
        for process in stopped:
            process.terminate()
        for process in stopped:
            process.wait(60)


def answers(port: int) -> bool:
    """Whether a receiver of OTLP/HTTP takes an empty request."""
    headers = {"content-type": "application/x-protobuf"}
    try:
        urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", b"", headers), timeout=5
        ).close()
    except OSError:
        return False
    return True


@pytest.fixture
def collectors(tmp_path: Path) -> Iterator[Collectors]:
    made = Collectors(tmp_path)
    yield made
    made.stop()
    for held in made.held.values():
        held.close()


def to_receiver(made: dict[str, Any], receiver: Receiver) -> dict[str, Any]:
    """The same with oteltap as the only store, which takes no compression, and nothing on disk."""
    for place in (made, made["service"]):
        place.pop("extensions", None)
    queue = next(iter(made["exporters"].values()))["sending_queue"]
    queue = {key: value for key, value in queue.items() if key != "storage"}
    made["exporters"] = {"otlp_http": {"endpoint": receiver.base, "compression": "none", "sending_queue": queue}}
    made["service"]["pipelines"]["traces"]["exporters"] = ["otlp_http"]
    return made


def provider(name: str, port: int) -> fasttrace.TracerProvider:
    exporter = OTLPExporter(f"http://127.0.0.1:{port}/v1/traces")
    return fasttrace.TracerProvider(service_name=name, exporter=exporter, undelivered_dir="none")


def test_failed_and_slow_traces_of_two_services_arrive_whole_and_the_rest_does_not(
    collectors: Collectors, receiver: Receiver
) -> None:
    ports = {name: collectors.ports() for name in ("agent", "load-balancer", "sampler-1", "sampler-2")}
    for name in ("sampler-1", "sampler-2"):
        made = to_receiver(config("sampler"), receiver)
        made["processors"]["tail_sampling"]["decision_wait"] = "2s"
        collectors.start(name, made, *ports[name])
    made = config("load-balancer")
    hostnames = [f"127.0.0.1:{ports[name][0]}" for name in ("sampler-1", "sampler-2")]
    made["exporters"]["load_balancing"]["resolver"]["static"]["hostnames"] = hostnames
    collectors.start("load-balancer", made, *ports["load-balancer"])
    made = config("agent")
    made["exporters"]["otlp_grpc"]["endpoint"] = f"127.0.0.1:{ports['load-balancer'][0]}"
    collectors.start("agent", made, *ports["agent"])

    front, back = (provider(name, ports["agent"][1]) for name in ("front", "back"))
    start = time.time_ns() - 10 * 10**9
    wanted = set()
    for number in range(TRACES):
        kind = ("failed", "slow", "plain")[number % 3]
        root = front.get_tracer("t").start_span(f"{kind} root", context=fasttrace.Context(), start_time=start)
        parent = fasttrace.extract(fasttrace.inject({}, root))
        # What decides is in the second service, which comes by a request of its own.
        child = back.get_tracer("t").start_span(f"{kind} child", context=parent, start_time=start)
        if kind == "failed":
            child.set_status(fasttrace.StatusCode.ERROR)
        child.end(start + (3 * 10**9 if kind == "slow" else 10**6))
        root.end(start + 10**6)
        if kind != "plain":
            wanted |= {(f"{root.trace_id:032x}", f"{kind} root"), (f"{root.trace_id:032x}", f"{kind} child")}
    assert front.shutdown(timeout=30) and back.shutdown(timeout=30)
    arrived = [(line[0], line[3]) for line in receiver.spans(len(wanted))]
    kept = {entry for entry in arrived if not entry[1].startswith("plain")}
    assert kept == wanted and len(arrived) == len(set(arrived))
    # One in a hundred of the rest is the baseline's; more than a few would be no sampling.
    assert len(arrived) - len(wanted) < TRACES / 4
    for name in ports:
        assert "deprecated" not in collectors.log(name)


def test_what_waits_in_an_agent_outlives_it(collectors: Collectors, receiver: Receiver) -> None:
    ports, next_ports = collectors.ports(), collectors.ports()

    def start_agent() -> None:
        made = config("agent")
        made["exporters"]["otlp_grpc"]["endpoint"] = f"127.0.0.1:{next_ports[0]}"
        collectors.start("agent", made, *ports)

    start_agent()
    shop = provider("shop", ports[1])
    for number in range(50):
        shop.get_tracer("t").start_span(f"order {number}").end()
    assert shop.shutdown(timeout=30)
    # Nobody is there to take them, and the agent goes.
    collectors.stop("agent")
    assert receiver.lines == []
    collectors.start("next", to_receiver(config("agent"), receiver), *next_ports)
    start_agent()
    assert sorted(line[3] for line in receiver.spans(50)) == sorted(f"order {number}" for number in range(50))
