"""What a span costs a real Collector in each of its roles: the constants of `fasttrace sizing` and docs/sizing.md.

Needs a Collector with tail_sampling and load_balancing: its path in OTELCOL, or `otelcol-contrib` on the PATH. The CPU
time is that of the Collector's process, from the first span to the last, with compression and sending; the memory of a
waiting span is what the process grows by while nothing is decided, with the garbage that Go leaves.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import urllib3
import yaml

import fasttrace
from fasttrace.sampling import collector, tail

RULES = tail.plan("latency=2s,error,http_5xx,exception,baseline=1%").rules


class Requests:
    """An exporter that keeps the requests."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.spans = 0

    def export(self, batch: Any) -> None:
        self.spans += len(batch)
        self.bodies.append(batch.otlp)

    def flush(self, timeout: float) -> bool:
        return True

    def shutdown(self, timeout: float) -> None:
        pass


def requests(traces: int, spans: int) -> Requests:
    """Traces of so many spans, each with four attributes, as fasttrace sends them."""
    made = Requests()
    provider = fasttrace.TracerProvider(
        service_name="shop", exporter=made, undelivered_dir="none", max_queue_spans=1 << 20
    )
    tracer = provider.get_tracer("bench")
    for number in range(traces):
        with tracer.start_as_current_span("POST /orders", context=fasttrace.Context()):
            for child in range(spans - 1):
                with tracer.start_as_current_span("SELECT orders") as span:
                    span.set_attribute("db.system.name", "postgresql")
                    span.set_attribute("db.query.text", "SELECT * FROM orders WHERE id = ?")
                    span.set_attribute("http.response.status_code", 200)
                    span.set_attribute("order.number", number * child)
        if number % 1000 == 0:
            provider.flush()
    provider.shutdown(timeout=60)
    random.shuffle(made.bodies)
    return made


class Running:
    """A Collector's process with a configuration of ours, on loopback ports that were free."""

    def __init__(self, binary: str, text: str, folder: Path, changes: dict[str, Any] | None = None) -> None:
        made = yaml.safe_load(text)
        self.grpc, self.http = free_port(), free_port()
        receivers = made["receivers"]["otlp"]["protocols"]
        receivers["grpc"]["endpoint"], receivers["http"]["endpoint"] = (
            f"127.0.0.1:{self.grpc}",
            f"127.0.0.1:{self.http}",
        )
        made["service"]["telemetry"] = {"metrics": {"level": "none"}, "logs": {"level": "error"}}
        for path, value in (changes or {}).items():
            *parents, last = path.split("/")
            place = made
            for key in parents:
                place = place[key]
            place[last] = value
        file = folder / f"{self.http}.yaml"
        file.write_text(yaml.safe_dump(made))
        self.process = subprocess.Popen([binary, "--config", str(file)])
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.http), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("the Collector did not start")
                time.sleep(0.1)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def send(self, made: Requests) -> None:
        pool = urllib3.HTTPConnectionPool("127.0.0.1", self.http, maxsize=4)

        def post(body: bytes) -> None:
            headers = {"content-type": "application/x-protobuf"}
            answer = pool.request("POST", "/v1/traces", body=body, headers=headers, retries=False)
            if answer.status != 200:
                sys.exit(f"the Collector answered {answer.status}: {answer.data[:200]!r}")

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(post, made.bodies))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def settled(running: Running) -> float:
    """CPU seconds, once the process has nothing to do any more."""
    before = running.cpu_seconds()
    while True:
        time.sleep(2.5)
        now = running.cpu_seconds()
        if now - before < 0.03:
            return now
        before = now


def costs(binary: str, made: Requests, folder: Path) -> dict[str, float]:
    """Microseconds of CPU for each span, and how many bytes a waiting one takes for each of its encoded form."""
    sink_text = collector.agent("nowhere:1")
    sink_changes = {"exporters": {"nop": {}}, "service/pipelines/traces/exporters": ["nop"]}
    sinks = [Running(binary, sink_text, folder, sink_changes) for _ in range(2)]
    found = {}
    unlimited = {"processors/memory_limiter": {"check_interval": "1s", "limit_mib": 8000}}
    places = ",".join(f"127.0.0.1:{sink.grpc}" for sink in sinks)
    roles = {
        "agent": (collector.agent(places.partition(",")[0]), {}),
        "load-balancer": (collector.load_balancer(places), {}),
        "sampler": (
            collector.sampler(RULES, places.partition(",")[0], decision_wait=1.0, num_traces=1_000_000),
            {},
        ),
        "waiting": (
            collector.sampler(RULES, places.partition(",")[0], decision_wait=600.0, num_traces=1_000_000),
            {"processors/tail_sampling/drop_pending_traces_on_shutdown": True},
        ),
    }
    for role, (text, changes) in roles.items():
        running = Running(binary, text, folder, {**unlimited, **changes})
        try:
            running.send(Requests())
            idle_cpu, idle_memory = settled(running), running.memory_bytes()
            running.send(made)
            found[role] = (settled(running) - idle_cpu) / made.spans * 1e6
            if role == "waiting":
                size = sum(map(len, made.bodies))
                found[role] = (running.memory_bytes() - idle_memory) / size
        finally:
            running.stop()
    for sink in sinks:
        sink.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=10_000, help="of 20 spans each")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    binary = os.environ.get("OTELCOL") or shutil.which("otelcol-contrib")
    if not binary:
        sys.exit("no Collector: name it in OTELCOL")
    made = requests(options.traces, 20)
    print(f"{made.spans:,} spans, {sum(map(len, made.bodies)) / made.spans:.0f} bytes each")
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            rounds.append(costs(binary, made, Path(folder)))
            print(" ".join(f"{role} {cost:.2f}" for role, cost in rounds[-1].items()), flush=True)
    print("medians:", {role: round(sorted(one[role] for one in rounds)[len(rounds) // 2], 2) for role in rounds[0]})


if __name__ == "__main__":
    main()
