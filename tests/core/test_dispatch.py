"""Which implementation is loaded, in fresh interpreters, and what is said when it can't be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fasttrace

PRINT = "import fasttrace; print(*fasttrace.implementation(), sep='|')"


def python(code: str, path: Path | None = None, **variables: str) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTTRACE_")}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    environment |= variables
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def without_extensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package as the pure wheel has it."""
    folder = tmp_path_factory.mktemp("pure")
    shutil.copytree(
        Path(fasttrace.__file__).parent,
        folder / "fasttrace",
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "*.pyx", "*.pxd", "__pycache__"),
    )
    return folder


def test_each_implementation_can_be_demanded(core: Any) -> None:
    run = python(PRINT, FASTTRACE_IMPL=core.name)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{core.name}|FASTTRACE_IMPL={core.name}\n"


def test_this_run_tests_the_implementation_it_names(request: pytest.FixtureRequest) -> None:
    chosen = os.environ.get("FASTTRACE_IMPL")
    if chosen in ("cython", "python"):
        assert fasttrace.implementation() == (chosen, f"FASTTRACE_IMPL={chosen}")
        assert request.config.getoption("--impl") in (chosen, "both")


@pytest.mark.parametrize("value", ["", "auto"])
def test_the_compiled_core_is_taken_where_it_is(both: Any, value: str) -> None:
    run = python(PRINT, FASTTRACE_IMPL=value)
    assert run.stdout == "cython|compiled extension loaded\n"
    assert run.stderr == ""


def test_a_missing_compiled_core_warns_once_and_says_why(without_extensions: Path) -> None:
    run = python(PRINT + "; print(len([1 for _ in range(3) if __import__('fasttrace')]))", without_extensions)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("python|no compiled extension: ")
    assert run.stderr.count("RuntimeWarning") == 1
    assert "FASTTRACE_IMPL=python" in run.stderr


def test_choosing_the_pure_core_is_silent(without_extensions: Path) -> None:
    run = python(PRINT, without_extensions, FASTTRACE_IMPL="python")
    assert (run.stdout, run.stderr) == ("python|FASTTRACE_IMPL=python\n", "")


def test_a_demanded_core_that_is_missing_is_an_error_that_names_the_ways_out(without_extensions: Path) -> None:
    run = python(PRINT, without_extensions, FASTTRACE_IMPL="cython")
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: FASTTRACE_IMPL=cython")
    assert "FASTTRACE_BUILD=cython" in last
    assert "FASTTRACE_IMPL=python" in last


def test_the_doctor_finds_a_demanded_core_that_is_missing(without_extensions: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(without_extensions), "FASTTRACE_IMPL": "cython"}
    run = subprocess.run(
        [sys.executable, "-m", "fasttrace", "doctor", "--offline"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (1, "")
    assert "error    implementation" in run.stdout
    assert "compiled core is not installed" in run.stdout


def test_a_broken_compiled_core_is_an_error_not_a_fallback(without_extensions: Path, tmp_path: Path) -> None:
    import sysconfig

    broken = tmp_path / "fasttrace"
    shutil.copytree(without_extensions / "fasttrace", broken)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    (broken / "_core" / "_cython" / f"ids{suffix}").write_bytes(b"not a library")
    run = python(PRINT, tmp_path)
    assert run.returncode == 1
    assert "ImportError" in run.stderr


def test_an_unknown_choice_is_refused(core: Any) -> None:
    run = python(PRINT, FASTTRACE_IMPL="rust")
    assert run.returncode == 1
    assert "FASTTRACE_IMPL='rust': use auto, cython or python" in run.stderr
