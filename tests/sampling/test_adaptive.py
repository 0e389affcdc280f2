"""Adaptive: each route comes to its target, and none is lost from sight."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fasttrace import sampling
from fasttrace.errors import ConfigurationError


def second(traced: Any, clock: Any, rates: dict[str, int]) -> dict[str, int]:
    """One second of traffic, evenly: how many of each route were sampled."""
    kept = dict.fromkeys(rates, 0)
    steps = max(rates.values())
    for step in range(steps):
        clock.advance(1 / steps)
        for name, rate in rates.items():
            if step * rate // steps != (step + 1) * rate // steps:
                kept[name] += traced.root(name).sampled
    return kept


def test_busy_routes_come_to_their_target_and_rare_ones_are_whole(bound: Any, clock: Any) -> None:
    traced = bound(sampling.Adaptive(10))
    rates = {"GET /busy": 2000, "GET /medium": 100, "GET /rare": 4}
    totals = dict.fromkeys(rates, 0)
    for number in range(12):
        kept = second(traced, clock, rates)
        assert kept["GET /busy"] < 200  # the first second as well
        if number >= 2:
            for name, count in kept.items():
                totals[name] += count
    assert 50 < totals["GET /busy"] < 170
    assert 50 < totals["GET /medium"] < 170
    assert totals["GET /rare"] == 40


def test_it_follows_the_traffic_up_and_down(bound: Any, clock: Any) -> None:
    sampler = sampling.Adaptive(5)
    traced = bound(sampler)
    for rate in (1000, 10, 500):
        for _ in range(8):
            second(traced, clock, {"route": rate})
        assert sampler.probability("route") == pytest.approx(min(1, 5 / rate), rel=0.2)


def test_a_route_is_seen_every_few_seconds_whatever_its_probability(bound: Any, clock: Any) -> None:
    class Unlucky:
        """Trace ids that no probability keeps."""

        def generate_trace_id(self) -> int:
            return 1 << 100

        def generate_span_id(self) -> int:
            return 1

    traced = bound(sampling.Adaptive(1), id_generator=Unlucky())
    kept = 0
    for _ in range(30):
        kept += second(traced, clock, {"route": 50})["route"]
    assert 6 <= kept <= 10


def test_a_decision_is_a_compare_that_the_tracestate_tells(bound: Any, clock: Any) -> None:
    traced = bound(sampling.Adaptive(10))
    second(traced, clock, {"route": 300})
    for _ in range(300):
        clock.advance(1 / 300)
        span = traced.root("route")
        if span.sampled:
            threshold = int(span.trace_state["ot"][3:].ljust(14, "0"), 16)
            assert 0 < threshold <= span.trace_id & ((1 << 56) - 1)


def test_methods_make_routes_of_their_own_and_the_number_of_routes_is_bounded(bound: Any, clock: Any) -> None:
    sampler = sampling.Adaptive(1, max_routes=10)
    traced = bound(sampler)
    traced.root("/cart", attributes={"http.request.method": "GET"})
    traced.root("/cart", attributes={"http.request.method": "POST"})
    traced.root("/cart", attributes={"http.request.method": 7})
    assert sampler.state()["routes"] == 3
    for number in range(1000):
        traced.root(f"/cart/{number}")
    assert sampler.state()["routes"] == 11
    assert sum(traced.root(f"/other/{number}").sampled for number in range(1000)) < 50


def test_children_do_what_their_root_did(bound: Any, clock: Any) -> None:
    traced = bound(sampling.Adaptive(1))
    for _ in range(50):
        root = traced.root("route")
        assert traced.child(root).sampled is root.sampled
    assert sum(route.count for route in traced.sampler._routes.values()) == 50


@pytest.mark.parametrize("target", [0, -1, math.nan, math.inf, "x", True])
def test_a_target_that_is_none_is_refused(target: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"target_traces_per_second={target!r}"):
        sampling.Adaptive(target)
