"""deploy/kubernetes/application.yaml: what a pod is told there is what fasttrace reads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import manifests
import pytest

from fasttrace.resource import from_environment
from fasttrace.resource.kubernetes import kubernetes

POD = {
    "metadata.name": "checkout-7d4b9c8d5f-x2k9z",
    "metadata.uid": "8e3f1c52-6f0b-4c0e-9b57-0f7f6f9a8d11",
    "metadata.namespace": "shop",
    "status.podIP": "10.244.1.7",
    "status.hostIP": "192.0.2.17",
    "spec.nodeName": "node-3",
}


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    (workload,) = manifests.documents(manifests.KUBERNETES / "application.yaml")
    template: dict[str, Any] = workload["spec"]["template"]
    return template


def environment(pod: dict[str, Any]) -> dict[str, str]:
    """As the kubelet makes it: fields first, then $(NAME) of what stands above."""
    found: dict[str, str] = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    for entry in pod["spec"]["containers"][0]["env"]:
        value = entry["value"] if "value" in entry else POD[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        found[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], value)
    return found


def test_the_detectors_find_pod_node_and_service(pod: dict[str, Any], tmp_path: Path) -> None:
    labels = tmp_path / "etc" / "podinfo" / "labels"
    labels.parent.mkdir(parents=True)
    labels.write_text("".join(f'{key}="{value}"\n' for key, value in pod["metadata"]["labels"].items()))
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounted["podinfo"] == "/etc/podinfo"
    found = kubernetes(environment(pod), f"{tmp_path}/")
    assert found == {
        "k8s.pod.name": POD["metadata.name"],
        "k8s.pod.uid": POD["metadata.uid"],
        "k8s.pod.ip": POD["status.podIP"],
        "k8s.namespace.name": "shop",
        "k8s.node.name": "node-3",
        "k8s.container.name": "checkout",
        "k8s.deployment.name": "checkout",
        "k8s.replicaset.name": "checkout-7d4b9c8d5f",
        "service.name": "checkout",
        "service.version": "1.4.2",
    }
    assert from_environment(environment(pod)) == {"deployment.environment.name": "production"}


def test_a_process_in_that_pod_sends_everything_to_the_agent_of_its_node_and_keeps_the_rest_in_its_folder(
    pod: dict[str, Any], tmp_path: Path
) -> None:
    given = environment(pod)
    state = given["XDG_STATE_HOME"]
    assert state in [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    given["XDG_STATE_HOME"] = str(tmp_path)
    program = """
import json, fasttrace
fasttrace.configure(undelivered_dir="none")
with fasttrace.get_tracer("x").start_as_current_span("x") as span:
    recording = span.is_recording()
stats = fasttrace.stats()
print(json.dumps([recording, stats["destination"], stats["sampling"]["control_file"]["path"]]), flush=True)
import os
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**given, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == [
        True,
        "http://192.0.2.17:4318/v1/traces",
        str(tmp_path / "fasttrace" / "sampling.toml"),
    ]


def test_the_agents_port_is_open_on_every_node(pod: dict[str, Any]) -> None:
    port = int(environment(pod)["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2])
    agents = manifests.documents(manifests.KUBERNETES / "base" / "agent.yaml")
    (daemons,) = [one for one in agents if one["kind"] == "DaemonSet"]
    ports = daemons["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert port in [entry.get("hostPort") for entry in ports]


def test_what_waits_fits_into_the_pods_folder(pod: dict[str, Any]) -> None:
    from fasttrace.config import values

    (state,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "state"]
    bound = values.size(environment(pod)["FASTTRACE_UNDELIVERED_MAX_BYTES"])
    assert bound < int(state["emptyDir"]["sizeLimit"].removesuffix("Mi")) << 20
