"""Virtual environments of the benchmarks, outside of the tree: one per library, for they do not agree on versions."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "*.so", "*.egg-info", "__pycache__")


class CanNotBeMade(Exception):
    """Says what pip said last."""


def python(name: str, requirements: Sequence[str], base: str = sys.executable) -> str:
    """The interpreter of an environment that has these, made of another one if need be. Raises CanNotBeMade."""
    place = _folder(base) / name
    interpreter, mark = str(place / "bin" / "python"), place / "requirements.txt"
    wanted = "\n".join(requirements)
    if not mark.is_file() or mark.read_text(encoding="utf-8") != wanted:
        _run(base, "-m", "venv", "--clear", str(place))
        _install(interpreter, *requirements)
        mark.write_text(wanted, encoding="utf-8")
    return interpreter


def with_this_tree(base: str) -> str:
    """The interpreter of an environment with this fasttrace and what the benchmarks need. Raises CanNotBeMade."""
    needed = ("Cython>=3.1", "setuptools>=77", "fastapi>=0.110", "urllib3>=2.2")
    packages = ("exporter-otlp-proto-http", "sdk", "instrumentation-asgi", "instrumentation-fastapi")
    interpreter = python("fasttrace", (*needed, *(f"opentelemetry-{name}" for name in packages)), base)
    mark = _folder(base) / "fasttrace" / "tree.sha256"
    with tempfile.TemporaryDirectory() as folder:
        # A copy: what another Python has built in the tree is of no use to this one.
        tree = Path(shutil.copytree(ROOT, Path(folder) / "tree", ignore=LEFT_OUT))
        digest = _digest(tree)
        if not mark.is_file() or mark.read_text(encoding="utf-8") != digest:
            _install(interpreter, "--force-reinstall", "--no-deps", str(tree))
            mark.write_text(digest, encoding="utf-8")
    return interpreter


def _digest(tree: Path) -> str:
    """Of all that is built and installed, and of how."""
    found = hashlib.sha256(b"".join((tree / name).read_bytes() for name in ("setup.py", "pyproject.toml")))
    for path in sorted(tree.glob("src/**/*.*")):
        if path.is_file():
            found.update(str(path.relative_to(tree)).encode() + path.read_bytes())
    return found.hexdigest()


def _folder(base: str) -> Path:
    """Where they are, by the version of what they are made of."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (
        cache / "fasttrace-bench" / f"cpython-{_run(base, '-c', 'import platform; print(platform.python_version())')}"
    )


def _install(interpreter: str, *what: str) -> None:
    _run(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def _run(*command: str) -> str:
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise CanNotBeMade((done.stdout.strip().splitlines() or ["no message"])[-1])
    return done.stdout.strip()
