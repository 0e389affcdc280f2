"""The C floor: compiled here on first use, never shipped.

"floor" runs the source of the others, in which attributes and events are calls that do nothing; "bare floor" runs the
blocks without those calls.
"""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cases

FOLDER = Path(__file__).parents[1] / "floor"


def compiled() -> Any:
    """The module, built next to its source's cache unless it is on the path already."""
    if find_spec("c_floor") is not None:
        return import_module("c_floor")
    import pyximport
    import setuptools  # noqa: F401 - Pythons since 3.12 have no distutils but its

    sys.path.insert(0, str(FOLDER))
    importers = pyximport.install(build_dir=str(FOLDER / "build" / platform.python_version()), language_level=3)
    try:
        return import_module("c_floor")
    finally:
        pyximport.uninstall(*importers)


def make(name: str = "floor") -> cases.Subject:
    names = {"start": compiled().Floor}
    say = cases.Dialect(given=None) if name == "floor" else cases.Dialect(given=None, set="pass", event="pass")
    loops = cases.build(say, names, names)
    if name != "floor":
        del loops["set_attribute"]
    return cases.Subject(name, loops)
