"""The local spool: torn and damaged files, killed processes, several writers, caps and permissions."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from succeeding import succeed

import fasttrace
from fasttrace._core import decode
from fasttrace.errors import SpoolError
from fasttrace.export import JSONLinesExporter, SpoolExporter, segments, spool
from fasttrace.export.undelivered import Undelivered

MakeBatch = Callable[..., Any]


def names(directory: Path) -> list[str]:
    return [span.name for request in segments.requests(directory) for span in decode.decode_request(request)]


def write(directory: Path, *batches: Any) -> Path:
    exporter = SpoolExporter(directory)
    for batch in batches:
        exporter.export(batch)
    exporter.shutdown(1)
    return Path(segments.paths(directory)[-1])


def test_what_is_written_is_read(tmp_path: Path, make_batch: MakeBatch) -> None:
    write(tmp_path / "spool", make_batch(2, "first"), make_batch(1, "second"))
    assert names(tmp_path / "spool") == ["first", "first", "second"]


def test_folder_and_files_are_private(tmp_path: Path, make_batch: MakeBatch) -> None:
    path = write(tmp_path / "spool", make_batch(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_every_torn_tail_costs_its_frame_only(tmp_path: Path, make_batch: MakeBatch) -> None:
    path = write(tmp_path, make_batch(1, "whole"))
    whole = path.stat().st_size
    path = write(tmp_path, make_batch(1, "torn"))
    first, second = (Path(item) for item in segments.paths(tmp_path))
    data = first.read_bytes() + second.read_bytes()
    second.unlink()
    for length in range(whole, len(data)):
        first.write_bytes(data[:length])
        assert names(tmp_path) == ["whole"], length
    first.write_bytes(data)
    assert names(tmp_path) == ["whole", "torn"]


def test_damage_in_the_middle_costs_the_damaged_frame_only(tmp_path: Path, make_batch: MakeBatch) -> None:
    path = write(tmp_path, make_batch(1, "first"))
    middle = path.stat().st_size
    path = write(tmp_path, make_batch(1, "second"), make_batch(1, "third"))
    first, second = (Path(item) for item in segments.paths(tmp_path))
    data = bytearray(first.read_bytes() + second.read_bytes())
    second.unlink()
    for at in range(middle, middle + 40):
        damaged = data.copy()
        damaged[at] ^= 0xFF
        first.write_bytes(damaged)
        assert names(tmp_path) == ["first", "third"], at


def test_foreign_files_are_left_alone(tmp_path: Path, make_batch: MakeBatch) -> None:
    write(tmp_path, make_batch(1))
    (tmp_path / "notes.txt").write_text("FTS1 of mine")
    (tmp_path / "empty.spool").touch()
    (tmp_path / "noise.spool").write_bytes(os.urandom(5000))
    assert names(tmp_path) == ["operation"]


def test_a_missing_folder_is_an_empty_spool(tmp_path: Path) -> None:
    assert names(tmp_path / "nowhere") == []


WRITER = textwrap.dedent(
    """
    import os, sys
    import fasttrace
    from fasttrace.export import SpoolExporter
    provider = fasttrace.TracerProvider(exporter=SpoolExporter(sys.argv[1], segment_bytes=4000), schedule_delay=0.005)
    tracer = provider.get_tracer("writer")
    number = 0
    while number != int(sys.argv[3]):
        tracer.start_span(f"{sys.argv[2]} {number}").end()
        number += 1
        if number % 50 == 0:
            provider.flush(10)
            print(number, flush=True)
    provider.shutdown(10)
    """
)


def start_writer(directory: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(directory), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_several_processes_share_a_spool(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, f"writer{index}", 600) for index in range(3)]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    found = names(tmp_path)
    assert len(found) == len(set(found)) == 1800


def test_a_killed_process_leaves_all_that_it_flushed(tmp_path: Path) -> None:
    writer = start_writer(tmp_path, "killed", -1)
    assert writer.stdout is not None
    flushed = 0
    while flushed < 500:
        flushed = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    found = names(tmp_path)
    assert set(found) >= {f"killed {number}" for number in range(flushed)}
    assert len(found) == len(set(found))


def test_the_oldest_finished_segments_go_first(tmp_path: Path, make_batch: MakeBatch) -> None:
    batch = make_batch(10)
    size = len(batch.otlp) + segments.FRAME.size
    exporter = SpoolExporter(tmp_path, max_bytes=10 * size, segment_bytes=2 * size)
    for number in range(40):
        exporter.export(make_batch(10, f"batch {number:02d}"))
    total = sum(os.stat(path).st_size for path in segments.paths(tmp_path))
    assert total <= 11 * size
    kept = names(tmp_path)
    assert kept[-1] == "batch 39"
    assert kept == sorted(kept)
    assert len(set(kept)) >= 6
    exporter.shutdown(1)


def test_a_segment_that_is_being_written_is_never_deleted(tmp_path: Path, make_batch: MakeBatch) -> None:
    writing = SpoolExporter(tmp_path)
    writing.export(make_batch(10, "mine"))
    other = SpoolExporter(tmp_path, max_bytes=2000, segment_bytes=500)
    for _ in range(20):
        other.export(make_batch(5, "other"))
    assert names(tmp_path).count("mine") == 10
    writing.shutdown(1)
    other.shutdown(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_writes_a_segment_of_its_own(tmp_path: Path, make_batch: MakeBatch) -> None:
    exporter = SpoolExporter(tmp_path)
    exporter.export(make_batch(1, "parent"))
    child = os.fork()
    if child == 0:
        try:
            exporter.export(make_batch(1, "child"))
            exporter.shutdown(1)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    exporter.export(make_batch(1, "parent again"))
    exporter.shutdown(1)
    assert len(segments.paths(tmp_path)) == 2
    assert sorted(names(tmp_path)) == ["child", "parent", "parent again"]


# In a process of its own: what gRPC has begun in this one it goes on with in the child, and aborts without its descriptors.
DAEMON = """
import os, stat, sys
from fasttrace.export import SpoolExporter
from fasttrace.export.base import Batch
exporter = SpoolExporter(sys.argv[1])
exporter.export(Batch(bytes.fromhex(sys.argv[2]), 1))
child = os.fork()
if not child:
    os.closerange(3, 200)
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(197)]
    exporter.export(Batch(bytes.fromhex(sys.argv[3]), 1))
    assert all(stat.S_ISCHR(os.fstat(descriptor).st_mode) for descriptor in opened)
