"""The resource: who made the spans."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import fasttrace
from fasttrace import resource
from fasttrace.resource.process import operating_system


def test_the_process_and_the_library_are_named() -> None:
    found = resource.build("shop", {}, {})
    assert found["service.name"] == "shop"
    assert found["telemetry.sdk.name"] == "fasttrace"
    assert found["process.pid"] == os.getpid()
    assert found["process.runtime.name"] == "cpython"
    assert uuid.UUID(found["service.instance.id"]).version == 4


def test_what_is_more_explicit_wins() -> None:
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=from-attributes,team=blue,host.name=box%201"}
    assert resource.build(None, {}, environ)["service.name"] == "from-attributes"
    assert resource.build("from-setting", {}, environ)["service.name"] == "from-setting"
    found = resource.build("from-setting", {"service.name": "from-argument", "team": "red"}, environ)
    assert (found["service.name"], found["team"], found["host.name"]) == ("from-argument", "red", "box 1")


def test_a_process_without_a_name_says_so() -> None:
    assert resource.build(None, {}, {})["service.name"].startswith("unknown_service:")


def test_malformed_attributes_warn_and_are_ignored_as_a_whole() -> None:
    with pytest.warns(RuntimeWarning, match="OTEL_RESOURCE_ATTRIBUTES: 'nonsense'"):
        found = resource.build("shop", {}, {"OTEL_RESOURCE_ATTRIBUTES": "team=blue,nonsense"})
    assert "team" not in found


def test_the_instance_id_stays_and_changes_in_a_forked_child() -> None:
    own = resource.instance_id()
    assert resource.instance_id() == own
    child = os.fork()
    if child == 0:
        os._exit(0 if resource.instance_id() != own else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_process_is_described_without_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/gunicorn", "--password", "hunter2"])
    found = resource.build("shop", {}, {})
    assert found["process.command"] == "/usr/bin/gunicorn"
    assert found["process.executable.path"] == sys.executable
    assert found["process.parent_pid"] == os.getppid()
    assert (found["host.name"], found["os.type"]) == (os.uname().nodename, "linux")
    assert "hunter2" not in repr(found)


def test_the_operating_system_is_the_distribution(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(
        "# as of os-release(5)\nNAME=\"Alpine Linux\"\nVERSION_ID='3.20'\nID=alpine\n"
    )
    found = operating_system({}, f"{tmp_path}/")
    assert (found["os.name"], found["os.version"], found["os.type"]) == ("Alpine Linux", "3.20", "linux")
    assert operating_system({}, f"{tmp_path}/none/")["os.version"] == os.uname().release


def test_a_detector_adds_what_the_environment_may_correct() -> None:
    def rack(environ: Mapping[str, str]) -> dict[str, Any]:
        return {"rack": environ["RACK"], "host.name": "detected", "team": "blue", "nothing": None}

    environ = {"RACK": "r7", "OTEL_RESOURCE_ATTRIBUTES": "team=red"}
    found = resource.build(None, {}, environ, resource.Detectors([rack]))
    assert (found["rack"], found["host.name"], found["team"]) == ("r7", "detected", "red")
    assert "nothing" not in found


def test_a_detector_that_fails_costs_its_own_attributes_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def broken(environ: Mapping[str, str]) -> dict[str, Any]:
        raise OSError("no such planet")

    detectors = resource.Detectors([broken, lambda environ: None, lambda environ: {"rack": "r7"}])  # type: ignore[arg-type]
    for _ in range(3):
        assert resource.build("shop", {}, {}, detectors)["rack"] == "r7"
    (line,) = [record.getMessage() for record in caplog.records if "planet" in record.getMessage()]
    assert line.endswith("broken found nothing: OSError: no such planet")


def test_what_is_no_detector_is_refused_with_what_is() -> None:
    for given in ([{"rack": "r7"}], 7, [dict]):
        with pytest.raises(fasttrace.ConfigurationError, match="use functions that take the environment"):
            fasttrace.TracerProvider(exporter="none", resource_detectors=given)  # type: ignore[arg-type]


def test_a_detector_of_opentelemetry_serves() -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.resources")
    found = resource.Detectors([sdk.ProcessResourceDetector()])({})
    assert found["process.runtime.description"] == sys.version


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_detectors_are_asked_once_in_a_process_and_again_in_a_forked_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def detector(environ: Mapping[str, str]) -> dict[str, Any]:
        asked.append(os.getpid())
        return {"worker.id": f"w{os.getpid()}"}

    monkeypatch.setenv("FASTTRACE_JSONLINES_PATH", str(tmp_path / "traces"))
    provider = fasttrace.TracerProvider(exporter="jsonlines", resource_detectors=[detector])
    tracer = provider.get_tracer("x")
    for _ in range(2):
        tracer.start_span("parent").end()
        assert provider.flush(20)
        assert provider.resource["worker.id"] == f"w{os.getpid()}"
    assert asked == [os.getpid()]
    child = os.fork()
    if child == 0:
        tracer.start_span("child").end()
        os._exit(0 if provider.flush(20) else 1)
    assert os.waitpid(child, 0)[1] == 0
    provider.shutdown(5)
    sent = [
        {item["key"]: next(iter(item["value"].values())) for item in group["resource"]["attributes"]}
        for line in (tmp_path / "traces").read_text().splitlines()
        for group in json.loads(line)["resourceSpans"]
    ]
    assert {(int(found["process.pid"]), found["worker.id"]) for found in sent} == {
        (os.getpid(), f"w{os.getpid()}"),
        (child, f"w{child}"),
    }
    assert len({found["service.instance.id"] for found in sent}) == 2
