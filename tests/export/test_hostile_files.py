"""Spools in folders that others can reach: modes, links, pipes, frames that lie, files of another user."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fasttrace import _log
from fasttrace.errors import SpoolError
from fasttrace.export import SpoolExporter, segments
from fasttrace.export.undelivered import Undelivered
from fasttrace.local.store import Store

REQUEST = b"\x0a\x06\x12\x04\x12\x02\x2a\x00"  # one span
HEADER = segments.FRAME

posix = pytest.mark.skipif(os.name == "nt", reason="modes, links and pipes of POSIX")


@pytest.fixture(params=["spool", "undelivered"])
def put(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """Writes one request into a folder, in one of the two ways."""

    def spool(directory: Path) -> None:
        SpoolExporter(directory).append(REQUEST)

    def undelivered(directory: Path) -> None:
        Undelivered(str(directory)).put(REQUEST, 1)

    return spool if request.param == "spool" else undelivered


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def every_line_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "_last", {})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_folders_and_files_are_private_whatever_the_umask(
    put: Callable[[Path], None], open_umask: None, tmp_path: Path
) -> None:
    directory = tmp_path / ".fasttrace" / "deep" / "spool"
    put(directory)
    (path,) = directory.glob("*.spool")
    assert mode(path) == 0o600
    assert [mode(folder) for folder in (directory, directory.parent, directory.parent.parent)] == [0o700] * 3


@posix
def test_a_folder_that_the_user_made_keeps_its_mode_and_its_files_are_private(
    put: Callable[[Path], None], open_umask: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "readable"
    directory.mkdir(0o755)
    put(directory)
    (path,) = directory.glob("*.spool")
    assert (mode(directory), mode(path)) == (0o755, 0o600)
    assert caplog.text == ""


@posix
def test_a_folder_that_everybody_can_write_is_told(
    put: Callable[[Path], None], open_umask: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "shared"
    directory.mkdir(0o1777)
    put(directory)
    assert "chmod o-w" in caplog.text
    assert mode(directory) == 0o1777
    (path,) = directory.glob("*.spool")
    assert mode(path) == 0o600


# --- what is no file


def plant(directory: Path, kind: str, elsewhere: Path) -> Path:
    """Something with the name of a segment that is none."""
    path = directory / "00000000000000000001-1-planted.spool"
    elsewhere.write_bytes(segments.pack(REQUEST))
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "dangling link":
        path.symlink_to(elsewhere.with_name("nowhere"))
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    return path


@posix
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["link", "dangling link", "link to a device", "pipe", "folder"])
def test_what_is_no_regular_file_is_no_segment(kind: str, tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    elsewhere = tmp_path / "elsewhere"
    path = plant(directory, kind, elsewhere)
    assert segments.claim(str(path)) is None
    assert list(segments.read(path)) == []
    assert segments.sizes(directory) == []
    assert list(Store(directory).spans()) == []
    box = Undelivered(str(directory))
    box.scan()
    assert not box.waiting, "what lies elsewhere must not be sent"
    SpoolExporter(directory, max_bytes=10).append(REQUEST)
    assert elsewhere.read_bytes() == segments.pack(REQUEST), "what lies elsewhere must not be written"
    assert os.path.lexists(path)


@posix
def test_a_folder_that_is_a_link_is_the_users_choice(put: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    put(tmp_path / "link")
    assert len(list(segments.requests(tmp_path / "link"))) == 1


PLANT = """
import os, sys
os.setgid(65534)
os.setuid(65534)
os.umask(0)
with open(sys.argv[1], "wb") as file:
    file.write(bytes.fromhex(sys.argv[2]))
