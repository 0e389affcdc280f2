"""Incidents: when a boost begins by itself, how long it stays, and what the log says."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasttrace import InstrumentationScope, StatusCode
from fasttrace._core import layout
from fasttrace.errors import ConfigurationError
from fasttrace.sampling.incident import STEPS, Incident, Watch, percentile

BUCKETS = layout.DURATION_BUCKETS


class Service:
    """Requests of a process, counted as ``Recorder.window()`` counts them."""

    def __init__(self, incident: Incident) -> None:
        self.watch = Watch(incident)
        self.now = 5000.0
        self.window: dict[str, Any] = {"requests": 0, "errors": 0, "durations": (0,) * BUCKETS}

    def serve(self, requests: int, errors: int = 0, took: float = 0.01, seconds: float = 1.0) -> bool:
        """So many requests, then one look; whether there is an incident."""
        durations = list(self.window["durations"])
        durations[layout.duration_bucket(round(took * 1e9))] += requests
        self.window = {
            "requests": self.window["requests"] + requests,
            "errors": self.window["errors"] + errors,
            "durations": tuple(durations),
        }
        self.now += seconds
        self.watch.observe(self.window, self.now)
        return self.watch.until is not None


def test_all_is_well_while_few_requests_fail() -> None:
    service = Service(Incident())
    assert not any(service.serve(100, errors=4) for _ in range(60))
    assert service.watch.count == 0


def test_it_begins_with_the_share_of_errors_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(Incident(error_ratio=0.05, seconds=60))
    service.serve(0)
    assert not service.serve(100, errors=4)
    assert service.serve(100, errors=16)
    assert service.watch.since == service.now and service.watch.until == service.now + 60
    for _ in range(50):
        service.serve(100, errors=20)
    (record,) = caplog.records
    assert record.getMessage() == "incident: 20 of 200 requests failed; sampling 100%"


def test_it_begins_with_slow_requests() -> None:
    service = Service(Incident(error_ratio=None, p99=2.0))
    service.serve(0)
    assert not service.serve(980, took=0.1)
    assert not service.serve(5, took=5.0)
    assert service.serve(10, took=5.0)


def test_a_p99_below_the_threshold_never_counts_as_above_it() -> None:
    service = Service(Incident(error_ratio=None, p99=2.0))
    service.serve(0)
    assert not service.serve(1000, took=1.99)


def test_too_few_requests_say_nothing() -> None:
    service = Service(Incident(min_requests=20))
    service.serve(0)
    assert not service.serve(19, errors=19)
    assert service.serve(1, errors=1)


def test_it_goes_on_while_it_stays_so_and_ends_once(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(Incident(seconds=60, window=10))
    service.serve(0)
    for _ in range(200):
        assert service.serve(100, errors=50)
    while service.serve(100):
        assert service.watch.until is not None
    assert service.watch.count == 1 and service.watch.since is None
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[1].startswith("incident is over after 2")
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_a_second_incident_is_another_one() -> None:
    service = Service(Incident(seconds=5, window=2))
    service.serve(0)
    service.serve(100, errors=50)
    while service.serve(100):
        pass
    service.serve(100, errors=50)
    assert service.watch.count == 2


def test_errors_older_than_the_window_are_forgotten() -> None:
    service = Service(Incident(window=10, seconds=1))
    service.serve(0)
    service.serve(15, errors=15)
    assert not any(service.serve(1) for _ in range(4))
    assert service.serve(1)
    for _ in range(15):
        service.serve(10)
    assert not service.serve(100, errors=1)


def test_what_went_on_while_nobody_looked_counts_for_nothing() -> None:
    service = Service(Incident(window=10))
    service.serve(0)
    assert not service.serve(1000, errors=1000, seconds=3600)
    assert service.serve(100, errors=100)


def test_counts_that_go_back_start_anew_and_never_raise() -> None:
    service = Service(Incident())
    service.serve(0)
    service.serve(1000, errors=10)
    service.window = {"requests": 0, "errors": 0, "durations": (0,) * BUCKETS}
    assert not service.serve(10)
    assert not service.serve(50, errors=1)
    assert service.serve(100, errors=60)


def test_after_counts_went_back_an_incident_is_seen_at_once() -> None:
    service = Service(Incident())
    service.serve(1000)
    service.serve(1000)
    service.window = {"requests": 0, "errors": 0, "durations": (0,) * BUCKETS}
    service.serve(10)
    assert service.serve(100, errors=100)


counts = st.integers(0, 10**6)
windows = st.fixed_dictionaries(
    {"requests": counts, "errors": counts, "durations": st.lists(counts, max_size=8).map(tuple)}
)


@given(st.lists(st.tuples(windows, st.floats(-100, 1e6)), max_size=30))
def test_no_sequence_of_counts_raises_or_takes_more_memory(seen: list[tuple[Any, float]]) -> None:
    watch = Watch(Incident(window=5))
    for window, now in seen:
        watch.observe(window, now)
        assert len(watch._seen) <= STEPS + 2


@given(st.lists(st.integers(0, 50), min_size=1, max_size=BUCKETS), st.floats(0.01, 1))
def test_the_percentile_is_that_of_the_sorted_durations(filled: list[int], share: float) -> None:
    everything = [layout.duration_of(bucket) for bucket, count in enumerate(filled) for _ in range(count)]
    found = percentile(filled, share)
    if not everything:
        assert found == 0
    else:
        assert sum(value <= found for value in everything) >= share * len(everything)
        assert sum(value < found for value in everything) < share * len(everything)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"error_ratio": 1.5}, "error_ratio=1.5: use a number from 0 to 1"),
        ({"error_ratio": 0}, "error_ratio=0"),
        ({"p99": -2}, "p99=-2: use seconds above 0"),
        ({"error_ratio": None, "p99": None}, "at least one"),
        ({"ratio": 2}, "ratio=2"),
        ({"seconds": 0}, "seconds=0"),
        ({"min_requests": 0}, "min_requests=0"),
        ({"window": -1.0}, "window=-1.0"),
    ],
)
def test_bad_thresholds_are_refused_with_the_value(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Incident(**arguments)
    assert said in str(refused.value)


def test_an_incident_shows_its_thresholds() -> None:
    shown = "Incident(error_ratio=0.05, p99=2.0, ratio=1.0, seconds=60.0, min_requests=20, window=10.0)"
    assert repr(Incident()) == shown == repr(eval(shown))


def test_requests_that_no_sampler_records_make_an_incident(core: Any) -> None:
    recorder = core.span.Recorder(core.ring.Ring(1000, 1 << 20), thresholds=(1 << 56,) * 5)
    recorder.observe = True
    tracer = core.span.Tracer(InstrumentationScope("shop"), recorder)
    watch = Watch(Incident(p99=None))
    watch.observe(recorder.window(), 0.0)
    for failed in (False, True):
        for _ in range(50):
            span = tracer.start_span("GET /", context=core.context.Context())
            assert not span.is_recording()
            if failed:
                span.set_status(StatusCode.ERROR)
            span.end()
        watch.observe(recorder.window(), 1.0)
        assert (watch.until is not None) is failed
