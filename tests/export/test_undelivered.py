"""Requests that wait on disk: order, owners, caps, damage."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fasttrace.errors import SpoolError
from fasttrace.export import segments
from fasttrace.export.undelivered import Undelivered, folder


def request(name: str, spans: int = 1) -> bytes:
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for _ in range(spans):
        scope.spans.add(name=name, trace_id=bytes(16))
    data: bytes = message.SerializeToString()
    return data


def put(box: Undelivered, *names: str) -> None:
    for name in names:
        box.put(request(name), 1)


def take_all(box: Undelivered) -> list[str]:
    found = []
    while (item := box.first()) is not None:
        frame, data = item
        found.append(ExportTraceServiceRequest.FromString(data).resource_spans[0].scope_spans[0].spans[0].name)
        assert box.done(frame)
    return found


def test_what_waits_is_given_in_order_and_once(tmp_path: Path) -> None:
    box = Undelivered(str(tmp_path))
    assert box.first() is None
    assert not box.waiting
    put(box, "a", "b", "c")
    assert box.mine == 3
    assert take_all(box) == ["a", "b", "c"]
    assert (box.mine, box.waiting, os.listdir(tmp_path)) == (0, False, [])


def test_a_frame_stays_first_until_it_is_done(tmp_path: Path) -> None:
    box = Undelivered(str(tmp_path))
    put(box, "a", "b")
    assert box.first()[1] == box.first()[1] == request("a")  # type: ignore[index]


def test_what_a_process_leaves_is_claimed_by_the_next_without_what_was_delivered(tmp_path: Path) -> None:
    box = Undelivered(str(tmp_path))
    put(box, "delivered", "waiting")
    assert box.done(box.first()[0])  # type: ignore[index]
    box.close()
    assert box.mine == 1, "still in the spool, for whoever comes next"
    following = Undelivered(str(tmp_path))
    following.scan()
    put(following, "new")
    assert (following.mine, following.waiting) == (1, True)
    assert take_all(following) == ["waiting", "new"]


def test_no_file_of_a_living_process_is_claimed(tmp_path: Path) -> None:
    first, second = Undelivered(str(tmp_path)), Undelivered(str(tmp_path))
    put(first, "first's")
    second.scan()
    assert not second.waiting
    first.close()
    second.scan()
    third = Undelivered(str(tmp_path))
    third.scan()
    assert not third.waiting, "one claims it"
    assert take_all(second) == ["first's"]


def test_a_frame_that_was_given_away_is_not_the_former_owners_to_mark(tmp_path: Path) -> None:
    box = Undelivered(str(tmp_path))
    put(box, "a")
    frame = box.first()[0]  # type: ignore[index]
    box.close()
    assert not box.done(frame)
    following = Undelivered(str(tmp_path))
    following.scan()
    assert take_all(following) == ["a"]


def test_the_oldest_goes_first_when_the_folder_is_full_and_is_counted(tmp_path: Path) -> None:
    size = len(segments.pack(request("00", 10)))
    box = Undelivered(str(tmp_path), max_bytes=10 * size)
    for number in range(40):
        box.put(request(f"{number:02}", 10), 10)
    assert sum(size for _, size in segments.sizes(tmp_path)) <= 10 * size
    assert box.mine + box.evicted_mine == 400
    left = take_all(box)
    assert left == [f"{number:02}" for number in range(40 - len(left), 40)]
    assert 5 <= len(left) <= 10
    assert box.evicted_mine == 400 - 10 * len(left)


def test_what_others_left_is_evicted_before_and_counted_apart(tmp_path: Path) -> None:
    size = len(segments.pack(request("00")))
    before = Undelivered(str(tmp_path), max_bytes=100 * size)
    put(before, *["00"] * 10)
    before.close()
    box = Undelivered(str(tmp_path), max_bytes=12 * size)
    put(box, *["11"] * 5)
    assert (box.evicted_others, box.evicted_mine, box.mine) == (10, 0, 5)


def test_a_folder_filled_by_living_processes_refuses(tmp_path: Path) -> None:
    size = len(segments.pack(request("00")))
    other = Undelivered(str(tmp_path), max_bytes=100 * size)
    put(other, *["00"] * 10)
    box = Undelivered(str(tmp_path), max_bytes=10 * size)
    with pytest.raises(SpoolError, match="other processes fill") as caught:
        put(box, "11")
    assert caught.value.full
    assert take_all(other) == ["00"] * 10


def test_damage_costs_the_damaged_frame_only(tmp_path: Path) -> None:
    box = Undelivered(str(tmp_path))
    put(box, "first", "second", "third")
    box.close()
    (path,) = tmp_path.glob("*.spool")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data + b"FTS1\xff\xff\xff\xff torn")
    following = Undelivered(str(tmp_path))
    following.scan()
    assert take_all(following) == ["first", "third"]
    assert os.listdir(tmp_path) == []


def test_a_frame_inside_a_delivered_one_is_not_found(tmp_path: Path) -> None:
    hostile = request("outer") + segments.pack(request("smuggled"))
    box = Undelivered(str(tmp_path))
    box.put(hostile, 1)
    put(box, "after")
    assert box.done(box.first()[0])  # type: ignore[index]
    box.close()
    following = Undelivered(str(tmp_path))
    following.scan()
    assert take_all(following) == ["after"]


def test_a_file_that_shrinks_underneath_is_counted_as_lost(tmp_path: Path) -> None:
    box = Undelivered(str(tmp_path))
    put(box, "a", "b")
    (path,) = tmp_path.glob("*.spool")
    os.truncate(path, 20)
    assert box.first() is None
    assert (box.mine, box.evicted_mine) == (0, 2)


def test_folder_and_files_are_private_and_the_name_tells_nothing(tmp_path: Path) -> None:
    directory = folder(str(tmp_path / "root"), "https://user:secret@host\nauthorization: Bearer secret")
    assert "secret" not in directory
    assert directory != folder(str(tmp_path / "root"), "https://user:secret@host\nauthorization: Bearer other")
    box = Undelivered(directory)
    put(box, "a")
    (path,) = Path(directory).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="FASTTRACE_UNDELIVERED_DIR") as caught:
        Undelivered(str(tmp_path / "file" / "below")).put(request("a"), 1)
    assert not caught.value.full


def test_a_full_disk_costs_neither_descriptors_nor_files_and_nothing_that_waits(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    box = Undelivered(str(tmp_path))
    put(box, "before")
    size = len(segments.pack(request("before")))
    descriptors = len(os.listdir("/dev/fd"))
    for room in (size + 5, size, 0):  # torn, behind what waits and without anything; nothing written
        with full_disk(room):
            for _ in range(5):
                with pytest.raises(SpoolError):
                    put(box, "refused" * 20)
    assert (len(os.listdir("/dev/fd")), len(os.listdir(tmp_path)), box.mine) == (descriptors, 1, 1)
    put(box, "after")
    assert take_all(box) == ["before", "after"]
    assert os.listdir(tmp_path) == []


def test_what_the_dead_have_left_without_a_span_in_it_goes_when_the_folder_is_full(tmp_path: Path) -> None:
    path, descriptor = segments.create(str(tmp_path))
    os.write(descriptor, b"torn" * 500)
    os.close(descriptor)
    box = Undelivered(str(tmp_path), max_bytes=1000)
    put(box, "a")
    assert not os.path.exists(path)
    assert take_all(box) == ["a"]


def test_what_is_put_after_the_folder_was_deleted_is_there_for_the_next_process(tmp_path: Path) -> None:
    box = Undelivered(str(tmp_path / "folder"))
    put(box, "gone")
    shutil.rmtree(tmp_path / "folder")
    put(box, "kept")
    assert box.mine == 2, "this process can still send both"
    box.close()
    following = Undelivered(str(tmp_path / "folder"))
    following.scan()
    assert take_all(following) == ["kept"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_nothing_and_keeps_no_lock(tmp_path: Path) -> None:
    box = Undelivered(str(tmp_path))
    put(box, "parent's")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        box.after_fork_in_child()
        os.write(write_end, b"ok" if box.mine == 0 and not box.waiting else b"no")
        signal.pause()
    try:
        assert os.read(read_end, 2) == b"ok"
        box.close()
        following = Undelivered(str(tmp_path))
        following.scan()
        assert take_all(following) == ["parent's"], "the child still lives and must not own it"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read_end)
        os.close(write_end)


CLAIMER = """
import sys
from fasttrace.export.undelivered import Undelivered
box = Undelivered(sys.argv[1])
sys.stdin.readline()
box.scan()
while (item := box.first()) is not None:
    print(len(item[1]), flush=True)
    box.done(item[0])
"""


def test_processes_that_come_at_once_share_what_is_there_and_none_gets_anything_twice(tmp_path: Path) -> None:
    for number in range(12):
        box = Undelivered(str(tmp_path))
        put(box, *(f"{number:02}" + "x" * (10 * number + i) for i in range(5)))
        box.close()
    command = [sys.executable, "-c", CLAIMER, str(tmp_path)]
    claimers: list[Any] = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for claimer in claimers:
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    found = [line for claimer in claimers for line in claimer.communicate(timeout=60)[0].split()]
    assert len(found) == 60
    assert os.listdir(tmp_path) == []
