"""Traces as they come: whole, once, and only those that were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_traces import span

import fasttrace
from fasttrace.export import SpoolExporter
from fasttrace.local.following import PATIENCE_SECONDS, SETTLE_SECONDS, Following, holds
from fasttrace.local.ranges import RangeError, is_range, range_search
from fasttrace.local.search import parse
from fasttrace.local.store import Store, Summary


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(tmp_path: Path) -> fasttrace.TracerProvider:
    return fasttrace.TracerProvider(service_name="live", exporter=SpoolExporter(tmp_path))


def test_trace_is_given_once_when_it_has_settled(
    tmp_path: Path, provider: fasttrace.TracerProvider, clock: Clock
) -> None:
    following = Following(Store(tmp_path), parse(""), clock)
    tracer = provider.get_tracer("tests")
    root = tracer.start_span("root", context=fasttrace.Context())
    tracer.start_span("first", context=root).end()
    assert provider.flush(60)
    assert following.poll() == []
    root.end()
    assert provider.flush(60)
    assert following.poll() == []
    clock.now += SETTLE_SECONDS
    assert [(found.name, found.spans) for found in following.poll()] == [("root", 2)]
    tracer.start_span("late", context=root).end()
    assert provider.shutdown(60)
    assert following.poll() == []
    clock.now += PATIENCE_SECONDS
    assert following.poll() == []


def test_trace_without_a_root_is_given_after_some_patience(
    tmp_path: Path, provider: fasttrace.TracerProvider, clock: Clock
) -> None:
    following = Following(Store(tmp_path), parse(""), clock)
    tracer = provider.get_tracer("tests")
    root = tracer.start_span("root", context=fasttrace.Context())
    tracer.start_span("child", context=root).end()
    assert provider.flush(60)
    following.poll()
    clock.now += SETTLE_SECONDS
    assert following.poll() == []
    clock.now += PATIENCE_SECONDS
    assert [(found.name, found.complete) for found in following.poll()] == [("child", False)]
    root.end()
    provider.shutdown(10)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("trace.dur>40ms", True),
        ("trace.dur>1s", False),
        ("-trace.dur>1s", True),
        ("trace.errors>0", True),
        ("trace.spans>=3", False),
        ("trace.name=GET*", False),
        ("trace.name~GET*", True),
        ("trace.service=web", True),
        ("age<1m", True),
        ("-age<1m", False),
        ("age>1m", False),
        ("trace.dur>40ms trace.errors=1", True),
    ],
)
def test_conditions_on_whole_traces_hold_for_what_comes(search: str, expected: bool) -> None:
    summary = Summary("0" * 32)
    summary.add(span(1, 0, 0, 50, "GET /", "web", error=""))
    summary.add(span(2, 1, -5, 40, "SELECT", "db"))  # its clock is behind
    assert holds(parse(search), summary) is expected


NOW = 1_795_435_421.0  # 2026-11-23 12:03:41 UTC


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("10m..", "age<=600.000s"),
        ("20m..10m", "age<=1200.000s age>=600.000s"),
        ("..1.5h", "age>=5400.000s"),
        ("..", ""),
        ("12:03..12:03:40", "age<=41.000s age>=1.000s"),
        ("13:00..12:00", "age<=83021.000s age>=221.000s"),
        ("2026-11-23T12:03:31+00:00..", "age<=10.000s"),
    ],
)
def test_ranges_are_searches_by_age(text: str, search: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert is_range(text)
    assert range_search(text, NOW) == search
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("text", ["http.route~/a..b", 'name="a..b"', "slow", "dur>5ms", "two words..x"])
def test_searches_are_no_ranges(text: str) -> None:
    assert not is_range(text)


@pytest.mark.parametrize("text", ["yesterday..", "10..5", "5m..10m", "25:00..", "99999999999d.."])
def test_ranges_that_make_no_sense_say_what_is_accepted(text: str) -> None:
    with pytest.raises(RangeError):
        range_search(text, NOW)
