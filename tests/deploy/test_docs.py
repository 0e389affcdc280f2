"""docs/deployment.md: its commands run, its files are there, and what it shows of a manifest stands there."""

from __future__ import annotations

import re
import shlex

import manifests
import pytest
import yaml

from fasttrace.cli import main

PAGES = {name: (manifests.ROOT / "docs" / f"{name}.md").read_text() for name in ("deployment", "sizing", "runbook")}
TEXT = PAGES["deployment"]
COMMANDS = [line for block in re.findall(r"```sh\n(.+?)```", TEXT, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("fasttrace")])
def test_a_command_prints_one_configuration(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command)[1:]) == 0
    assert len(list(yaml.safe_load_all(capsys.readouterr().out))) == 1


def test_the_other_commands_name_files_and_services_that_are_there() -> None:
    others = [line for line in COMMANDS if not line.startswith("fasttrace")]
    assert len(others) == 3
    for path in re.findall(r"(?:--file|--kustomize) (\S+)", " ".join(others)):
        assert (manifests.ROOT / path).exists(), path
    services = {
        resource["metadata"]["name"]
        for _, resource in manifests.resources(manifests.KUBERNETES / "tempo")
        if resource["kind"] == "Service"
    }
    assert set(re.findall(r"service/(\S+)", " ".join(others))) <= services


@pytest.mark.parametrize("page", PAGES)
def test_every_path_on_a_page_is_there(page: str) -> None:
    named = set(re.findall(r"`(deploy/[\w./-]+|bench/[\w./-]+|tests/deploy)`", PAGES[page]))
    assert all((manifests.ROOT / path).exists() for path in named), named
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", PAGES[page]):
        assert link.startswith("https://") or (manifests.ROOT / "docs" / link).exists(), link


def test_what_is_shown_of_the_application_stands_in_its_manifest() -> None:
    (shown,) = re.findall(r"```yaml\n(.+?)```", TEXT, re.DOTALL)
    (workload,) = manifests.documents(manifests.KUBERNETES / "application.yaml")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert all(entry in container["env"] for entry in yaml.safe_load(shown)["env"])