"""


@posix
def test_what_another_user_has_planted_is_not_sent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with_access = Path("/tmp") / f"fasttrace-{os.getpid()}-{os.urandom(4).hex()}"  # pytest's own is closed to others
    with_access.mkdir()
    with_access.chmod(0o1777)
    try:
        path = with_access / "00000000000000000001-1-planted.spool"
        command = [sys.executable, "-I", "-S", "-c", PLANT, str(path), segments.pack(REQUEST).hex()]
        subprocess.run(command, check=True)
        box = Undelivered(str(with_access))
        box.scan()
        assert not box.waiting
        assert "belongs to another user" in caplog.text
        box.put(REQUEST, 1)
        assert box.first() is not None
    finally:
        for path in with_access.iterdir():
            path.unlink()
        with_access.rmdir()


# --- frames that lie


def peak(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "data",
    [
        HEADER.pack(b"FTS1", 0xFFFFFFFF, 0) + b"x" * 100,
        HEADER.pack(b"FTS1", 12, 0) * 1000,
        # Each says that it reaches as far as it can: checked one by one, that would take an hour.
        b"".join(HEADER.pack(b"FTS1", 6_000_000, number) for number in range(1_000_000)),
        b"FTS1" * 200_000,
        b"FT" * 100_000,
        b"FTS1\xff\xff\xff\xff torn",
    ],
    ids=["beyond the end", "wrong checksums", "each reaches far", "magic only", "half a magic", "torn"],
)
def test_lying_lengths_cost_no_more_than_their_bytes(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "1.spool").write_bytes(data)
    assert list(segments.read(tmp_path / "1.spool")) == []
    assert peak(lambda: list(segments.read(tmp_path / "1.spool"))) < len(data) + 4 * segments.PIECE_BYTES
    box = Undelivered(str(tmp_path))
    box.scan()
    assert not box.waiting


def test_a_frame_after_lies_is_still_found(tmp_path: Path) -> None:
    lies = HEADER.pack(b"FTS1", 0xFFFFFFFF, 0) + HEADER.pack(b"FTD1", 30, 7) + b"FT FTS FTS1"
    (tmp_path / "1.spool").write_bytes(lies + segments.pack(REQUEST) + lies + segments.pack(b""))
    assert [request for request, _ in segments.read(tmp_path / "1.spool")] == [REQUEST, b""]


def test_a_segment_of_any_size_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "1.spool"
    with open(path, "wb") as file:
        file.write(segments.pack(REQUEST))
        file.truncate(300 << 20)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(segments.pack(b"x" * (3 << 20)) + segments.pack(REQUEST))
    sizes: list[int] = []
    assert peak(lambda: sizes.extend(len(request) for request, _ in segments.read(path))) < 32 << 20
    assert sizes == [len(REQUEST), 3 << 20, len(REQUEST)]


def test_a_request_that_no_reader_would_take_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_REQUEST_BYTES", 10)
    with pytest.raises(SpoolError, match="FASTTRACE_MAX_BATCH_BYTES"):
        SpoolExporter(tmp_path).append(bytes(11))
    SpoolExporter(tmp_path).append(bytes(10))


PIECES = st.one_of(
    st.binary(max_size=30),
    st.binary(max_size=30).map(segments.pack),
    st.binary(max_size=30).map(lambda data: segments.DELIVERED + segments.pack(data)[4:]),
    st.tuples(st.sampled_from([b"FTS1", b"FTD1", b"FT"]), st.integers(0, 2**32 - 1), st.integers(0, 60)).map(
        lambda parts: HEADER.pack(parts[0], parts[2], parts[1])
    ),
)


def plainly(data: bytes) -> list[tuple[bytes, int]]:
    """What is in a segment, found in the plainest way."""
    found = []
    at = 0
    while at + HEADER.size <= len(data):
        magic, length, checksum = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        body = data[at + HEADER.size : end]
        if magic in (b"FTS1", b"FTD1") and end <= len(data) and zlib.crc32(body) == checksum:
            found.append((body, end))
            at = end
        else:
            at += 1
    return found


@pytest.mark.parametrize("piece", [12, 13, 50, 1 << 20])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=6))
def test_frames_between_anything_are_found_however_it_is_read(
    piece: int, pieces: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "PIECE_BYTES", piece)
    monkeypatch.setattr(segments, "WASTE_RATIO", 1000)
    path = tmp_path / "1.spool"
    data = b"".join(pieces)
    path.write_bytes(data)
    found = list(segments.read(path))
    assert found == plainly(data)
    for _, end in found:
        assert list(segments.read(path, end)) == [item for item in found if item[1] > end]


# --- secrets


def test_no_secret_of_a_zipkin_exporter_reaches_the_log_the_stats_or_the_disk(
    chaos: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from chaos import answer, reset

    import fasttrace
    from fasttrace.export import ZipkinExporter

    caplog.set_level(logging.DEBUG)
    for behaviour in (answer(401), answer(503), reset):
        chaos.script = [behaviour]
        exporter = ZipkinExporter(chaos.endpoint, timeout=0.05)
        # What a gateway in front of Zipkin may want; there is no argument for it yet.
        exporter._sender._headers["authorization"] = "Bearer hunter2"
        provider = fasttrace.TracerProvider(
            exporter=exporter, undelivered_dir=str(tmp_path / "undelivered"), schedule_delay=60
        )
        provider.get_tracer("test").start_span("one").end()
        assert provider.flush(20) is False
        assert "hunter2" not in json.dumps(provider.stats()) + caplog.text + repr(exporter)
        provider.shutdown(1)
    assert chaos.requests[0][1]["authorization"] == "Bearer hunter2"
    for path in (tmp_path / "undelivered").rglob("*"):
        assert "hunter2" not in path.name
        assert path.is_dir() or b"hunter2" not in path.read_bytes()
