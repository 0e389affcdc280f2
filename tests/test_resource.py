"""The resource: who made the spans."""

from __future__ import annotations

import os
import uuid

import pytest

from fasttrace import resource


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
