"""The governor: which ratio and boost are in force, what is recalled, and that one failure keeps nothing else back."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import fasttrace
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import control, signals
from fasttrace.sampling.control import Control
from fasttrace.sampling.control_text import Asked, Boost, Recall
from fasttrace.sampling.governor import Governor
from fasttrace.sampling.incident import Incident

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


class World:
    """A clock, a sampler with a ratio as samplers have it, and the calls that were made."""

    def __init__(self, path: Path) -> None:
        self.now = 1000.0
        self.path = path
        self.ratio = 0.1
        self.boosted: tuple[float, float] | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.window: dict[str, Any] = {"requests": 0, "errors": 0, "durations": ()}

    def set_ratio(self, ratio: float) -> None:
        self.calls.append(("set_ratio", ratio))
        self.ratio = ratio

    def boost(self, ratio: float, seconds: float) -> None:
        self.calls.append(("boost", ratio, seconds))
        self.boosted = (ratio, self.now + seconds)

    def end_boost(self) -> None:
        self.calls.append(("end_boost",))
        self.boosted = None

    def state(self) -> dict[str, Any]:
        boost = self.boosted if self.boosted is not None and self.boosted[1] > self.now else None
        return {"ratio": self.ratio, "boost": boost and {"ratio": boost[0], "seconds_left": boost[1] - self.now}}

    def effective(self) -> float:
        boost = self.state()["boost"]
        return max(self.ratio, boost["ratio"]) if boost else self.ratio

    def recall(self, trace_id: int) -> int:
        self.calls.append(("recall", trace_id))
        return 1

    def recall_recent(self, seconds: float) -> int:
        self.calls.append(("recall_recent", seconds))
        return 5

    def governor(self, *incidents: Incident, **options: Any) -> Governor:
        wall = START.timestamp() - 1000.0
        watched = Control(str(self.path), clock=lambda: self.now, wall=lambda: wall + self.now)
        given = {"control": watched, "recall": self.recall, "recall_recent": self.recall_recent, **options}
        return Governor(
            given.pop("sampler", self),
            given.pop("recorder_window", lambda: self.window),
            given.pop("control"),
            incidents,
            clock=lambda: self.now,
            **given,
        )

    def ask(self, ratio: float | None = None, boost: tuple[float, float] | None = None, **options: Any) -> None:
        """Write the control file; a boost is a ratio and the seconds from now."""
        made = None
        if boost is not None:
            made = Boost(boost[0], START + timedelta(seconds=self.now - 1000.0 + boost[1]))
        control.save(str(self.path), Asked(ratio, made, **options))
        written = START.timestamp() + self.now - 1000.0
        os.utime(self.path, (written, written))

    def tick(self, governor: Governor, seconds: float = 1.0) -> list[tuple[Any, ...]]:
        self.now += seconds
        self.calls = []
        governor.tick()
        return self.calls

    def fail(self, requests: int = 100) -> None:
        self.window = {
            "requests": self.window["requests"] + requests,
            "errors": self.window["errors"] + requests,
            "durations": (),
        }


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "sampling.toml")


def test_the_files_ratio_is_in_force_while_it_is_there_and_then_the_configured_one(world: World) -> None:
    governor = world.governor()
    assert world.tick(governor) == []
    world.ask(ratio=0.5)
    assert world.tick(governor) == [("set_ratio", 0.5)]
    assert world.tick(governor) == []
    world.ask(ratio=0.7)
    assert world.tick(governor) == [("set_ratio", 0.7)]
    world.path.unlink()
    assert world.tick(governor) == [("set_ratio", 0.1)]
    assert world.tick(governor) == []


def test_a_bad_file_leaves_the_last_good_ratio_in_force(world: World) -> None:
    governor = world.governor()
    world.ask(ratio=0.5)
    world.tick(governor)
    world.path.write_text("ratio = 1.5\n")
    assert world.tick(governor) == [] and world.ratio == 0.5
    state = governor.state()["control_file"]
    assert state["ratio"] == 0.5 and "ratio=1.5" in state["error"]


def test_a_ratio_that_the_application_set_meanwhile_is_left_alone(world: World) -> None:
    governor = world.governor()
    world.ask(ratio=0.5)
    world.tick(governor)
    world.ratio = 0.3
    world.path.unlink()
    assert world.tick(governor) == []


def test_the_files_boost_ends_when_it_says_and_at_once_when_it_is_withdrawn(world: World) -> None:
    governor = world.governor()
    world.ask(boost=(1.0, 60))
    ((call, ratio, seconds),) = world.tick(governor)
    assert (call, ratio) == ("boost", 1.0) and seconds == pytest.approx(59, abs=1)
    for _ in range(30):
        assert world.tick(governor) == []
    assert world.effective() == 1.0
    world.ask()
    assert world.tick(governor) == [("end_boost",)]
    world.ask(boost=(0.8, 10))
    world.tick(governor)
    for _ in range(20):
        assert world.tick(governor) == []
    assert world.effective() == 0.1


def test_a_boost_that_is_over_begins_nothing(world: World) -> None:
    governor = world.governor()
    world.ask(boost=(1.0, -1))
    assert world.tick(governor) == []


def test_a_boost_can_be_longer_than_a_sampler_takes(world: World) -> None:
    governor = world.governor()
    world.ask(boost=(1.0, 2e9))
    assert world.tick(governor) == [("boost", 1.0, 9e8)]
    world.tick(governor)
    assert world.tick(governor) == []


def test_an_incident_boosts_and_the_boost_is_renewed_while_it_stays(world: World) -> None:
    governor = world.governor(Incident(seconds=60, ratio=0.9))
    world.tick(governor)
    calls = []
    for _ in range(100):
        world.fail()
        calls += world.tick(governor)
        assert governor.state()["incidents"] == (1 if calls else 0)
    assert world.effective() == 0.9
    assert calls[0] == ("boost", 0.9, 60.0) and 3 <= len(calls) <= 5
    state = governor.state()
    assert state["incident_seconds"] == pytest.approx(99, abs=2)
    for _ in range(80):
        world.window = {**world.window, "requests": world.window["requests"] + 1000}
        world.tick(governor)
    assert world.effective() == 0.1 and governor.state()["incident_seconds"] is None


def test_the_larger_of_two_boosts_is_in_force_and_the_smaller_follows(world: World) -> None:
    governor = world.governor(Incident(seconds=20, ratio=1.0))
    world.ask(boost=(0.5, 300))
    world.tick(governor)
    assert world.effective() == 0.5
    world.fail()
    world.tick(governor)
    assert world.effective() == 1.0
    for _ in range(60):
        world.tick(governor)
    assert world.effective() == 0.5
    for _ in range(300):
        world.tick(governor)
    assert world.effective() == 0.1


def test_a_boost_of_the_application_is_never_ended_by_the_governor(world: World) -> None:
    governor = world.governor(Incident(seconds=10, ratio=1.0))
    world.tick(governor)
    world.boost(0.5, 1000)
    assert world.tick(governor) == []
    world.fail()
    world.tick(governor)
    assert world.effective() == 1.0
    for _ in range(60):
        world.tick(governor)
    assert world.effective() == 0.5 and world.boosted is not None
    assert world.boosted[1] == pytest.approx(2002, abs=2)
    world.ask(boost=(0.2, 100))
    assert world.tick(governor) == []
    world.ask()
    assert world.tick(governor) == [] and world.effective() == 0.5
    world.end_boost()
    assert world.tick(governor) == [] and world.effective() == 0.1


def test_a_sampler_without_a_ratio_is_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    governor = world.governor(sampler=object())
    for ratio in (0.5, 0.6, 0.7):
        world.ask(ratio=ratio, boost=(1.0, 100))
        world.tick(governor)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert "ratio has no effect" in said[0] and "boost has no effect" in said[1]


def test_a_recall_is_done_once_for_each_id(world: World) -> None:
    governor = world.governor()
    world.ask(recall=Recall("a", (7, 8), 30.0))
    assert world.tick(governor) == [("recall", 7), ("recall", 8), ("recall_recent", 31.0)]
    world.ask(ratio=0.5, recall=Recall("a", (7, 8), 30.0))
    assert world.tick(governor) == [("set_ratio", 0.5)]
    world.ask(ratio=0.5, recall=Recall("b", (9,)))
    assert world.tick(governor) == [("recall", 9)]


def test_a_process_that_was_idle_goes_back_from_when_the_recall_was_asked(world: World) -> None:
    governor = world.governor()
    world.ask(recall=Recall("a", (), 30.0))
    assert world.tick(governor, seconds=600) == [("recall_recent", 630.0)]


def test_every_change_of_the_file_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    governor = world.governor()
    world.ask(ratio=0.05, boost=(1.0, 600), recall=Recall("a", (1,)))
    for _ in range(3):
        world.tick(governor)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"control file {world.path}: ratio 5%, boost to 100% for 599 s, recall 'a'",
        "recall 'a' of the control file: 1 spans",
    ]


def test_what_fails_is_logged_and_keeps_nothing_else_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    from fasttrace import _log

    _log._last.clear()
    governor = world.governor(Incident(), recorder_window=broken, recall=broken)
    world.set_ratio = broken  # type: ignore[method-assign]
    world.ask(ratio=0.5, boost=(1.0, 100), recall=Recall("a", (7,)))
    calls = world.tick(governor)
    assert [call[0] for call in calls] == ["boost"]
    said = " ".join(record.getMessage() for record in caplog.records)
    for part in ("watch", "set_ratio", "recall_asked"):
        assert f"sampling: {part} failed: RuntimeError('broken')" in said
    assert [call[0] for call in world.tick(governor)] == []


def test_without_a_file_incidents_or_recall_nothing_is_done(world: World) -> None:
    governor = world.governor(control=None, recall=None, recall_recent=None)
    assert world.tick(governor) == []
    assert governor.state() == {
        "control_file": None,
        "incident_seconds": None,
        "incidents": 0,
        "budget": None,
    }


def test_a_forked_child_begins_with_no_incident_and_keeps_what_was_asked(world: World) -> None:
    governor = world.governor(Incident(seconds=60))
    world.ask(ratio=0.5, recall=Recall("a", (7,)))
    world.tick(governor)
    world.fail()
    world.tick(governor)
    assert governor.state()["incidents"] == 1
    read, write = os.pipe()
    child = os.fork()
    if not child:
        calls = world.tick(governor)
        os.write(write, repr((governor.state()["incidents"], world.ratio, calls)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        incidents, ratio, calls = eval(answer.read())
    os.waitpid(child, 0)
    assert (incidents, ratio) == (0, 0.5) and ("recall", 7) not in calls
    assert governor.state()["incidents"] == 1


# --- in a provider


def until(done: Any, step: Any) -> None:
    """Go on until it is done, a minute at most."""
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        step()
        time.sleep(0.01)


def test_requests_that_nobody_records_raise_the_ratio_while_they_fail(tmp_path: Path) -> None:
    provider = fasttrace.TracerProvider(
        sampler=0.0, incident=Incident(p99=None, ratio=1.0, seconds=3, window=1), exporter="memory", control_file="none"
    )
    tracer = provider.get_tracer("shop")

    def request(status: fasttrace.StatusCode) -> bool:
        with tracer.start_as_current_span("GET /", context=fasttrace.Context()) as span:
            span.set_status(status)
            return span.is_recording()

    def state() -> dict[str, Any]:
        found: dict[str, Any] = provider.stats()["sampling"]
        return found

    assert not request(fasttrace.StatusCode.OK)
    until(lambda: state()["boost"] is not None, lambda: request(fasttrace.StatusCode.ERROR))
    assert request(fasttrace.StatusCode.OK)
    assert state()["boost"]["ratio"] == 1.0 and state()["incidents"] == 1 and state()["incident_seconds"] >= 0
    until(lambda: state()["incident_seconds"] is None, lambda: request(fasttrace.StatusCode.OK))
    assert state()["boost"] is None and not request(fasttrace.StatusCode.OK)
    assert provider.shutdown(timeout=30)


def test_a_signal_exports_what_the_tail_rules_had_dropped(unhandled: None) -> None:
    provider = fasttrace.TracerProvider(tail="error", exporter="memory", control_file="none")
    tracer = provider.get_tracer("shop")
    signals.recall_on_signal("SIGUSR1", seconds=600)

    def request() -> None:
        tracer.start_span("GET /", context=fasttrace.Context()).end()

    request()
    assert provider.flush() and provider.exporter.spans == []
    signal.raise_signal(signal.SIGUSR1)
    until(lambda: provider.exporter.spans, request)
    assert provider.shutdown(timeout=30)
    assert {span.attributes["fasttrace.keep_reason"] for span in provider.exporter.spans} == {"recall"}


# --- signals


@pytest.fixture
def unhandled() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)
    signals._previous.clear()
    signals._seconds.clear()


def test_a_signal_recalls_the_last_seconds_once(world: World, unhandled: None) -> None:
    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _frame: heard.append(number))
    signals.recall_on_signal(signal.SIGUSR1, seconds=5)
    governor, other = world.governor(), world.governor()
    assert world.tick(governor) == []
    signal.raise_signal(signal.SIGUSR1)
    assert world.tick(governor) == [("recall_recent", pytest.approx(5, abs=60))]
    assert world.tick(governor) == []
    assert world.tick(other) == [("recall_recent", pytest.approx(5, abs=60))]
    assert heard == [signal.SIGUSR1]
    signals.recall_on_signal("usr1", seconds="1h")
    signal.raise_signal(signal.SIGUSR1)
    assert world.tick(governor) == [("recall_recent", pytest.approx(3600, abs=60))]
    assert len(heard) == 2


@pytest.mark.parametrize("signum", ["SIGNONE", 0, 999, True, signal.SIGKILL, None, 1.5])
def test_a_signal_that_can_not_be_handled_is_refused(signum: Any) -> None:
    with pytest.raises(ConfigurationError, match="signum="):
        signals.recall_on_signal(signum)


def test_a_signal_from_another_process_finds_a_working_governor() -> None:
    program = """
import sys, time
from fasttrace.sampling import signals
from fasttrace.sampling.governor import Governor
done = []
governor = Governor(object(), dict, None, (), None, lambda seconds: done.append(seconds) or 3)
signals.recall_on_signal("SIGUSR1", seconds=7)
print("ready", flush=True)
end = time.monotonic() + 60
while not done and time.monotonic() < end:
    governor.tick()
    time.sleep(0.01)
print([int(seconds) for seconds in done], flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "[7]\n"
    assert process.returncode == 0
