"""The release workflow: one job may publish, it runs nothing of ours, and everything comes before it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
WORKFLOWS = Path(__file__).parents[2] / ".github/workflows"
pytestmark = [
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough"),
    pytest.mark.skipif(not WORKFLOWS.is_dir(), reason="an sdist has no workflows"),
]


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())


def test_one_job_may_publish_and_runs_nothing_of_the_repository() -> None:
    may_publish = []
    for path in WORKFLOWS.glob("*.yml"):
        found = workflow(path.stem)
        assert isinstance(found["permissions"], dict), (
            f"{path.name} leaves its permissions to the repository's settings"
        )
        for name, job in [("", found), *found["jobs"].items()]:
            if "id-token" in job.get("permissions", {}):
                may_publish.append((path.stem, name, job["permissions"]))
    assert may_publish == [("release", "publish", {"id-token": "write"})]
    publish = workflow("release")["jobs"]["publish"]
    assert publish["environment"] == "pypi"
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def test_everything_is_built_tried_and_looked_into_before() -> None:
    release, wheels = workflow("release")["jobs"], workflow("wheels")["jobs"]
    assert (release["publish"]["needs"], release["wheels"]["needs"]) == ("wheels", "version")
    assert release["wheels"]["uses"].endswith("/.github/workflows/wheels.yml")
    assert (wheels["complete"]["needs"], wheels["compiled"]["needs"]) == ("compiled", "sources")
    assert "./scripts/check-artefacts --release dist/*" in [step.get("run") for step in wheels["complete"]["steps"]]
    assert not [job for job in (*release.values(), *wheels.values()) if job.get("continue-on-error") or job.get("if")]


def test_each_kind_of_wheel_has_a_machine_that_builds_it() -> None:
    machines = workflow("wheels")["jobs"]["compiled"]["strategy"]["matrix"]["os"]
    lines = (WORKFLOWS.parents[1] / "tests/build/identifiers.txt").read_text().split()
    kinds = {line.partition("-")[2].replace("musl", "many") for line in lines}
    assert len(machines) == len(kinds) == 6
