"""scripts/check-artefacts: what is built passes, and each thing that may go wrong with it is told."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from building import copy_of

ROOT = Path(__file__).parents[2]
CORE = "fasttrace/_core/_cython"
pytestmark = [
    pytest.mark.build,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough"),
]


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/check-artefacts"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def spoilt_wheel(wheel: Path, folder: Path, changes: dict[str, bytes | None]) -> Path:
    """The wheel with files put in, replaced, or, with None, left out; its RECORD is right."""
    spoilt = folder / wheel.name
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (record,) = (name for name in files if name.endswith("/RECORD"))
    files = {name: content for name, content in {**files, **changes}.items() if content is not None}
    lines = []
    for name in files.keys() - {record}:
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(files[name])}")
    files[record] = changes.get(record) or "\n".join([*lines, f"{record},,"]).encode()
    with zipfile.ZipFile(spoilt, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return spoilt


def spoilt_sdist(archive: Path, folder: Path, changes: dict[str, bytes | None], owner: int = 0) -> Path:
    """The sdist with files put in, replaced, or, with None, left out; names begin in its folder."""
    spoilt = folder / archive.name
    with tarfile.open(archive) as source, tarfile.open(spoilt, "w") as target:
        top = ""
        for member in source:
            top = top or member.name
            name = member.name.removeprefix(f"{top}/")
            member.uid = owner
            if name not in changes:
                target.addfile(member, source.extractfile(member) if member.isfile() else None)
        for name, content in changes.items():
            if content is not None:
                member = tarfile.TarInfo(f"{top}/{name}")
                member.size = len(content)
                target.addfile(member, io.BytesIO(content))
    return spoilt


def test_what_is_built_passes(sdist_archive: Path, wheel: Path, pure_wheel: Path) -> None:
    run = check(sdist_archive, wheel, pure_wheel)
    assert run.stderr == ""
    assert (run.returncode, run.stdout) == (0, "3 artefacts are as they should be\n")


def extension_of(wheel: Path, module: str) -> tuple[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.startswith(f"{CORE}/{module}.") and name.endswith(".so"))
        return name, archive.read(name)


def test_a_wheel_without_an_extension_is_refused(wheel: Path, pure_wheel: Path, tmp_path: Path) -> None:
    name, _content = extension_of(wheel, "tail")
    run = check(spoilt_wheel(wheel, tmp_path, {name: None}))
    assert run.returncode == 1
    others = "'context', 'decode', 'events', 'headers', 'ids', 'otlp', 'raised', 'recorder', 'ring', 'span', 'store'"
    assert f"its extensions are [{others}], not" in run.stderr
    disguised = tmp_path / wheel.name
    disguised.write_bytes(pure_wheel.read_bytes())
    run = check(disguised)
    assert run.returncode == 1
    assert "its extensions are []" in run.stderr


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (b"\0PyMonitoring_EnterScope\0", "traces lines"),
        (b"\0PyThreadState_EnterTracing\0", "traces lines"),
        (b"\0/home/runner/fasttrace/src/span.pyx\0", "names a file of the machine that built it: /home/runner"),
        (b"\0/opt/python/cp311/lib\0", "names a file of the machine that built it: /opt/python"),
        (b"\0D:\\a\\fasttrace\\build\\span.pdb\0", "names a file of the machine that built it: D:\\a"),
    ],
)
def test_an_extension_that_traces_or_names_a_path_is_refused(
    wheel: Path, tmp_path: Path, planted: bytes, told: str
) -> None:
    name, content = extension_of(wheel, "tail")
    run = check(spoilt_wheel(wheel, tmp_path, {name: content + planted}))
    assert run.returncode == 1
    assert run.stderr.startswith(f"{wheel.name}: {name} ")
    assert told in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fasttrace/py.typed": None}, "fasttrace/py.typed is missing"),
        ({f"{CORE}/span.pyi": None}, f"{CORE}/span.pyi is missing"),
        ({f"{CORE}/span.c": b"/* generated */"}, f"{CORE}/span.c has no place in it"),
        ({f"{CORE}/span.pyx": b"# source"}, f"{CORE}/span.pyx has no place in it"),
        ({"tests/conftest.py": b""}, "tests/conftest.py has no place in it"),
        ({"fasttrace/tracer.py": b"stub = 1"}, "fasttrace/tracer.py is not as it is in this tree"),
        ({"fasttrace/local/web/index.html": None}, "fasttrace/local/web/index.html is missing"),
        ({"fasttrace/local/web/vendor/htm.mjs": b"x"}, "vendor/htm.mjs has not the checksum that its manifest says"),
        ({"{info}/licenses/LICENSE": None}, "it has no licence"),
        ({"{info}/entry_points.txt": None}, "it has no command"),
        ({"{info}/METADATA": b"Name: fasttrace\nVersion: 9\n\n"}, "its metadata says Version: 9"),
        ({"{info}/RECORD": b"fasttrace/py.typed,sha256=x,0\n"}, "RECORD has not the checksum of fasttrace/py.typed"),
    ],
)
def test_a_wheel_that_lacks_or_adds_something_is_refused(
    wheel: Path, tmp_path: Path, changes: dict[str, bytes | None], told: str
) -> None:
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    run = check(spoilt_wheel(wheel, tmp_path, {name.format(info=info): content for name, content in changes.items()}))
    assert run.returncode == 1
    assert told in run.stderr


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({f"src/{CORE}/span.pyx": None}, f"{CORE}/span.pyx is missing"),
        ({f"src/{CORE}/ids.pxd": None}, f"{CORE}/ids.pxd is missing"),
        ({f"src/{CORE}/native/ring.h": None}, f"{CORE}/native/ring.h is missing"),
        ({f"src/{CORE}/span.c": b"/* generated */"}, f"{CORE}/span.c has no place in it"),
        ({"build/span.c": b"/* generated */"}, "build/span.c is generated"),
        ({"setup.py": None}, "setup.py is missing"),
        ({"tests/build/smoke.py": None}, "tests/build/smoke.py is missing"),
        ({"PKG-INFO": b"Name: other\n\n"}, "its metadata says Name: other"),
    ],
)
def test_an_sdist_that_lacks_or_adds_something_is_refused(
    sdist_archive: Path, tmp_path: Path, changes: dict[str, bytes | None], told: str
) -> None:
    run = check(spoilt_sdist(sdist_archive, tmp_path, changes))
    assert run.returncode == 1
    assert told in run.stderr


def test_an_sdist_that_tells_who_packed_it_is_refused(sdist_archive: Path, tmp_path: Path) -> None:
    run = check(spoilt_sdist(sdist_archive, tmp_path, {}, owner=1000))
    assert run.returncode == 1
    assert "has an owner" in run.stderr


README_LINKS = re.compile(r'(?:\]\(|src="|srcset=")([^)"]+)')


@pytest.fixture(scope="session")
def with_a_repository(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources after somebody has said where the repository is."""
    folder = copy_of(sdist, tmp_path_factory)
    project = (folder / "pyproject.toml").read_text()
    urls = '[project.urls]\nRepository = "https://forge.test/us/fasttrace/"\n\n[project.optional-dependencies]'
    (folder / "pyproject.toml").write_text(project.replace("[project.optional-dependencies]", urls))
    return folder


