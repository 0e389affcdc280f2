"""deploy/compose: valid by the Compose specification, closed to other machines, and its parts fit together."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import manifests
import pytest

COMPOSE: dict[str, Any] = manifests.documents(manifests.COMPOSE)[0]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_it_is_valid_by_the_specification() -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", manifests.COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_version_bounds_and_no_rights_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    tag = service["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), service["image"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    if name == "agent-folder":  # the one that changes an owner, and ends
        assert service["network_mode"] == "none" and service["restart"] == "no"
    else:
        assert int(service["user"].partition(":")[0]) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_but_on_the_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_spans_move_on_a_network_that_leads_nowhere() -> None:
    assert COMPOSE["networks"]["spans"]["internal"]
    for name in ("load-balancer", "sampler-1", "sampler-2"):
        assert SERVICES[name]["networks"] == ["spans"]


def test_every_file_that_is_named_is_there_and_every_volume_is_used() -> None:
    folder = manifests.COMPOSE.parent
    assert all((folder / config["file"]).is_file() for config in COMPOSE["configs"].values())
    used = {config["source"] for service in SERVICES.values() for config in service.get("configs", [])}
    assert used == set(COMPOSE["configs"])
    volumes = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert volumes == set(COMPOSE["volumes"])


def test_each_configuration_leads_to_services_that_are_there() -> None:
    def exporters(name: str) -> list[dict[str, Any]]:
        (source,) = [config["source"] for config in SERVICES[name]["configs"]]
        path = manifests.COMPOSE.parent / COMPOSE["configs"][source]["file"]
        return list(manifests.documents(path)[0]["exporters"].values())

    assert [exporter["endpoint"] for exporter in exporters("agent")] == ["load-balancer:4317"]
    (balancing,) = exporters("load-balancer")
    assert balancing["resolver"]["static"]["hostnames"] == ["sampler-1:4317", "sampler-2:4317"]
    for name in ("sampler-1", "sampler-2"):
        assert [exporter["endpoint"] for exporter in exporters(name)] == ["jaeger:4317", "tempo:4317"]
    assert {"load-balancer", "sampler-1", "sampler-2", "jaeger", "tempo"} <= set(SERVICES)


def test_what_waits_in_a_sampler_is_decided_on_before_it_stops() -> None:
    tail = manifests.documents(manifests.COMPOSE.parent / "collector" / "sampler.yaml")[0]["processors"][
        "tail_sampling"
    ]
    for name in ("sampler-1", "sampler-2"):
        assert manifests.seconds(SERVICES[name]["stop_grace_period"]) > manifests.seconds(tail["decision_wait"])


def test_prometheus_and_grafana_ask_services_that_are_there() -> None:
    folder = manifests.COMPOSE.parent
    scraped = manifests.documents(folder / "prometheus" / "prometheus.yaml")[0]["scrape_configs"]
    targets = [target for job in scraped for entry in job["static_configs"] for target in entry["targets"]]
    sources = manifests.documents(folder / "grafana" / "datasources.yaml")[0]["datasources"]
    hosts = {target.partition(":")[0] for target in targets} | {source["url"].split("/")[2].partition(":")[0] for source in sources}  # fmt: skip
    assert hosts - set(SERVICES) == {"host.docker.internal"}
    (provider,) = manifests.documents(folder / "grafana" / "dashboards.yaml")[0]["providers"]
    targets = [config["target"] for config in SERVICES["grafana"]["configs"]]
    assert f"{provider['options']['path']}/fasttrace.json" in targets
    rules = manifests.documents(folder / "prometheus" / "prometheus.yaml")[0]["rule_files"]
    assert [f"/etc/prometheus/{rule}" for rule in rules] == [SERVICES["prometheus"]["configs"][1]["target"]]


def test_nothing_starts_without_a_password_of_ones_own() -> None:
    given = SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert re.fullmatch(r"\$\{GRAFANA_PASSWORD:\?[^}]+\}", given)
