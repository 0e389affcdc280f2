"""docs/runbook.md: each of its commands does what it says, to processes that trace."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import manifests
import pytest
import yaml
from succeeding import succeed

import fasttrace
from fasttrace.local.store import Store

TEXT = (manifests.ROOT / "docs" / "runbook.md").read_text()
BLOCKS = re.findall(r"```sh\n(.+?)```", TEXT, re.DOTALL)
PODS = ("a", "b")
# Stands in for a cluster of two pods: what is to be run in one runs here, with that pod's folder.
KUBECTL = """\
#!/bin/sh
case "$*" in
"--namespace shop get pods --selector app.kubernetes.io/name=checkout --output name") printf 'pod/a\\npod/b\\n' ;;
"--namespace shop exec pod/"*" -- "*) export XDG_STATE_HOME="$PODS/${4#pod/}"; shift 5; exec "$@" ;;
*) echo "kubectl: $*" >&2; exit 1 ;;
esac
"""


class Machine:
    """Two pods that trace, their folders, and a shell beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        (folder / "bin").mkdir()
        kubectl = folder / "bin" / "kubectl"
        kubectl.write_text(KUBECTL)
        kubectl.chmod(0o755)
        ours = ("FASTTRACE_", "OTEL_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment |= {
            "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "FASTTRACE_SPOOL_DIR": str(self.spool),
            "XDG_STATE_HOME": str(folder / "a"),
            "PODS": str(folder),
            "NO_COLOR": "1",
        }
        if "FASTTRACE_IMPL" in os.environ:
            self.environment["FASTTRACE_IMPL"] = os.environ["FASTTRACE_IMPL"]
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        for pod in PODS:
            environment = {**self.environment, "XDG_STATE_HOME": str(self.folder / pod), "OTEL_RESOURCE_ATTRIBUTES": f"pod={pod}"}  # fmt: skip
            command = [sys.executable, str(Path(__file__).with_name("pod.py"))]
            self.processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        for process in self.processes:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def sh(self, number: int) -> str:
        """Run one block of the page, as it stands."""
        return succeed(["bash", "-euo", "pipefail", "-c", BLOCKS[number]], cwd=self.folder, env=self.environment).stdout

    def orders(self) -> set[tuple[str, int]]:
        """Pod and number of each order that is in the spool."""
        return {
            (str(span.resource["pod"]), int(span.attributes["order.number"]))  # type: ignore[arg-type]
            for span in Store(self.spool).spans()
            if "order.number" in span.attributes and "pod" in span.resource
        }

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("runbook"))
    # What was well, twenty minutes ago.
    earlier = fasttrace.TracerProvider(
        service_name="checkout", exporter=fasttrace.export.SpoolExporter(str(made.spool)), undelivered_dir="none"
    )
    start = time.time_ns() - 20 * 60 * 10**9
    earlier.get_tracer("shop").start_span("POST /orders", start_time=start).end(start + 10**6)
    earlier.shutdown(timeout=30)
    made.start()
    yield made
    made.stop()


def test_the_page_has_the_blocks_that_are_run_below() -> None:
    assert len(BLOCKS) == 12


def test_an_incident_from_the_first_command_to_the_last(machine: Machine) -> None:
    in_short, boost, boost_all, samplers, recall, recall_all, find, import_, diff, export, reset, doctor = range(12)
    assert machine.orders() == set()

    shown = machine.sh(boost)
    assert "boost   none" in shown and "boost to 100% until" in shown
    machine.until(lambda: {pod for pod, _ in machine.orders()} == {"a"})
    assert machine.sh(boost_all).count("boost to 100% until") == 2
    machine.until(lambda: {pod for pod, _ in machine.orders()} == {"a", "b"})

    made: dict[str, Any] = yaml.safe_load(machine.sh(samplers))
    policies = {policy["type"]: policy for policy in made["processors"]["tail_sampling"]["policies"]}
    assert policies["probabilistic"]["probabilistic"] == {"sampling_percentage": 100}

    # The first orders came before anybody asked for them.
    assert not any(number == 0 for _, number in machine.orders())
    assert machine.sh(recall).count("what was dropped in the 60") == 1
    machine.until(lambda: ("a", 0) in machine.orders())
    assert ("b", 0) not in machine.orders()
    assert machine.sh(recall_all).count("what was dropped in the 60") == 2
    machine.until(lambda: ("b", 0) in machine.orders())

    shown = machine.sh(find)
    routes = [line for line in shown.splitlines() if "POST /reserve" in line or "POST /orders" in line]
    assert "inventory" in routes[0], shown  # the one that is slow of its own comes first
    assert re.search(r"^└→ inventory +\d", shown, re.MULTILINE), shown  # the map

    (machine.folder / "trace.json").write_text(_jaeger(machine))
    assert "POST /reserve" in machine.sh(import_)
    assert "POST /orders" in machine.sh(diff)
    machine.sh(export)
    packed = re.findall(r"<script [^>]*data-path[^>]*>([^<]+)</script>", (machine.folder / "slow.html").read_text())
    assert any(b"POST /reserve" in gzip.decompress(base64.b64decode(content)) for content in packed)
    assert "every process samples as configured" in machine.sh(reset)
    shown = machine.sh(in_short)
    assert "what was dropped in the 60" in shown and "boost to 100% until" in shown and "POST /reserve" in shown
    assert "errors: 0" in machine.sh(doctor)


def _jaeger(machine: Machine) -> str:
    """The slowest trace as Jaeger's page hands it out."""
    command = ["fasttrace", "export", "slow", "--format", "jaeger"]
    done = subprocess.run(command, env=machine.environment, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["data"]
    return done.stdout


def test_every_reason_of_a_loss_is_explained() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", TEXT.partition("| `reason` of dropped spans |")[2], re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(explained) == sorted(fasttrace.stats()["dropped"])
