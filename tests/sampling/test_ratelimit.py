"""RateLimited: a bucket that is neither negative nor unbounded, shared by threads."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasttrace import sampling
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import clock as sampling_clock
from fasttrace.sampling.ratelimit import Bucket


def test_it_samples_its_burst_and_then_its_rate(bound: Any, clock: Any) -> None:
    traced = bound(sampling.RateLimited(10, burst=20))
    assert sum(traced.root().sampled for _ in range(100)) == 20
    for _ in range(5):
        clock.advance(1)
        assert sum(traced.root().sampled for _ in range(100)) == 10
    clock.advance(86_400)
    assert sum(traced.root().sampled for _ in range(100)) == 20


def test_a_fraction_of_a_trace_a_second_is_one_now_and_then(bound: Any, clock: Any) -> None:
    traced = bound(sampling.RateLimited(0.1))
    kept = 0
    for _ in range(101):
        kept += traced.root().sampled
        clock.advance(1)
    assert kept in (10, 11)


def test_what_it_samples_is_whole_and_below_a_local_parent_nothing_is_counted(bound: Any, clock: Any) -> None:
    traced = bound(sampling.RateLimited(1))
    roots = [traced.root() for _ in range(3)]
    assert [root.sampled for root in roots] == [True, False, False]
    assert [traced.child(root).sampled for root in roots for _ in range(3)] == [True] * 3 + [False] * 6


def test_a_remote_parent_is_limited_too_unless_below_parent_based(bound: Any, clock: Any) -> None:
    traced = bound(sampling.RateLimited(1))
    parent = traced.remote(sampled=True, state="ot=th:8;rv:00000000000001,a=b")
    kept, dropped = traced.child(parent), traced.child(parent)
    assert (kept.sampled, dropped.sampled) == (True, False)
    for span in (kept, dropped):  # how many it stands for is not known any more
        assert span.trace_state.to_header() == "ot=rv:00000000000001,a=b"
    parent_based = bound(sampling.ParentBased(sampling.RateLimited(1)))
    assert [parent_based.child(parent).sampled for _ in range(5)] == [True] * 5


@given(st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 5)), max_size=30), st.floats(0.01, 1e6))
def test_the_bucket_stays_between_nothing_and_its_burst(steps: list[tuple[int, int]], rate: float) -> None:
    now = 10**15
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling_clock, "now_ns", lambda: now)
        bucket = Bucket(rate, max(1.0, rate))
        for step, takes in steps:
            now += step
            for _ in range(takes):
                bucket.take()
            assert 0 <= bucket._tokens <= bucket.burst


def test_threads_never_take_the_same_token(clock: Any) -> None:
    bucket = Bucket(1, 1000)
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.append(sum(bucket.take() for _ in range(1000)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(taken) == 1000


@pytest.mark.parametrize("rate", [-1, math.nan, math.inf, "10", True, None])
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"traces_per_second={rate!r}.*0 or more"):
        sampling.RateLimited(rate)
    with pytest.raises(ConfigurationError, match=r"burst=0.5.*at least 1"):
        sampling.RateLimited(1, burst=0.5)
