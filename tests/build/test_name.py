"""The name of the distribution: pyproject.toml has it, everything that says it follows."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from fasttrace.errors import MissingExtraError

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = "|".join(PROJECT["optional-dependencies"])
READ = ("README.md", "CONTRIBUTING.md", "docs", "examples", "deploy", ".github", "src")
pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough")


def test_errors_say_the_name_that_was_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f'pip install "{PROJECT["name"]}[viewer]"' in str(MissingExtraError("fasttrace demo", "viewer"))
    other = tmp_path / "other_name-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other-name\nVersion: 1.0\n")
    (other / "top_level.txt").write_text("fasttrace\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert 'pip install "other-name[viewer]"' in str(MissingExtraError("fasttrace demo", "viewer"))


def test_extras_that_include_others_say_the_name() -> None:
    required = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    own = [text for text in required if re.search(rf"\[(?:(?:{EXTRAS}),?)+\]", text)]
    assert own
    assert {text.partition("[")[0] for text in own} == {PROJECT["name"]}


def test_commands_in_the_documentation_say_the_name() -> None:
    said = {}
    for name in READ:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.suffix not in (".md", ".py", ".yml", ".yaml", ".txt", ".toml") or not file.is_file():
                continue
            for found in re.findall(rf"([\w-]+)\[(?:(?:{EXTRAS}),?)+\]", file.read_text()):
                said.setdefault(found, file)
    assert said.pop(PROJECT["name"], None) is not None
    wrong = {found: file for found, file in said.items() if re.search("fast.?trace", found, re.IGNORECASE)}
    assert wrong == {}
