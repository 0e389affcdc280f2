"""What is built once for all tests: the sdist, and the wheels of it."""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from building import build, copy_of, left_out, wheel_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def only_where_the_compiler_is(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--impl") == "python":
        pytest.skip("builds are tested in the compiled leg")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree as a clone has it."""
    folder = tmp_path_factory.mktemp("tree") / "fasttrace"
    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


@pytest.fixture(scope="session")
def sdist_archive(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    run = build(tree, folder, "sdist")
    assert run.returncode == 0, run.stdout + run.stderr
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def sdist(sdist_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist_archive) as file:
        file.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_of(sdist, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def pure_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_of(
        copy_of(sdist, tmp_path_factory), tmp_path_factory.mktemp("pure"), FASTTRACE_BUILD="pure", CC="false"
    )
