"""The configurations of deploy/compose at work: a process, agent, load balancer and two samplers, all real."""

from __future__ import annotations

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

from receiving import Receiver, free_port

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

    def start(self, name: str, made: dict[str, Any], grpc: int, http: int) -> None:
        protocols = made["receivers"]["otlp"]["protocols"]
        protocols["grpc"]["endpoint"], protocols["http"]["endpoint"] = f"127.0.0.1:{grpc}", f"127.0.0.1:{http}"
        made["service"]["telemetry"] = {"metrics": {"level": "none"}}
        if "extensions" in made:
            (self.folder / "queue").mkdir(exist_ok=True)
            made["extensions"]["file_storage"]["directory"] = str(self.folder / "queue")
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(made))
        assert manifests.COLLECTOR
        with open(self.folder / f"{name}.log", "ab") as log:
            command = [manifests.COLLECTOR, "--config", str(file)]
            process = self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)
        request = urllib.request.Request(
            f"http://127.0.0.1:{http}/v1/traces", b"", {"content-type": "application/x-protobuf"}
        )
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < deadline, self.log(name)
            try:
                urllib.request.urlopen(request, timeout=5).close()
                return
            except OSError:
                time.sleep(0.05)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self, *names: str) -> None:
        stopped = [self.processes.pop(name) for name in names or list(self.processes)]
        for process in stopped:
            process.terminate()
        for process in stopped:
            process.wait(60)


@pytest.fixture
def collectors(tmp_path: Path) -> Iterator[Collectors]:
    made = Collectors(tmp_path)
    yield made
    made.stop()


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
    ports = {name: (free_port(), free_port()) for name in ("agent", "load-balancer", "sampler-1", "sampler-2")}
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
    ports, next_ports = (free_port(), free_port()), (free_port(), free_port())

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
