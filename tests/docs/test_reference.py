"""The pages that are written from the code say what the code says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from manual import DOCS

from fasttrace import config

sys.path.insert(0, str(DOCS / "reference"))

import settings


def test_no_generated_page_is_stale() -> None:
    command = [sys.executable, str(DOCS / "reference"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_setting_has_one_place() -> None:
    assert sorted(settings.grouped()) == sorted(setting.name for setting in config.SETTINGS)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("variable", "example"), settings.examples().items())
def test_every_variable_has_an_example_that_is_accepted(variable: str, example: str) -> None:
    name = next(setting.name for setting in config.SETTINGS if variable in dict(setting.variables))
    found = config.resolve({}, {variable: example})
    assert found.sources[name] == variable
    assert getattr(found, name) != config.resolve({}, {}).__getattribute__(name) or name == "exporter"