else:
    assert os.waitpid(child, 0)[1] == 0
    exporter.shutdown(1)
"""


def test_a_daemon_that_closed_what_it_inherited_keeps_what_it_opened(tmp_path: Path, make_batch: MakeBatch) -> None:
    requests = [make_batch(1, name).otlp.hex() for name in ("parent", "daemon")]
    succeed([sys.executable, "-c", DAEMON, str(tmp_path), *requests])
    assert sorted(names(tmp_path)) == ["daemon", "parent"]


def test_what_is_written_after_the_folder_was_deleted_is_found(tmp_path: Path, make_batch: MakeBatch) -> None:
    exporter = SpoolExporter(tmp_path / "spool")
    exporter.export(make_batch(1, "gone"))
    shutil.rmtree(tmp_path / "spool")
    exporter.export(make_batch(1, "kept"))
    exporter.export(make_batch(1, "kept, too"))
    exporter.shutdown(1)
    assert names(tmp_path / "spool") == ["kept", "kept, too"]


def test_a_process_that_goes_elsewhere_writes_where_it_was_told_to(
    tmp_path: Path, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    exporters = SpoolExporter("spool"), JSONLinesExporter("traces.jsonl")
    undelivered = Undelivered("undelivered")
    monkeypatch.chdir(elsewhere)
    for exporter in exporters:
        exporter.export(make_batch(1))
    undelivered.put(make_batch(1).otlp, 1)
    assert os.listdir(elsewhere) == []
    assert len(segments.paths(here / "spool")) == len(segments.paths(here / "undelivered")) == 1
    assert (here / "traces.jsonl").read_text().count("\n") == 1
    exporters[0].shutdown(1)
    undelivered.close()


def test_a_full_disk_leaves_no_files_without_a_span_in_them(
    tmp_path: Path, make_batch: MakeBatch, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    exporter = SpoolExporter(tmp_path)
    for room in (100, 0):  # torn, nothing written
        with full_disk(room):
            for _ in range(5):
                with pytest.raises(SpoolError):
                    exporter.export(make_batch(1, "refused"))
    assert os.listdir(tmp_path) == []
    exporter.export(make_batch(1, "kept"))
    with full_disk(os.path.getsize(segments.paths(tmp_path)[0]) + 100), pytest.raises(SpoolError):
        exporter.export(make_batch(1, "refused"))
    exporter.export(make_batch(1, "kept, too"))
    exporter.shutdown(1)
    assert names(tmp_path) == ["kept", "kept, too"]


def blocked(tmp_path: Path) -> Path:
    """A folder that can't be made, also by root: its parent is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "spool"


def test_a_spool_that_cannot_be_written_says_what_to_do(tmp_path: Path, make_batch: MakeBatch) -> None:
    exporter = SpoolExporter(blocked(tmp_path))
    with pytest.raises(SpoolError, match="set FASTTRACE_SPOOL_DIR"):
        exporter.check()
    with pytest.raises(SpoolError, match="set FASTTRACE_SPOOL_DIR"):
        exporter.export(make_batch(1))


READ_ONLY = textwrap.dedent(
    """
    import os, sys
    import fasttrace
    fasttrace.configure(exporter="none")  # what is imported late may lie where only root can read
    os.chdir(sys.argv[1])
    if os.getuid() == 0:
        os.setuid(65534)  # root writes everywhere
    try:
        fasttrace.configure(exporter="spool")
    except fasttrace.FasttraceError as error:
        print(error)
    """
)


def test_a_read_only_spool_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "readonly"
    folder.mkdir()
    folder.chmod(0o555)
    run = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(folder)],
        env={**os.environ, "FASTTRACE_SPOOL_DIR": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = run.stdout.splitlines()
    assert line.startswith(f"the spool {folder} can't be written (Permission denied): set FASTTRACE_SPOOL_DIR to a ")


def test_an_unwritable_spool_at_run_time_is_counted_and_reaches_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    provider = fasttrace.TracerProvider(exporter=SpoolExporter(blocked(tmp_path)))
    provider.get_tracer("test").start_span("operation").end()
    assert not provider.flush(10)
    stats = provider.stats()
    assert stats["dropped"]["export_failed"] == 1
    assert "can't be written" in stats["last_error"]
    provider.shutdown(1)


def test_the_default_folder_belongs_to_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "package" / "inner").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(project / "package" / "inner")
    assert spool.default_directory() == str(project / ".fasttrace" / "spool")
    SpoolExporter().check()
    assert (project / ".fasttrace" / ".gitignore").read_text() == "*\n"
