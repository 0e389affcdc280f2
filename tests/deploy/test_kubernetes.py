"""deploy/kubernetes: valid by Kubernetes' own schemas, closed by default, and its parts fit together."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import manifests
import pytest
import schemas
import yaml

APPLICATION = manifests.KUBERNETES / "application.yaml"
# The oldest that knows preStop.sleep without a feature gate, and the newest that there is a schema of.
VERSIONS = ("1.30", "1.37")
EVERYTHING = [
    *((store, path, resource) for store in manifests.STORES for path, resource in manifests.resources(manifests.KUBERNETES / store)),
    *(("application", APPLICATION, resource) for resource in manifests.documents(APPLICATION)),
]  # fmt: skip
WORKLOADS = [(store, resource) for store, _, resource in EVERYTHING if "template" in resource.get("spec", {})]


def named(value: Any) -> str | None:
    return f"{value['kind']}-{value['metadata']['name']}" if isinstance(value, dict) else None


def pods() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for store, workload in WORKLOADS:
        yield store, workload, workload["spec"]["template"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid_by_the_schema_of_its_kind(version: str) -> None:
    pytest.importorskip("jsonschema")
    kinds = set()
    seen: list[dict[str, Any]] = []
    for _, _, resource in EVERYTHING:
        if resource not in seen:
            seen.append(resource)
            schemas.validate(resource, version)
            kinds.add(resource["kind"])
    assert kinds >= {"DaemonSet", "Deployment", "StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy"}


def test_the_schemas_refuse_a_field_that_is_unknown_or_wrong() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    _, workload = WORKLOADS[0]
    for change in ({"replica": 3}, {"selector": 5}):
        with pytest.raises(jsonschema.ValidationError, match=r"replica|5 is not"):
            schemas.validate({**workload, "spec": {**workload["spec"], **change}}, "1.37")
    deep = copy.deepcopy(workload)
    deep["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"second": 10}}}
    with pytest.raises(jsonschema.ValidationError, match="second"):
        schemas.validate(deep, "1.37")


@pytest.mark.parametrize("store", manifests.STORES)
@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl on the PATH")
def test_kubectl_builds_it_and_every_configuration_is_found(store: str) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", manifests.KUBERNETES / store], capture_output=True, text=True, check=True, timeout=60
    )
    built = list(yaml.safe_load_all(done.stdout))
    made = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in built if one["kind"] == "ConfigMap"}
    used = {
        (one["metadata"]["namespace"], volume["configMap"]["name"])
        for one in built
        if "template" in one.get("spec", {})
        for volume in one["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    }
    assert used == made and len(made) == 4


@pytest.mark.parametrize(("store", "workload"), WORKLOADS, ids=named)
def test_a_pod_is_nobody_and_can_change_nothing_but_its_folders(store: str, workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False and not pod.get("hostNetwork") and not pod.get("hostPID")
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for volume in pod["volumes"]:
        if "emptyDir" in volume:
            assert volume["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize(("store", "workload"), WORKLOADS, ids=named)
def test_a_container_has_a_version_bounds_and_a_place_for_all_that_it_writes(
    store: str, workload: dict[str, Any]
) -> None:
    pod = workload["spec"]["template"]["spec"]
    claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
    volumes = {volume["name"] for volume in pod["volumes"]} | set(claims)
    for container in pod["containers"]:
        _, _, tag = container["image"].rpartition(":")
        assert tag[:1].isdigit() or tag[:2] in ("v2", "v3"), container["image"]
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) == {"cpu", "memory", "ephemeral-storage"}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        limit = [entry["value"] for entry in container.get("env", []) if entry["name"] == "GOMEMLIMIT"]
        if limit:
            memory = _bytes(container["resources"]["limits"]["memory"])
            assert 0.7 * memory < _bytes(limit[0]) < 0.85 * memory


def _bytes(text: str) -> int:
    units = {"MiB": 1 << 20, "Mi": 1 << 20, "Gi": 1 << 30}
    unit = next(unit for unit in units if text.endswith(unit))
    return int(text.removesuffix(unit)) * units[unit]


def test_what_waits_in_a_sampler_is_decided_on_before_it_stops() -> None:
    for store, workload, template in pods():
        if workload["metadata"]["name"] != "sampler":
            continue
        ((path,),) = [files for (_, name), files in manifests.config_maps(manifests.KUBERNETES / store).items() if name == "sampler"]  # fmt: skip
        wait = manifests.documents(path)[0]["processors"]["tail_sampling"]["decision_wait"]
        sleep = template["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        # The load balancers ask for the addresses every five seconds.
        assert sleep > 5
        assert template["spec"]["terminationGracePeriodSeconds"] > sleep + manifests.seconds(wait)


def test_every_tier_that_has_several_pods_keeps_all_but_one_through_maintenance() -> None:
    for store in manifests.STORES:
        found = [resource for name, _, resource in EVERYTHING if name == store]
        budgets = {
            one["metadata"]["name"]: one["spec"]["selector"] for one in found if one["kind"] == "PodDisruptionBudget"
        }
        several = {
            one["metadata"]["name"]: one["spec"]["selector"]
            for one in found
            if one.get("spec", {}).get("replicas", 1) > 1
        }
        assert set(budgets) == set(several) == {"load-balancer", "sampler"}
        assert all(budgets[name]["matchLabels"] == several[name]["matchLabels"] for name in budgets)


@pytest.mark.parametrize("store", manifests.STORES)
def test_every_selector_finds_its_pods(store: str) -> None:
    found = [resource for name, _, resource in EVERYTHING if name == store]
    labels = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]["template"]["metadata"]["labels"]
        for one in found
        if "template" in one.get("spec", {})
    }
    for one in found:
        if one["kind"] in ("Service", "PodDisruptionBudget"):
            selector = one["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            assert wanted <= labels[one["metadata"]["namespace"], one["metadata"]["name"]].items()


@pytest.mark.parametrize("store", manifests.STORES)
def test_spans_go_to_services_that_are_there_and_by_every_policy_on_the_way(store: str) -> None:
    found = [resource for name, _, resource in EVERYTHING if name == store]
    services = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "Service"}
    way = [("tracing-agents", "agent"), ("tracing", "load-balancer"), ("tracing", "sampler"), ("tracing", store)]
    configs = {key: manifests.documents(files[0])[0] for key, files in manifests.config_maps(manifests.KUBERNETES / store).items()}  # fmt: skip
    for (namespace, name), (next_namespace, next_name) in pairwise(way):
        (exporter,) = configs[namespace, name]["exporters"].values()
        address = f"{next_name}.{next_namespace}.svc.cluster.local"
        resolver = exporter.get("resolver", {}).get("dns")
        assert (
            resolver == {"hostname": address, "port": "4317"}
            if resolver
            else exporter["endpoint"].endswith(f"{address}:4317")
        )
        # All pods of it, where the sender itself takes turns or chooses.
        headless = services[next_name].get("clusterIP") == "None"
        assert headless == (bool(resolver) or exporter["endpoint"].startswith("dns:///"))
        assert any(port["port"] == 4317 for port in services[next_name]["ports"])
        assert _allowed(found, (namespace, name), (next_namespace, next_name), 4317)
    # Nobody gets there past the samplers, and the store sends nothing.
    for sender in way[:2]:
        assert not _allowed(found, sender, way[3], 4317)
    assert not _allowed(found, way[3], way[2], 4317)
    assert not _allowed(found, way[0], way[2], 4317)


def _allowed(found: list[dict[str, Any]], sender: tuple[str, str], receiver: tuple[str, str], port: int) -> bool:
    """By the rules of NetworkPolicy: one of the sender's policies lets it out, and one of the receiver's in."""
    labels = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]["template"]["metadata"]["labels"]
        for one in found
        if "template" in one.get("spec", {})
    }

    def selects(selector: dict[str, Any], given: dict[str, str]) -> bool:
        return selector.get("matchLabels", {}).items() <= given.items()

    def matches(peer: dict[str, Any], own: str, other: tuple[str, str]) -> bool:
        space = peer.get("namespaceSelector")
        inside = other[0] == own if space is None else selects(space, {"kubernetes.io/metadata.name": other[0]})
        return inside and selects(peer.get("podSelector", {}), labels[other])

    def passes(kind: str, at: tuple[str, str], other: tuple[str, str]) -> bool:
        policies = [
            one["spec"]
            for one in found
            if one["kind"] == "NetworkPolicy"
            and one["metadata"]["namespace"] == at[0]
            and selects(one["spec"]["podSelector"], labels[at])
        ]
        assert policies, f"{at} is open"
        return any(
            any(entry["port"] == port for entry in rule["ports"])
            and ("from" not in rule or any(matches(peer, at[0], other) for peer in rule["from"]))
            if kind == "ingress"
            else any(entry["port"] == port for entry in rule["ports"])
            and any(matches(peer, at[0], other) for peer in rule["to"])
            for policy in policies
            for rule in policy[kind]
        )

    return passes("egress", sender, receiver) and passes("ingress", receiver, sender)


def test_each_collector_answers_probes_where_they_ask_and_keeps_its_queue_where_it_may_write() -> None:
    for store in manifests.STORES:
        maps = manifests.config_maps(manifests.KUBERNETES / store)
        for name, workload, template in pods():
            if name != store:
                continue
            namespace, app = workload["metadata"]["namespace"], workload["metadata"]["name"]
            config = manifests.documents(maps[namespace, app][0])[0]
            (container,) = template["spec"]["containers"]
            (config_volume,) = [one for one in template["spec"]["volumes"] if one["name"] == "config"]
            assert config_volume["configMap"]["name"] == app
            assert [item["key"] for item in config_volume["configMap"]["items"]] == [maps[namespace, app][0].name]
            probe = container["readinessProbe"]["httpGet"]["port"]
            extensions = config.get("extensions", {})
            endpoint = (
                extensions.get("health_check") or extensions.get("healthcheckv2", {}).get("http") or {}
            ).get("endpoint", f":{config.get('server', {}).get('http_listen_port')}")  # fmt: skip
            assert endpoint.endswith(f":{probe}")
            folder = extensions.get("file_storage", {}).get("directory")
            assert folder is None or folder in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_a_queue_is_smaller_than_its_disk() -> None:
    for store, workload, template in pods():
        namespace, name = workload["metadata"]["namespace"], workload["metadata"]["name"]
        files = manifests.config_maps(manifests.KUBERNETES / store).get((namespace, name), []) if store in manifests.STORES else []  # fmt: skip
        for exporter in manifests.documents(files[0])[0].get("exporters", {}).values() if files else ():
            queue = exporter.get("sending_queue", {})
            if "storage" in queue:
                claims = workload["spec"].get("volumeClaimTemplates", [])
                sizes = [claim["spec"]["resources"]["requests"]["storage"] for claim in claims] or [
                    volume["emptyDir"]["sizeLimit"]
                    for volume in template["spec"]["volumes"]
                    if volume["name"] == "queue"
                ]
                # Files of a queue hold what was sent for a while, too.
                assert 1.5 * queue["queue_size"] < _bytes(sizes[0])


def test_only_the_namespace_of_the_agents_may_take_ports_of_nodes() -> None:
    for _, workload, template in pods():
        ports = [port for container in template["spec"]["containers"] for port in container["ports"]]
        assert any("hostPort" in port for port in ports) == (workload["metadata"]["namespace"] == "tracing-agents")


def test_paths_of_configurations_are_below_their_kustomization() -> None:
    for store in (*manifests.STORES, "base"):
        folder = manifests.KUBERNETES / store
        for files in manifests.config_maps(folder).values():
            for file in files:
                assert file.is_file() and Path(file).is_relative_to(manifests.KUBERNETES)
