"""What is distributed: the sdist, the compiled wheel built from it, the pure wheel, and builds that must fail."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from building import build, copy_of, wheel_of

ROOT = Path(__file__).parents[2]
MODULES = (
    "ids",
    "context",
    "headers",
    "otlp",
    "decode",
    "ring",
    "store",
    "tail",
    "recorder",
    "events",
    "raised",
    "span",
)
pytestmark = [pytest.mark.build, pytest.mark.timeout(600)]


def run_from(wheel: Path, folder: Path, code: str) -> str:
    """What a program prints with the unpacked wheel in front of the path."""
    if not (folder / "fasttrace").exists():
        with zipfile.ZipFile(wheel) as file:
            file.extractall(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTTRACE_")}
    environment["PYTHONPATH"] = str(folder)
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_sdist_has_all_sources_and_nothing_generated(sdist: Path) -> None:
    files = {str(path.relative_to(sdist)) for path in sdist.rglob("*") if path.is_file()}
    core = "src/fasttrace/_core/_cython"
    assert {f"{core}/{module}.pyx" for module in MODULES} <= files
    assert {
        f"{core}/native/{name}.h" for name in ("ring", "store", "judge", "rng", "process", "atomics", "buffer")
    } <= files
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE", "src/fasttrace/py.typed"} <= files
    assert "src/fasttrace/integrations/_site/sitecustomize.py" in files
    generated = [name for name in files if name.startswith("src/") and name.endswith((".c", ".cpp", ".so"))]
    generated += [name for name in files if name.startswith(core) and name.endswith(".html")]
    assert generated == []


def web_files() -> set[str]:
    """The page's files as the wheel names them."""
    source = ROOT / "src"
    return {str(path.relative_to(source)) for path in (source / "fasttrace/local/web").rglob("*") if path.is_file()}


def test_sdist_and_wheels_have_the_whole_page(sdist: Path, wheel: Path, pure_wheel: Path) -> None:
    assert {"fasttrace/local/web/index.html", "fasttrace/local/web/vendor/manifest.json"} <= web_files()
    for built in (wheel, pure_wheel):
        names = zipfile.ZipFile(built).namelist()
        assert {name for name in names if name.startswith("fasttrace/local/web/")} == web_files()
    assert all((sdist / "src" / name).is_file() for name in web_files())


def test_the_wheel_has_every_extension_and_nothing_generated(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    extensions = sorted(Path(name).name.partition(".")[0] for name in names if name.endswith((".so", ".pyd")))
    assert extensions == sorted(MODULES)
    assert not [name for name in names if name.endswith((".c", ".cpp", ".pyx", ".h"))]
    assert not [name for name in names if "_cython" in name and name.endswith(".html")]
    assert not [name for name in names if name.startswith(("tests", "bench", "scripts", "build"))]
    assert "fasttrace/py.typed" in names
    assert "fasttrace/integrations/_site/sitecustomize.py" in names
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert f"cp{sys.version_info[0]}{sys.version_info[1]}-" in wheel.name


def test_the_wheel_runs_compiled(wheel: Path, tmp_path: Path) -> None:
    printed = run_from(wheel, tmp_path, "import fasttrace; print(*fasttrace.implementation(), fasttrace.__file__)")
    assert printed == f"cython compiled extension loaded {tmp_path}/fasttrace/__init__.py\n"


TRACED_LINES = """
import sys
seen = set()
def trace(frame, event, argument):
    if frame.f_code.co_filename.endswith(".pyx"):
        seen.add(event)
    return trace
import fasttrace
provider = fasttrace.TracerProvider(exporter="none")
sys.settrace(trace)
with provider.get_tracer("x").start_as_current_span("x") as span:
    span.set_attribute("key", [1])
sys.settrace(None)
print(sorted(seen))
"""


def test_a_release_build_has_no_line_tracing(wheel: Path, tmp_path: Path) -> None:
    assert run_from(wheel, tmp_path, TRACED_LINES) == "[]\n"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough")
def test_a_traced_build_is_seen_by_that_test(tree: Path, tmp_path: Path) -> None:
    traced = wheel_of(tree, tmp_path / "wheel", FASTTRACE_BUILD_TRACE="1", FASTTRACE_BUILD_DEBUG="1")
    assert "line" in run_from(traced, tmp_path / "unpacked", TRACED_LINES)


def test_the_pure_wheel_is_for_every_python(pure_wheel: Path, tmp_path: Path) -> None:
    assert pure_wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(pure_wheel).namelist()
    assert not [name for name in names if name.endswith((".so", ".pyd", ".pyx", ".pxd", ".h", ".c"))]
    printed = run_from(
        pure_wheel,
        tmp_path,
        "import os; os.environ['FASTTRACE_IMPL'] = 'python'; import fasttrace; print(*fasttrace.implementation())",
    )
    assert printed == "python FASTTRACE_IMPL=python\n"


def test_a_failing_compiler_fails_the_build_and_names_both_ways_out(
    sdist: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = build(copy_of(sdist, tmp_path_factory), tmp_path, "wheel", CC="false")
    assert run.returncode != 0
    assert not list(tmp_path.glob("*.whl"))
    printed = run.stdout + run.stderr
    assert "fasttrace could not build its compiled core" in printed
    assert "install a C compiler" in printed
    assert "FASTTRACE_BUILD=pure" in printed


def test_an_unknown_kind_of_build_is_refused(sdist: Path, tmp_path: Path) -> None:
    run = build(sdist, tmp_path, "wheel", FASTTRACE_BUILD="fast")
    assert run.returncode != 0
    assert "FASTTRACE_BUILD='fast': use cython or pure" in run.stdout + run.stderr
