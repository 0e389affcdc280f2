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


class Chain:
    """The processes, each with its file, in which only addresses, folder and waiting time are others."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: (free_port(), free_port()) for name in ("agent", "load-balancer", "sampler-1", "sampler-2")}
        grpc = {name: f"127.0.0.1:{ports[0]}" for name, ports in self.ports.items()}
        for name in self.ports:
            made = self.read(name.rstrip("-12"))
            if name == "agent":
                made["exporters"]["otlp_grpc"]["endpoint"] = grpc["load-balancer"]
                (folder / "queue").mkdir()
                made["extensions"]["file_storage"]["directory"] = str(folder / "queue")
            elif name == "load-balancer":
                hostnames = [grpc["sampler-1"], grpc["sampler-2"]]
                made["exporters"]["load_balancing"]["resolver"]["static"]["hostnames"] = hostnames
            else:
                made["processors"]["tail_sampling"]["decision_wait"] = "2s"
                queue = made["exporters"]["otlp_grpc/1"]["sending_queue"]
                exporter = {"endpoint": store, "compression": "none", "sending_queue": queue}  # oteltap takes no other
                made["exporters"] = {"otlp_http": exporter}
                made["service"]["pipelines"]["traces"]["exporters"] = ["otlp_http"]
            self.start(name, made)
        for name, (_, http) in self.ports.items():
            self.wait(name, http)

    def read(self, role: str) -> dict[str, Any]:
        path = manifests.COMPOSE.parent / "collector" / f"{role}.yaml"
        found: dict[str, Any] = yaml.safe_load(path.read_text())
        return found

    def start(self, name: str, made: dict[str, Any]) -> None:
        grpc, http = self.ports[name]
        protocols = made["receivers"]["otlp"]["protocols"]
        protocols["grpc"]["endpoint"], protocols["http"]["endpoint"] = f"127.0.0.1:{grpc}", f"127.0.0.1:{http}"
        made["service"]["telemetry"] = {"metrics": {"level": "none"}}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(made))
        assert manifests.COLLECTOR
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                [manifests.COLLECTOR, "--config", str(file)], stdout=log, stderr=log
            )

    def wait(self, name: str, http: int) -> None:
        deadline = time.monotonic() + 60
        while True:
            assert self.processes[name].poll() is None and time.monotonic() < deadline, self.log(name)
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{http}/v1/traces", b"", {"content-type": "application/x-protobuf"})  # fmt: skip
                urllib.request.urlopen(request, timeout=5).close()
                return
            except OSError:
                time.sleep(0.05)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(60)


@pytest.fixture
def chain(receiver: Receiver, tmp_path: Path) -> Iterator[Chain]:
    made = Chain(tmp_path, receiver.base)
    yield made
    made.stop()


def test_failed_and_slow_traces_of_two_services_arrive_whole_and_the_rest_does_not(
    chain: Chain, receiver: Receiver
) -> None:
    endpoint = f"http://127.0.0.1:{chain.ports['agent'][1]}/v1/traces"
    front, back = (
        fasttrace.TracerProvider(service_name=name, exporter=OTLPExporter(endpoint), undelivered_dir="none")
        for name in ("front", "back")
    )
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
    for name in chain.ports:
        assert "deprecated" not in chain.log(name)
