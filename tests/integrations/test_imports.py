"""What waits for the import of a module: told once, whatever kind of module, and the module as it always was."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fasttrace.integrations import _imports
from fasttrace.integrations._imports import when_imported

SOURCE = "first = (__loader__, __spec__.loader)\n"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
    _imports._hooks.clear()


def told(name: str) -> list[ModuleType]:
    found: list[ModuleType] = []
    when_imported(name, found.append)
    return found


def test_a_module_is_told_once_and_has_its_own_loader_from_its_first_line_on(tmp_path: Path) -> None:
    (tmp_path / "awaited.py").write_text(SOURCE)
    found = told("awaited")
    assert found == []
    module = importlib.import_module("awaited")
    assert importlib.reload(importlib.import_module("awaited")) is module
    assert found == [module]
    plain = importlib.util.spec_from_file_location("plain", tmp_path / "awaited.py")
    assert plain is not None
    assert {type(loader) for loader in (*module.first, module.__loader__)} == {type(plain.loader)}
    assert told("awaited") == [module], "what is imported already is told at once"


def test_packages_extensions_and_archives_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package" / "inner").mkdir(parents=True)
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "inner" / "leaf.py").write_text(SOURCE)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("zipped.py", SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "archive.zip")
    extension = next(name for name in ("_uuid", "_zoneinfo", "_statistics") if importlib.util.find_spec(name))
    monkeypatch.delitem(sys.modules, extension, raising=False)
    for name in ("package", "package.inner.leaf", "zipped", extension):
        found = told(name)
        assert found == [importlib.import_module(name)], name


def test_an_import_that_fails_is_told_when_it_succeeds(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("import sys\nif not hasattr(sys, 'late'): raise RuntimeError('not yet')\n")
    found = told("late")
    with pytest.raises(RuntimeError, match="not yet"):
        importlib.import_module("late")
    assert found == []
    sys.late = True  # type: ignore[attr-defined]
    try:
        module = importlib.import_module("late")
        assert found == [module]
    finally:
        del sys.late  # type: ignore[attr-defined]
    told("there_is_none")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("there_is_none")


def test_a_module_that_puts_another_in_its_place_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "stands.py").write_text("import sys, types\nsys.modules[__name__] = types.SimpleNamespace(real=True)\n")
    found = told("stands")
    assert importlib.import_module("stands").real
    assert [module.real for module in found] == [True]


def test_another_finder_that_asks_all_others_does_not_go_round_in_circles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "awaited.py").write_text(SOURCE)

    class Asking:
        busy = False

        def find_spec(self, name: str, path: object = None, target: object = None) -> object:
            if Asking.busy or name != "awaited":
                return None
            Asking.busy = True
            try:
                return importlib.util.find_spec(name)
            finally:
                Asking.busy = False

    found = told("awaited")
    monkeypatch.setattr(sys, "meta_path", [sys.meta_path[0], Asking(), *sys.meta_path[1:]])
    assert importlib.import_module("awaited") is found[0]
    assert len(found) == 1
