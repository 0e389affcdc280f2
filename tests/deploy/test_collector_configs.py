"""The configurations below deploy/ are what `fasttrace collector-config` prints, and a Collector can run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import manifests
import pytest
import yaml

CONFIGS = sorted(manifests.DEPLOY.glob("*/**/collector/*.yaml"))
ROLES = ("agent", "load-balancer", "sampler")
COLLECTORS = [path for path in CONFIGS if path.stem in (*ROLES, "jaeger")]


def named(path: Path) -> str:
    return str(path.relative_to(manifests.DEPLOY))


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def test_every_configuration_is_what_the_command_prints(tmp_path: Path) -> None:
    environment = {**os.environ, "FASTTRACE": str(Path(sys.executable).parent / "fasttrace")}
    environment.pop("FASTTRACE_TAIL", None)
    subprocess.run([manifests.DEPLOY / "generate", tmp_path], env=environment, check=True, timeout=120)
    made = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.glob("**/*.yaml")}
    assert made == {named(path): path.read_text() for path in CONFIGS}
    assert len(made) == 11


@pytest.mark.parametrize("path", COLLECTORS, ids=named)
def test_what_a_pipeline_names_is_there_and_nothing_else_is(path: Path) -> None:
    made = read(path)
    (pipeline,) = made["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert list(made.get(kind, {})) == pipeline.get(kind, []), kind
    assert sorted(made.get("extensions", {})) == sorted(made["service"].get("extensions", []))
    # A queue's storage is one of the extensions.
    for exporter in made["exporters"].values():
        assert {exporter.get("sending_queue", {}).get("storage")} <= {None, *made.get("extensions", {})}


@pytest.mark.parametrize("path", [path for path in COLLECTORS if path.stem in ROLES], ids=named)
def test_memory_is_guarded_before_anything_else(path: Path) -> None:
    made = read(path)
    assert made["service"]["pipelines"]["traces"]["processors"][0] == "memory_limiter"
    limiter = made["processors"]["memory_limiter"]
    assert 0 < limiter["spike_limit_percentage"] < limiter["limit_percentage"] < 100


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem == "sampler"], ids=named)
def test_late_spans_share_the_fate_of_their_trace(path: Path) -> None:
    tail = read(path)["processors"]["tail_sampling"]
    assert min(tail["decision_cache"].values()) > tail["num_traces"]
    names = [policy["name"] for policy in tail["policies"]]
    assert len(names) == len(set(names)) > 1


@pytest.mark.parametrize("path", [path for path in COLLECTORS if path.stem in ROLES], ids=named)
@pytest.mark.skipif(not manifests.COLLECTOR, reason="no Collector: name one in OTELCOL")
def test_a_real_collector_takes_it(path: Path, tmp_path: Path) -> None:
    binary = manifests.COLLECTOR
    assert binary
    made = read(path)
    known = subprocess.run([binary, "components"], capture_output=True, text=True, check=True).stdout
    extensions = made.get("extensions", {})
    if "file_storage" in extensions:
        extensions["file_storage"]["directory"] = str(tmp_path)
    # A Collector that was built for tests need not have the probes of one that runs in a cluster.
    if "health_check" in extensions and "health_check" not in known:
        del extensions["health_check"]
        made["service"]["extensions"].remove("health_check")
    file = tmp_path / "collector.yaml"
    file.write_text(yaml.safe_dump(made))
    done = subprocess.run([binary, "validate", "--config", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # The same command refuses what is none.
    made["service"]["pipelines"]["traces"]["exporters"] = ["nowhere"]
    file.write_text(yaml.safe_dump(made))
    assert subprocess.run([binary, "validate", "--config", str(file)], capture_output=True, check=False).returncode


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem == "jaeger"], ids=named)
@pytest.mark.skipif(not manifests.JAEGER, reason="no Jaeger 2: name one in JAEGER")
def test_a_real_jaeger_takes_it(path: Path, tmp_path: Path) -> None:
    def validates(text: str) -> bool:
        file = tmp_path / "jaeger.yaml"
        file.write_text(text)
        command = [manifests.JAEGER or "", "validate", "--config", str(file)]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

    assert validates(path.read_text())
    assert not validates(path.read_text().replace("jaeger_query:", "jaeger_pages:"))