def test_with_a_repository_every_link_of_the_description_leads_there(with_a_repository: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)],
        cwd=with_a_repository, env={**os.environ, "FASTTRACE_BUILD": "pure"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    metadata = BytesParser().parsebytes((tmp_path / "fasttrace.egg-info" / "PKG-INFO").read_bytes())
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = README_LINKS.findall(metadata.get_payload())
    at = f"https://forge.test/us/fasttrace/%s/v{metadata['Version']}/"
    wanted = README_LINKS.findall((ROOT / "README.md").read_text())
    assert [link.removeprefix(at % "blob").removeprefix(at % "raw") for link in links] == wanted
    assert at % "raw" + "docs/images/show.svg" in links
    assert at % "blob" + "docs/library.md" in links
    for target in wanted:
        assert target.startswith("https://") or (ROOT / target.partition("#")[0]).exists(), target


def test_a_description_with_links_into_nowhere_is_refused(with_a_repository: Path, sdist_archive: Path) -> None:
    command = [sys.executable, str(with_a_repository / "scripts/check-artefacts"), "--tag", "v0", str(sdist_archive)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "its description has links that no index can follow: docs/images/show.svg, " in run.stderr
    assert "has no repository" not in run.stderr


def test_a_release_is_everything_under_the_tag_of_its_version(sdist_archive: Path, wheel: Path) -> None:
    run = check("--release", "--tag", "v9.9.9", sdist_archive, wheel)
    assert run.returncode == 1
    version = wheel.name.split("-")[1]
    identifiers = (ROOT / "tests/build/identifiers.txt").read_text().split()
    assert f"the tag is v9.9.9, but src/fasttrace/_version.py says {version}" in run.stderr
    assert run.stderr.count("the release has no ") == len(identifiers) + 1  # all the wheels, and the pure one
    assert f"{wheel.name} is not of the release" in run.stderr  # not repaired: nothing to be had from an index
    assert f"{sdist_archive.name} is not" not in run.stderr
    assert "pyproject.toml has no repository" in run.stderr
