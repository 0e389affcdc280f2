"""The index: nothing lost, nothing twice, whatever happens to the files and whoever else is at work."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sample_traces as traces
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_traces import MS, any_spans, span
from spools import otlp, put

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.export import SpoolExporter, segments
from fasttrace.local.index import Index, IndexUnusable, TraceNotFound, database, reader
from fasttrace.local.model import group_traces
from fasttrace.local.search import parse
from fasttrace.local.store import Summary

EVERYTHING = parse("")
posix = pytest.mark.skipif(os.name == "nt", reason="links and signals of POSIX")


def one(number: int, name: str = "work", start_ms: float = 0, **more: object) -> list[SpanData]:
    """A trace of one span."""
    return [span(1, 0, start_ms, start_ms + 5, name, trace_id=f"{number:032x}", **more)]  # type: ignore[arg-type]


def listed(index: Index, query: str = "") -> list[str]:
    return [row.name for row in index.page(parse(query), 1000)[0]]


@settings(deadline=None, max_examples=25)
@given(any_spans(), st.data())
def test_line_of_a_trace_is_the_same_in_whatever_order_and_pieces_its_spans_come(
    spans: list[SpanData], data: st.DataObject
) -> None:
    for number, one_span in enumerate(spans):
        one_span.trace_id = f"{1 + number % 3:032x}"
    wanted = {}
    for trace_id, members in group_traces(spans).items():
        summary = Summary(trace_id)
        distinct = {(s.span_id, s.parent_span_id, s.start_time_ns, max(s.duration_ns, 0)): s for s in members}
        for member in distinct.values():
            summary.add(member)
        wanted[trace_id] = (summary.spans, summary.start_ns, summary.complete)
    shuffled = data.draw(st.permutations(spans))
    cut = data.draw(st.integers(0, len(spans)))
    with tempfile.TemporaryDirectory() as directory, Index(directory) as index:
        for part in (shuffled[:cut], shuffled[cut:], shuffled[:cut]):  # the first ones are delivered again
            if part:
                put(directory, part)
            index.refresh()
        found = {row.trace_id: (row.spans, row.start_ns, row.complete) for row in index.page(EVERYTHING)[0]}
    assert found == wanted


def test_trace_is_listed_with_its_root_s_name_status_and_duration(tmp_path: Path) -> None:
    put(tmp_path, traces.checkout()[3:], traces.checkout()[:3])
    with Index(tmp_path) as index:
        assert index.refresh() == len(traces.checkout())
        (row,) = index.page(EVERYTHING)[0]
        assert (row.name, row.status, row.duration_ns) == ("POST /checkout", "200", 2310 * MS)
        assert (row.spans, row.errors, row.service) == (26, 2, "gateway")
        assert row.services == ["gateway", "checkout", "inventory", "payments", "shipping"]
        assert [node.name for node in index.trace(row.trace_id).nodes][:2] == ["POST /checkout", "POST"]


def test_index_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    put(tmp_path, one(1, "first"))
    with Index(tmp_path) as index:
        assert index.refresh() == 1
        assert index.refresh() == 0
    put(tmp_path, one(2, "second", 10))
    with Index(tmp_path) as index:
        assert listed(index) == ["first"]
        assert index.refresh() == 1
        assert listed(index) == ["second", "first"]
        assert index.find("last").name == "second"


def test_torn_frame_is_left_out_until_it_is_whole(tmp_path: Path) -> None:
    put(tmp_path, one(1, "whole"))
    frame = segments.pack(otlp(one(2, "torn", 10)))
    path = Path(segments.paths(tmp_path)[0])
    with Index(tmp_path) as index, path.open("ab") as file:
        file.write(frame[:-3])
        file.flush()
        index.refresh()
        assert listed(index) == ["whole"]
        file.write(frame[-3:])
        file.flush()
        index.refresh()
        assert listed(index) == ["torn", "whole"]


def test_damage_in_the_middle_costs_what_it_hits(tmp_path: Path) -> None:
    put(tmp_path, one(1, "a"), one(2, "b", 10), one(3, "c", 20))
    path = Path(segments.paths(tmp_path)[0])
    size = len(segments.pack(otlp(one(1, "a"))))
    data = bytearray(path.read_bytes())
    data[size + size // 2] ^= 0xFF
    path.write_bytes(data)
    with Index(tmp_path) as index:
        index.refresh()
        assert listed(index) == ["c", "a"]


def test_batch_that_is_no_otlp_is_counted(tmp_path: Path) -> None:
    exporter = SpoolExporter(tmp_path)
    exporter.append(b"\x0a\xff")
    exporter.append(otlp(one(1)))
    exporter.shutdown(1)
    with Index(tmp_path) as index:
        index.refresh()
        assert index.unreadable == 1
        assert index.health()["spans"] == 1


@pytest.mark.parametrize("garbage", [b"", b"no database" * 1000, None], ids=["empty", "garbage", "torn"])
def test_damaged_index_is_made_anew(tmp_path: Path, garbage: bytes | None) -> None:
    put(tmp_path, *(one(number, f"trace {number}", number) for number in range(1, 300)))
    with Index(tmp_path) as index:
        index.refresh()
    path = tmp_path / database.NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if garbage is None else garbage)
    with Index(tmp_path) as index:
        index.refresh()
        assert len(listed(index)) == 299


QUESTIONS: dict[str, Callable[[Index], Any]] = {
    "page": lambda index: index.page(parse("user=anna"))[0],
    "trace": lambda index: index.find("slow").trace_id,
    "count": lambda index: index.span_count(index.resolve("last")),
    "spans": lambda index: [span.name for span in index.spans({f"{7:032x}"})],
    "matching": lambda index: index.matching(EVERYTHING),
    "durations": lambda index: index.durations(EVERYTHING),
    "period": lambda index: index.period(EVERYTHING),
    "services": lambda index: index.services(),
    "entries": lambda index: index.entries(EVERYTHING),
    "health": lambda index: {**index.health(), "index_bytes": 0},
}


@pytest.mark.parametrize("asked", QUESTIONS)
def test_damage_that_a_question_meets_is_cured_and_the_question_answered(tmp_path: Path, asked: str) -> None:
    put(tmp_path, traces.checkout(), one(7, "lonely", user="anna"))
    ask = QUESTIONS[asked]
    with Index(tmp_path) as index:
        index.refresh()
        wanted = ask(index)
    with closing(sqlite3.connect(tmp_path / database.NAME)) as raw:
        pages = raw.execute(
            "SELECT rootpage FROM sqlite_master WHERE tbl_name IN ('trace', 'span', 'posting', 'shape', 'entry')"
        ).fetchall()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    with open(tmp_path / database.NAME, "r+b") as file:
        for (page,) in pages:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)
    with Index(tmp_path) as index, Index(tmp_path) as other:
        assert index.refresh() == 0  # nothing new: it does not come by
        assert ask(index) == wanted
        other.refresh()
        assert ask(other) == wanted


def test_index_that_stays_unusable_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, one(1))
    with Index(tmp_path) as index:
        index.refresh()

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(reader, "page", full)
        with pytest.raises(IndexUnusable, match=r"disk is full.*make room, or delete it, nothing is lost"):
            listed(index)


def test_index_may_be_deleted_while_it_is_open(tmp_path: Path) -> None:
    put(tmp_path, one(1, "a"))
    with Index(tmp_path) as old:
        old.refresh()
        (tmp_path / database.NAME).unlink()
        with Index(tmp_path) as new:
            new.refresh()
            assert listed(new) == ["a"]
        put(tmp_path, one(2, "b", 10))
        old.refresh()
        assert listed(old) == ["b", "a"]
    with Index(tmp_path) as index:
        assert listed(index) == ["b", "a"]


def test_folder_that_is_not_there_is_empty_and_stays_so_until_it_comes(tmp_path: Path) -> None:
    with Index(tmp_path / "none") as index:
        assert index.refresh() == 0
        assert listed(index) == []
        assert not (tmp_path / "none").exists()
        put(tmp_path / "none", one(1, "a"))
        assert index.refresh() == 1
        assert (tmp_path / "none" / database.NAME).exists()


def test_a_reader_that_began_without_a_folder_joins_the_index_that_somebody_else_has_made(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with Index(spool) as index:
        assert (index.is_private, index.is_current) == (True, True)
        put(spool, one(1, "a"))
        with Index(spool) as other:
            other.refresh()
        assert not index.is_current
        assert index.refresh() == 0  # the other one has read it
        assert (index.is_private, index.is_current) == (False, True)
        assert listed(index) == ["a"]


@posix
def test_a_reader_stays_private_beside_a_file_that_is_not_for_it(tmp_path: Path) -> None:
    put(tmp_path, one(1, "a"))
    (tmp_path / database.NAME).symlink_to(tmp_path / "elsewhere")
    with Index(tmp_path) as index:
        assert (index.is_private, index.is_current) == (True, True)
        assert (index.refresh(), index.refresh()) == (1, 0)
        assert index.is_current
        (tmp_path / database.NAME).unlink()
        assert not index.is_current
        index.refresh()
        assert (index.is_private, listed(index)) == (False, ["a"])


@posix
def test_a_folder_that_can_not_be_written_is_read_with_an_index_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, one(1, "a"))
    with Index(tmp_path) as index:
        index.refresh()
    monkeypatch.setattr(database, "_can_hold_files", lambda _: False)  # root may write everywhere
    with Index(tmp_path) as index:
        assert (index.is_private, index.is_current, index.refresh()) == (True, True, 1)
        monkeypatch.undo()
        assert not index.is_current


@posix
def test_index_is_private_and_no_link_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "a", one(1, "a"))
    with Index(tmp_path / "a") as index:
        index.refresh()
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "a").glob("index*"))
    put(tmp_path / "b", one(1, "a"))
    (tmp_path / "b" / database.NAME).symlink_to(tmp_path / "elsewhere")
    with Index(tmp_path / "b") as index:
        index.refresh()
        assert listed(index) == ["a"]
    assert not (tmp_path / "elsewhere").exists()


REFRESH = """
import sys, time
from fasttrace.local.index import Index
total = 0
index = Index(sys.argv[1])
print("ready", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    total += index.refresh()
    if index.health()["traces"] == int(sys.argv[2]):
        break
print(total)
"""


def test_two_processes_that_write_take_in_every_span_once(tmp_path: Path) -> None:
    count = 120
    put(tmp_path, *(one(number, f"n{number}", number, spread=str(number)) for number in range(1, count // 2)))
    argv = [sys.executable, "-c", REFRESH, str(tmp_path), str(count)]
    writers = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    reader = Index(tmp_path)
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for number in range(count // 2, count + 1):
        put(tmp_path, one(number, f"n{number}", number, spread=str(number)))
        names = listed(reader)
        assert names == sorted(names, key=lambda name: -int(name[1:])), "a reader sees whole transactions"
    taken = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert sum(taken) == count
    assert listed(reader) == [f"n{number}" for number in range(count, 0, -1)]
    assert reader.health()["spans"] == count
    assert [listed(reader, f"spread={number}") for number in (1, 70, count)] == [["n1"], ["n70"], [f"n{count}"]]
    reader.close()


KILLED = """
import sys
from fasttrace.local.index import Index, batch
batch.BATCH_SPANS = 20
with Index(sys.argv[1]) as index:
    index.refresh(lambda done, total: print(done, flush=True))
"""


@posix
def test_process_that_is_killed_while_it_reads_leaves_a_sound_index(tmp_path: Path) -> None:
    count = 2000
    put(tmp_path, *(one(number, f"n{number}", number) for number in range(1, count + 1)))
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    with Index(tmp_path) as index:
        before = len(index.matching(EVERYTHING))
        assert before % 20 == 0
        assert index.refresh() == count - before
        assert len(index.matching(EVERYTHING)) == count


def test_what_is_deleted_from_the_spool_leaves_the_index(tmp_path: Path) -> None:
    put(tmp_path, one(1, "gone", 1, user="anna"), [span(1, 0, 0, 90, "root", user="bert"), span(2, 1, 1, 2, error="x")])
    put(tmp_path, [span(3, 1, 10, 20, "child", "db", user="carl")])
    with Index(tmp_path) as index:
        index.refresh()
        assert listed(index) == ["gone", "root"]
        os.unlink(segments.paths(tmp_path)[0])
        index.refresh()
        (row,) = index.page(EVERYTHING)[0]
        assert (row.name, row.spans, row.errors, row.services) == ("child", 1, 0, ["db"])
        assert (row.complete, row.duration_ns) == (False, 10 * MS)
        assert [listed(index, f"user={name}") for name in ("anna", "bert", "carl")] == [[], [], ["child"]]
        assert [name for name, _, _ in index.services()] == ["db"]
        os.unlink(segments.paths(tmp_path)[0])
        index.refresh()
        assert listed(index) == []
        assert index.health()["spans"] == 0
        with pytest.raises(TraceNotFound, match="fasttrace demo"):
            index.find("last")
        put(tmp_path, one(5, "new"))
        index.refresh()
        assert listed(index, "name=new") == ["new"]


def test_what_another_process_has_let_go_of_is_not_remembered(tmp_path: Path) -> None:
    put(tmp_path, one(1, "a"), one(2, "b", 10))
    with Index(tmp_path) as index, Index(tmp_path) as other:
        index.refresh()
        os.unlink(segments.paths(tmp_path)[0])
        other.refresh()
        put(tmp_path, one(1, "a"))
        index.refresh()
        assert listed(index) == listed(other) == ["a"]
        assert listed(index, "name=a service=shop") == ["a"]


def test_segment_that_is_made_anew_under_its_name_is_read_anew(tmp_path: Path) -> None:
    put(tmp_path, one(1, "a"), one(2, "b", 10))
    path = Path(segments.paths(tmp_path)[0])
    with Index(tmp_path) as index:
        index.refresh()
        path.write_bytes(segments.pack(otlp(one(3, "c"))))
        index.refresh()
        assert listed(index) == ["c"]
        assert index.find("last").name == "c"


def test_segments_go_by_age_and_by_bytes_but_none_that_is_being_written(tmp_path: Path) -> None:
    for number in range(1, 5):
        put(tmp_path, one(number, f"n{number}", number))
    paths = segments.paths(tmp_path)
    with Index(tmp_path) as index:
        index.refresh()
        os.utime(paths[0], (1, 1))
        assert index.prune(max_age=3600) == 1
        assert index.prune(max_bytes=2 * os.path.getsize(paths[1])) == 1
        index.refresh()
        assert listed(index) == ["n4", "n3"]
        writer = SpoolExporter(tmp_path)
        writer.append(otlp(one(9, "n9", 9)))
        assert index.prune(max_bytes=0) == 2
        writer.shutdown(1)
        index.refresh()
        assert listed(index) == ["n9"]


def test_indexes_of_older_versions_go_when_nobody_has_used_them_for_a_day(tmp_path: Path) -> None:
    put(tmp_path, one(1, "a"))
    names = [f"index-{number}.sqlite" for number in (1, 2, database.VERSION + 1)]
    for name in [*names, "index-mine.sqlite"]:
        path = tmp_path / name
        with closing(sqlite3.connect(path)) as made:
            made.execute("PRAGMA journal_mode=WAL")
            made.execute("CREATE TABLE x (y)")
        os.utime(path, (1, 1))
    (tmp_path / "index-0.sqlite").write_bytes(b"damaged, and old" * 100)
    os.utime(tmp_path / "index-0.sqlite", (1, 1))
    old, young, newer = (tmp_path / name for name in names)
    os.utime(young)

    def left() -> list[bool]:
        with Index(tmp_path) as index:
            index.refresh()
            assert listed(index) == ["a"]
        return [path.exists() for path in (old, young, newer, tmp_path / "index-mine.sqlite")]

    with closing(sqlite3.connect(old)) as used:
        used.execute("SELECT * FROM x").fetchall()
        for suffix in ("-wal", "-shm"):
            os.utime(f"{old}{suffix}", (1, 1))
        assert left() == [True, True, True, True]
        assert used.execute("SELECT count(*) FROM x").fetchone() == (0,)
    os.utime(old, (1, 1))
    assert left() == [False, True, True, True]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(("index-0", "index-1"))]


def test_pages_follow_each_other_without_gap_or_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("batch", "derive", "retention", "sql"):
        monkeypatch.setattr(f"fasttrace.local.index.{module}.PART_BITS", 2)
    # Many begin at the same time, and they come in another order than they began.
    starts = [(number * 7) % 23 for number in range(1, 60)]
    put(tmp_path, *([span(1, 0, start, start + start % 5, f"n{number}", trace_id=f"{number:032x}")]
                    for number, start in enumerate(starts, 1)))  # fmt: skip
    with Index(tmp_path) as index:
        index.refresh()
        for query in ("", "service=shop", "dur>=1ms", "kind=internal"):
            for order in ("newest", "slowest"):
                whole = index.page(parse(query), 100, None, order)[0]
                values = [row.start_ns if order == "newest" else row.duration_ns for row in whole]
                assert values == sorted(values, reverse=True)
                cursor, rows = None, []
                for _ in range(20):
                    some, cursor, _ = index.page(parse(query), 7, cursor, order)
                    rows += some
                    if cursor is None:
                        break
                assert rows == whole


def test_key_with_many_values_is_found_as_well_as_one_with_few(tmp_path: Path) -> None:
    put(tmp_path, *(one(number, f"n{number}", number, user=f"u{number}", tier="gold") for number in range(1, 200)))
    with Index(tmp_path) as index:
        index.refresh()
        assert [listed(index, f"user=u{number}") for number in (1, 150)] == [["n1"], ["n150"]]
        assert listed(index, 'user~"u19*"') == [f"n{number}" for number in range(199, 189, -1)] + ["n19"]
        assert len(listed(index, "tier=gold")) == 199
        assert len(listed(index, "-user=u7")) == 198


def test_routes_are_told_apart_however_many_there_are(tmp_path: Path) -> None:
    put(
        tmp_path,
        *(one(number, "GET", number, http__route=f"/r{number}", kind=SpanKind.SERVER) for number in range(1, 200)),
    )
    with Index(tmp_path) as index:
        index.refresh()
        assert {entry.route for entry in index.entries(EVERYTHING)} == {f"/r{number}" for number in range(1, 200)}


def test_names_for_everything_that_differs_do_not_make_the_index_forget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in (
        ("MAX_VALUES", 6),
        ("MAX_KEYS", 4),
        ("MAX_SHAPES", 3),
        ("MAX_REMEMBERED", 5),
        ("FEW_VALUES", 1),
    ):
        monkeypatch.setattr(f"fasttrace.local.index.intern.{name}", limit)
    monkeypatch.setattr("fasttrace.local.index.batch.MAX_REMEMBERED_TRACES", 3)
    put(tmp_path, *(one(number, f"n{number}", number, **{f"key{number}": f"v{number % 7}", "a": number % 5, "b": number % 3})
                    for number in range(1, 60)))  # fmt: skip
    with Index(tmp_path) as index:
        index.refresh()
        for number in range(1, 60):
            assert listed(index, f"key{number}=v{number % 7}") == [f"n{number}"]
        for value in range(3):
            wanted = [f"n{number}" for number in range(59, 0, -1) if number % 3 == value and number % 5 == 1]
            assert listed(index, f"b={value} a=1") == wanted


def test_trace_that_can_t_be_told_asks_for_more_digits(tmp_path: Path) -> None:
    put(tmp_path, one(0xABCD << 112), one((0xABCD << 112) + 1))
    with Index(tmp_path) as index:
        index.refresh()
        with pytest.raises(TraceNotFound, match="2 traces begin with abcd: give more digits, for example abcd0000"):
            index.find("abcd")
        assert index.resolve("ABCD" + "0" * 28) == "abcd" + "0" * 28
        for which in ("abc", "xyz", "a" * 33):
            with pytest.raises(TraceNotFound, match="is not the start of a trace id"):
                index.find(which)


def test_progress_ends_with_all_that_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fasttrace.local.index.batch.BATCH_SPANS", 10)
    put(tmp_path, *(one(number) for number in range(1, 50)))
    steps: list[tuple[int, int]] = []
    with Index(tmp_path) as index:
        index.refresh(lambda done, total: steps.append((done, total)))
    assert len(steps) == 5
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1] == os.path.getsize(segments.paths(tmp_path)[0])


def test_long_traces_are_read_from_all_their_segments(tmp_path: Path) -> None:
    parts = [[span(number, 1 if number > 1 else 0, number, 500)] for number in range(1, 30)]
    for start in range(0, 29, 10):
        put(tmp_path, *parts[start : start + 10], one(start + 100))
    with Index(tmp_path) as index:
        index.refresh()
        assert len(index.find(traces.TRACE_ID).nodes) == 29
