"""The control file: what it may ask, what is refused, and that the last good setting stays in force."""

from __future__ import annotations

import logging
import os
import socket
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fasttrace
from fasttrace import config
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import control, control_text
from fasttrace.sampling.control import Control
from fasttrace.sampling.control_text import Asked, Boost, Recall

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class Clock:
    """Two clocks that go on when told."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.wall = NOON.timestamp()

    def go(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sampling.toml"


@pytest.fixture
def watched(path: Path, clock: Clock) -> Control:
    return Control(str(path), clock=lambda: clock.monotonic, wall=lambda: clock.wall)


def look(watched: Control, clock: Clock) -> bool:
    clock.go(1)
    return watched.check()


def fields(asked: Asked) -> Any:
    boost, recall = asked.boost, asked.recall
    return (
        asked.ratio,
        boost and (boost.ratio, boost.until),
        recall and (recall.id, recall.trace_ids, recall.seconds),
    )


def test_no_file_asks_for_nothing_and_one_that_comes_is_read(watched: Control, path: Path, clock: Clock) -> None:
    assert not look(watched, clock) and fields(watched.asked) == (None, None, None)
    path.write_text("ratio = 0.05\n")
    assert look(watched, clock) and watched.asked.ratio == 0.05
    assert not look(watched, clock)
    path.unlink()
    assert look(watched, clock) and watched.asked.ratio is None
    assert not look(watched, clock)


def test_it_is_looked_at_once_a_second_at_most(watched: Control, path: Path, clock: Clock) -> None:
    watched.check()
    path.write_text("ratio = 0.5\n")
    clock.go(0.9)
    assert not watched.check() and watched.asked.ratio is None
    clock.go(0.2)
    assert watched.check() and watched.asked.ratio == 0.5


def test_everything_that_can_be_asked_is_understood(watched: Control, path: Path, clock: Clock) -> None:
    path.write_text(
        f'ratio = "5%"\n[boost]\nratio = 1\nuntil = 2026-11-24T13:00:00+01:00\n'
        f'[recall]\nid = "a"\ntrace_ids = ["{TRACE_ID}"]\nseconds = 30\n'
    )
    assert look(watched, clock)
    assert fields(watched.asked) == (0.05, (1.0, NOON), ("a", (int(TRACE_ID, 16),), 30.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ratio = 1.5", "line 1: ratio=1.5: use a number from 0 to 1"),
        ("\n\nratio = true", "line 3: ratio=True"),
        ("ratoi = 0.5", "line 1: ratoi is unknown: did you mean ratio?"),
        ("ratio = = 1", "no TOML: Invalid value (at line 1"),
        ("boost = 1", "line 1: boost=1: use a table, [boost]"),
        ("[boost]\nratio = 1", "line 1: [boost] has no until"),
        ("[boost]\nuntil = 2026-11-24T12:00:00Z", "[boost] has no ratio"),
        (
            "[boost]\nratio = 1\nuntil = 2026-11-24T12:00:00",
            "line 3: boost.until=2026-11-24T12:00:00: use a time in UTC",
        ),
        ("[boost]\nratio = 1\nuntil = 10", "line 3: boost.until=10: use a time in UTC"),
        ("[boost]\nratio = -1\nuntil = 2026-11-24T12:00:00Z", "line 2: boost.ratio=-1: use a number"),
        ("[boost]\nratio = 1\nuntil = 2026-11-24T12:00:00Z\nfor = 5", "line 4: boost.for is unknown: use ratio, until"),
        ('[recall]\ntrace_ids = ["ab"]\nid = "x"', "line 2: recall.trace_ids='ab': use the 32 hexadecimal digits"),
        ('[recall]\nid = "x"\nseconds = -5', "line 3: recall.seconds=-5: use seconds above 0"),
        ('[recall]\nid = "x"', "line 1: [recall] has neither trace_ids nor seconds"),
        ("[recall]\nseconds = 5", "line 1: [recall] has no id"),
        ('[recall]\nid = ""\nseconds = 5', "line 2: recall.id=''"),
        ('[recall]\nid = "x"\ntrace_ids = "ab"', "line 3: recall.trace_ids='ab': use a list"),
        ("[tail]\nrules = 1", "line 1: tail is unknown: use ratio, boost, recall"),
        ("x = " + "[" * 5000, "no TOML"),
    ],
)
def test_a_bad_file_is_refused_with_line_value_and_what_is_accepted(
    watched: Control, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, text: str, said: str
) -> None:
    path.write_text("ratio = 0.25\n")
    assert look(watched, clock)
    path.write_text(text)
    for _ in range(3):
        assert not look(watched, clock)
    assert watched.asked.ratio == 0.25
    (record,) = caplog.records
    assert f"control file {path}: " in record.getMessage() and said in record.getMessage()
    assert record.getMessage().endswith("the last good setting stays in force")
    assert watched.error is not None and said in watched.error and watched.state()["error"] == watched.error
    path.write_text("ratio = 0.75\n")
    assert look(watched, clock) and watched.asked.ratio == 0.75 and watched.error is None


def test_a_refusal_is_logged_once_for_each_content(
    watched: Control, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("ratio = 2", "ratio = 2", "ratio = 3", "ratio = 0.5", "ratio = 3"):
        path.write_text(text)
        os.utime(path, ns=(int(clock.wall * 1e9), int(clock.wall * 1e9)))
        look(watched, clock)
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition("ratio=")[2][:1] for text in said] == ["2", "3", "3"]


def test_what_is_no_plain_file_of_ours_is_refused_and_never_waited_for(
    watched: Control, path: Path, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path.write_text("ratio = 0.25\n")
    assert look(watched, clock)
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text("ratio = 0.9\n")

    def replaced(make: Any, said: str) -> None:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        make()
        assert not look(watched, clock)
        assert watched.asked.ratio == 0.25 and said in str(watched.error)

    replaced(lambda: path.symlink_to(elsewhere), "it is a link")
    replaced(lambda: os.mkfifo(path), "no regular file")
    replaced(path.mkdir, "no regular file")
    replaced(lambda: path.write_bytes(b"ratio = 0.5\n#\xff"), "no UTF-8")
    replaced(lambda: path.write_text("#" * control.MAX_BYTES + "\n"), "larger than 65,536 bytes")
    with socket.socket(socket.AF_UNIX) as listener:
        replaced(lambda: listener.bind(path.name), "it is a link, a socket or a pipe")
    path.unlink()
    path.write_text("ratio = 0.5\n")
    path.chmod(0o666)
    assert not look(watched, clock) and "chmod o-w" in str(watched.error)
    path.chmod(0o644)
    assert look(watched, clock) and watched.asked.ratio == 0.5 and watched.error is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused_until_it_is_ours(watched: Control, path: Path, clock: Clock) -> None:
    path.write_text("ratio = 0.5\n")
    os.chown(path, 4242, 4242)
    assert not look(watched, clock) and "belongs to user 4242: chown it to 0 or root" in str(watched.error)
    os.chown(path, 0, 0)
    assert look(watched, clock) and watched.asked.ratio == 0.5


def test_a_refused_file_that_goes_away_asks_for_nothing(watched: Control, path: Path, clock: Clock) -> None:
    path.write_text("ratio = 5")
    look(watched, clock)
    path.unlink()
    look(watched, clock)
    assert watched.error is None and watched.asked.ratio is None


def test_a_step_of_the_clock_after_reading_moves_no_end(watched: Control, path: Path, clock: Clock) -> None:
    path.write_text("[boost]\nratio = 1.0\nuntil = 2026-11-24T12:10:00Z\n")
    assert look(watched, clock)
    deadline = watched.boost_deadline
    assert deadline == pytest.approx(1000 + 600)
    clock.wall += 3600
    look(watched, clock)
    assert watched.boost_deadline == deadline
    # Not even when another line of the file changes.
    path.write_text("ratio = 0.5\n[boost]\nratio = 1.0\nuntil = 2026-11-24T12:10:00Z\n")
    assert look(watched, clock) and watched.boost_deadline == deadline
    clock.go(100)
    assert watched.state()["boost_seconds_left"] == pytest.approx(deadline - clock.monotonic)


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_is_read(
    watched: Control, path: Path, clock: Clock, tmp_path: Path
) -> None:
    path.write_text("ratio = 0.1\n")
    before = path.stat()
    assert look(watched, clock)
    other = tmp_path / "other"
    other.write_text("ratio = 0.2\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert look(watched, clock) and watched.asked.ratio == 0.2


times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
recalls = st.builds(
    Recall,
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.lists(st.integers(1, 2**128 - 1), min_size=1, max_size=3).map(tuple),
    st.none() | st.floats(1e-9, 1e6).map(lambda value: round(value * 1e9) / 1e9),
)


@given(
    st.builds(
        Asked, st.none() | st.floats(0, 1), st.none() | st.builds(Boost, st.floats(0, 1), times), st.none() | recalls
    )
)
def test_what_is_written_is_read_as_the_same(asked: Asked) -> None:
    assert fields(control_text.read(control_text.write(asked))) == fields(asked)


@given(st.text(alphabet='ratio =[boostuntilrecallid]\n"0.5-:TZ1_{},', max_size=60))
def test_no_text_is_answered_with_anything_but_a_refusal(text: str) -> None:
    try:
        control_text.read(text)
    except ConfigurationError:
        pass


def test_saving_puts_a_whole_file_in_place_that_only_we_can_read(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "sampling.toml"
    control.save(str(target), Asked(0.5))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert control.load(str(target)).ratio == 0.5
    target.chmod(0o644)
    inode = target.stat().st_ino
    control.save(str(target), Asked(0.25))
    assert stat.S_IMODE(target.stat().st_mode) == 0o644 and target.stat().st_ino != inode
    assert os.listdir(target.parent) == ["sampling.toml"]


def test_saving_refuses_what_is_no_file_and_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="no regular file"):
        control.save(str(path), Asked(0.5))
    assert sorted(os.listdir(tmp_path)) == ["sampling.toml"]


def test_a_boost_ends_at_a_time_that_all_processes_agree_on() -> None:
    assert control.until(600, wall=lambda: NOON.timestamp() + 0.4) == NOON + timedelta(minutes=10)


def test_the_file_is_in_the_users_folder_for_state_unless_told(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert control.chosen_path(None, environ) == str(tmp_path / "fasttrace" / "sampling.toml")
    assert control.chosen_path("/etc/x.toml", environ) == "/etc/x.toml"
    assert control.chosen_path("None", environ) is None
    assert config.resolve({}, {"FASTTRACE_CONTROL_FILE": "/x"}).control_file == "/x"


def test_a_write_while_others_read_is_never_seen_half(path: Path) -> None:
    import threading

    stop = threading.Event()
    seen: list[Any] = []

    def read() -> None:
        while not stop.is_set():
            text, _ = control.read_safely(str(path))
            seen.append(control_text.read(text or "").ratio)

    control.save(str(path), Asked(0.5, recall=Recall("x", tuple(range(1, 900)))))
    reader = threading.Thread(target=read)
    reader.start()
    end = time.monotonic() + 60
    while len(seen) < 50 and time.monotonic() < end:
        control.save(str(path), Asked(0.5, recall=Recall("x", tuple(range(1, 900)))))
    stop.set()
    reader.join()
    assert len(seen) >= 50 and set(seen) == {0.5}


def test_nobody_is_told_of_a_good_file_by_the_reader(
    watched: Control, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path.write_text("ratio = 0.5\n")
    look(watched, clock)
    assert caplog.records == []


@pytest.mark.parametrize(("chosen", "timed"), [(None, False), ("none", False), ("None", False), ("control.json", True)])
def test_what_is_left_out_is_timed_only_where_a_control_file_was_chosen(
    tmp_path: Path, chosen: str | None, timed: bool
) -> None:
    path = str(tmp_path / chosen) if chosen == "control.json" else chosen
    provider = fasttrace.TracerProvider(exporter="none", control_file=path)
    assert provider.recorder.observe is timed
    provider.shutdown(5)
