"""What goes from a spool by itself, by age and by bytes, and what stays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fasttrace
from fasttrace import accounts
from fasttrace.errors import ConfigurationError
from fasttrace.export import SpoolExporter, retention, segments, stats_file
from fasttrace.export.base import Batch

MakeBatch = Callable[..., Batch]
DAY = 86400.0


def finished(directory: Path, batch: Batch, age: float) -> str:
    """A segment that was written so many seconds ago."""
    before = set(segments.paths(directory))
    exporter = SpoolExporter(directory, max_age=None)
    exporter.export(batch)
    exporter.shutdown(1)
    (path,) = set(segments.paths(directory)) - before
    return aged(path, age)


def aged(path: str, age: float) -> str:
    """The path of a file, by its name and its times so old."""
    then = time.time() - age
    name = os.path.basename(path)
    if path.endswith(segments.SUFFIX):
        name = f"{int(then * 1e9):020d}-{name.partition('-')[2]}"
    renamed = os.path.join(os.path.dirname(path), name)
    os.rename(path, renamed)
    os.utime(renamed, (then, then))
    return renamed


def last_word(directory: Path, number: int, age: float) -> str:
    path = directory / f"stats-{number}-1.json"
    path.write_text("{}")
    return aged(str(path), age)


def test_whoever_writes_lets_go_of_what_is_too_old(tmp_path: Path, make_batch: MakeBatch) -> None:
    week = finished(tmp_path, make_batch(1), 8 * DAY)
    hours = finished(tmp_path, make_batch(1), 5 * 3600)
    exporter = SpoolExporter(tmp_path)
    exporter.export(make_batch(1))
    assert (os.path.exists(week), os.path.exists(hours)) == (False, True)
    exporter.shutdown(1)
    strict = SpoolExporter(tmp_path, max_age=3600)
    strict.export(make_batch(1))
    assert not os.path.exists(hours)
    strict.shutdown(1)


def test_the_age_comes_from_the_environment(
    tmp_path: Path, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = finished(tmp_path, make_batch(1), 5 * 3600)
    monkeypatch.setenv("FASTTRACE_SPOOL_DIR", str(tmp_path))
    for age, stays in (("none", True), ("6h", True), ("1d", True), ("4h", False)):
        monkeypatch.setenv("FASTTRACE_SPOOL_MAX_AGE", age)
        provider = fasttrace.TracerProvider(exporter="spool")
        provider.get_tracer("test").start_span("operation").end()
        assert provider.shutdown(20)
        assert os.path.exists(old) == stays
    with pytest.raises(ConfigurationError, match="max_age=0"):
        SpoolExporter(tmp_path, max_age=0)


def test_a_segment_is_finished_in_time_to_become_old(tmp_path: Path, make_batch: MakeBatch) -> None:
    exporter = SpoolExporter(tmp_path, max_age=0.8)
    deadline = time.monotonic() + 60
    while len(set(segments.paths(tmp_path))) < 3 and time.monotonic() < deadline:
        exporter.export(make_batch(1))
        time.sleep(0.02)
    first = segments.paths(tmp_path)[0]
    while os.path.exists(first) and time.monotonic() < deadline:
        exporter.export(make_batch(1))
        time.sleep(0.02)
    assert not os.path.exists(first)
    exporter.shutdown(1)


def test_a_segment_that_its_writer_is_about_to_lock_stays(tmp_path: Path) -> None:
    newborn = tmp_path / f"{time.time_ns():020d}-1-00000000.spool"
    newborn.touch()
    assert retention.prune(tmp_path, max_bytes=0, need=1) == 0
    old = aged(str(newborn), DAY)
    assert retention.prune(tmp_path, max_age=3600) == 1
    assert not os.path.exists(old)


def test_the_last_word_of_a_process_goes_with_the_spans_of_its_time(tmp_path: Path, make_batch: MakeBatch) -> None:
    finished(tmp_path, make_batch(1), 2 * DAY)
    before, since, just_now = (last_word(tmp_path, number, age) for number, age in enumerate((3 * DAY, DAY, 60.0)))
    assert retention.prune(tmp_path) == 0
    assert [os.path.exists(path) for path in (before, since, just_now)] == [False, True, True]
    assert retention.prune(tmp_path, max_age=DAY / 2) == 1
    assert [os.path.exists(path) for path in (since, just_now)] == [False, True]


def test_the_word_of_a_process_that_runs_stays(tmp_path: Path) -> None:
    stats = {**accounts.blank(), "started": 1}
    running = stats_file.StatsFile(lambda: str(tmp_path), lambda: "shop", lambda: stats)
    running.write(at_once=True)
    (path,) = stats_file.paths(tmp_path)
    aged(path, 30 * DAY)
    retention.prune(tmp_path, max_age=DAY)
    assert os.path.exists(path)
    running.write(ended=True)
    aged(path, 30 * DAY)
    retention.prune(tmp_path, max_age=DAY)
    assert not os.path.exists(path)


def test_last_words_are_bounded_and_what_was_torn_goes(tmp_path: Path) -> None:
    for number in range(retention.MAX_LAST_WORDS + 20):
        last_word(tmp_path, number, float(number))
    (tmp_path / "stats-1-1.json.abcd").touch()
    aged(str(tmp_path / "stats-1-1.json.abcd"), 120)
    retention.prune(tmp_path)
    left = stats_file.paths(tmp_path)
    assert len(left) == retention.MAX_LAST_WORDS - 1 or len(left) == retention.MAX_LAST_WORDS
    assert not (tmp_path / "stats-1-1.json.abcd").exists()
    assert (tmp_path / "stats-0-1.json").exists()
    assert not (tmp_path / f"stats-{retention.MAX_LAST_WORDS + 5}-1.json").exists()
