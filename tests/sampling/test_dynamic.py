"""Ratios that change while spans are made, and boosts that end by themselves."""

from __future__ import annotations

import gc
import math
import os
import time
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasttrace import TracerProvider, sampling
from fasttrace._core.layout import THRESHOLD_ALWAYS, THRESHOLD_ASK, THRESHOLD_NEVER
from fasttrace.errors import ConfigurationError
from fasttrace.export import MemoryExporter

SAMPLERS = [
    lambda: sampling.AlwaysOff(),
    lambda: sampling.Probability(0),
    lambda: sampling.TraceIdRatio(0),
    lambda: sampling.ParentBased(sampling.AlwaysOff()),
    lambda: sampling.ParentBased(sampling.RateLimited(0)),
    lambda: sampling.RateLimited(0),
    lambda: sampling.Rules([{"name": "*", "sample": False}], default=False),
    lambda: sampling.JaegerRemote("http://127.0.0.1:9", initial=sampling.RateLimited(0), interval=1e6),
    lambda: sampling.UserSampler(Never()),
]
NAMES = ["off", "probability", "trace_id_ratio", "parent_based", "parent_rate", "rate", "rules", "jaeger", "user"]


class Never:
    def should_sample(self, *_arguments: Any) -> Any:
        class Result:
            decision = "DROP"

        return Result()


@pytest.fixture(params=SAMPLERS, ids=NAMES)
def nothing(request: pytest.FixtureRequest, clock: Any) -> Any:
    """A sampler of each kind, that samples nothing."""
    return request.param()


def test_every_sampler_can_be_boosted_and_falls_back_at_the_end(bound: Any, nothing: Any, clock: Any) -> None:
    traced = bound(nothing)
    assert not traced.root().sampled
    nothing.boost(1.0, 60)
    root = traced.root()
    assert root.sampled
    assert traced.child(root).sampled
    clock.advance(59.9)
    assert traced.root().sampled
    clock.advance(0.1)
    traced.recorder.expires_ns = 1  # the core's own clock is the real one
    assert not traced.root().sampled
    assert nothing.state()["boost"] is None


def test_a_boost_ends_in_the_core_on_its_own_clock(bound: Any, lines: list[str]) -> None:
    sampler = sampling.ParentBased(sampling.AlwaysOff())
    traced = bound(sampler)
    sampler.boost(1.0, 3600)
    assert traced.root().sampled
    sampler.boost(1.0, 0.02)
    time.sleep(0.03)
    assert [traced.root().sampled for _ in range(3)] == [False] * 3
    assert traced.recorder.thresholds[0] == THRESHOLD_NEVER
    assert traced.recorder.expires_ns == 0
    assert sum("is over" in line for line in lines) == 1


def test_a_boost_is_seen_in_the_exported_spans_and_in_stats() -> None:
    sampler = sampling.ParentBased(sampling.Probability(0))
    exporter = MemoryExporter()
    provider = TracerProvider(sampler=sampler, exporter=exporter)
    tracer = provider.get_tracer("test")

    def trace() -> None:
        with tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
            pass

    trace()
    sampler.boost(1.0, 3600)
    assert provider.stats()["sampling"]["boost"]["ratio"] == 1.0
    trace()
    sampler.boost(1.0, 0.02)
    time.sleep(0.03)
    trace()
    assert provider.flush(30)
    assert [(span.name, span.trace_state) for span in exporter.spans] == [("child", "ot=th:0"), ("root", "ot=th:0")]
    stats = provider.stats()
    assert (stats["started"], stats["exported"], stats["sampled_out"]) == (6, 2, 4)
    assert (stats["sampling"]["boost"], stats["sampling"]["changes"]) == (None, 3)
    provider.shutdown(5)


def test_the_wall_clock_ends_no_boost_and_prolongs_none(
    bound: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = sampling.Probability(0)
    traced = bound(sampler)
    sampler.boost(1.0, 60)
    for step in (-86_400, 86_400):
        stepped = time.time() + step
        monkeypatch.setattr(time, "time", lambda stepped=stepped: stepped)
        monkeypatch.setattr(time, "time_ns", lambda stepped=stepped: int(stepped * 1e9))
        assert traced.root().sampled
    clock.advance(61)
    traced.recorder.expires_ns = 1
    assert not traced.root().sampled


@given(
    ratio=st.floats(0, 1), boost=st.floats(0, 1), kind=st.sampled_from([sampling.Probability, sampling.TraceIdRatio])
)
def test_a_boost_never_lowers_and_keeps_all_that_was_kept(ratio: float, boost: float, kind: Any) -> None:
    for wrap in (lambda sampler: sampler, sampling.ParentBased):
        sampler = wrap(kind(ratio))
        before = sampler.thresholds()
        sampler.boost(boost, 60)
        now = sampler.thresholds()
        assert all(new <= old for new, old in zip(now, before, strict=True))
        larger = kind(max(ratio, boost))
        if before[0] < 0 or kind is sampling.Probability:
            assert now[0] == larger.thresholds()[0]
            assert sampler.ot_members()[0] == larger.ot_members()[0]
        sampler.end_boost()
        assert sampler.thresholds() == before


def test_a_boost_of_parent_based_leaves_the_parents_word_alone() -> None:
    sampler = sampling.ParentBased(sampling.Probability(0.1), remote_parent_not_sampled=sampling.Probability(0.1))
    sampler.boost(1.0, 60)
    assert sampler.thresholds() == (0, 0, 0, 0, THRESHOLD_NEVER)
    assert sampler.ot_members() == ("th:0", None, "th:0", None, None)
    plain = sampling.ParentBased(sampling.Probability(0.1))
    plain.boost(1.0, 60)
    assert plain.thresholds() == (0, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER)


def test_a_boosted_ratio_is_written_into_the_tracestate(bound: Any) -> None:
    sampler = sampling.ParentBased(sampling.AlwaysOff())
    traced = bound(sampler)
    sampler.boost(0.5, 60)
    roots = [traced.root() for _ in range(200)]
    assert {root.trace_state.to_header() for root in roots if root.sampled} == {"ot=th:8"}
    assert {root.trace_state.to_header() for root in roots if not root.sampled} == {""}
    limited = sampling.RateLimited(0)
    traced = bound(limited)
    limited.boost(0.5, 60)
    roots = [traced.root() for _ in range(200)]
    assert {root.trace_state.to_header() for root in roots if root.sampled} == {"ot=th:8"}


def test_a_second_boost_replaces_the_first_and_zero_seconds_end_it(clock: Any) -> None:
    sampler = sampling.Probability(0.25)
    sampler.boost(1.0, 600)
    sampler.boost(0.5, 60)
    assert sampler.state()["boost"] == {"ratio": 0.5, "seconds_left": 60.0}
    clock.advance(20)
    assert sampler.state()["boost"] == {"ratio": 0.5, "seconds_left": 40.0}
    sampler.boost(1.0, 0)
    assert sampler.state()["boost"] is None
    sampler.end_boost()
    assert sampler.state()["changes"] == 3


@pytest.mark.parametrize("ratio", [1.5, -0.1, math.nan, "x", True, None])
def test_a_refused_change_leaves_the_last_good_one_in_force(bound: Any, ratio: Any) -> None:
    sampler = sampling.ParentBased(sampling.Probability(0.25))
    traced = bound(sampler)
    sampler.boost(0.5, 60)
    before, state = traced.recorder.thresholds, sampler.state()
    for refused in (
        lambda: sampler.set_ratio(ratio),
        lambda: sampler.boost(ratio, 60),
        lambda: sampler.boost(ratio, 0),
    ):
        with pytest.raises(ConfigurationError, match=rf"ratio={ratio!r}.*from 0 to 1"):
            refused()
    assert traced.recorder.thresholds == before
    assert sampler.state()["changes"] == state["changes"]


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, "x", True, None])
def test_a_time_that_is_none_is_refused(seconds: Any) -> None:
    sampler = sampling.Probability(0.25)
    with pytest.raises(ConfigurationError, match=rf"seconds={seconds!r}.*number of seconds"):
        sampler.boost(1.0, seconds)
    assert sampler.state()["boost"] is None


def test_a_ratio_can_be_set_where_there_is_one(bound: Any) -> None:
    ratio = sampling.TraceIdRatio(0.25)
    ratio.set_ratio(0.5)
    assert ratio.thresholds() == (-(2**63),) * 5
    rules = sampling.Rules([{"name": "x", "sample": True}], default=0.25)
    rules.set_ratio(0.5)
    assert repr(rules.default) == "Probability(0.5)"
    for root in (sampling.AlwaysOn(), sampling.AlwaysOff(), sampling.Probability(0.25)):
        sampler = sampling.ParentBased(root)
        traced = bound(sampler)
        sampler.set_ratio(0.5)
        assert repr(sampler) == "ParentBased(Probability(0.5))"
        assert traced.recorder.thresholds[0] == 1 << 55
        assert traced.recorder.ot_members[0] == "th:8"
        assert sampler.state()["ratio"] == 0.5


@pytest.mark.parametrize(
    "sampler", [sampling.AlwaysOn(), sampling.RateLimited(1), sampling.ParentBased(sampling.RateLimited(1))]
)
def test_where_there_is_no_ratio_the_error_says_where_there_is(sampler: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"set_ratio\(0.5\).*Probability, TraceIdRatio.*boost"):
        sampler.set_ratio(0.5)


def test_a_change_reaches_every_recorder_that_a_sampler_serves_in_any_place(bound: Any) -> None:
    inner = sampling.Probability(0)
    outer = sampling.ParentBased(inner)
    first, second, third = bound(inner), bound(outer), bound(sampling.AlwaysOff())
    inner.set_ratio(1)
    assert [traced.root().sampled for traced in (first, second, third)] == [True, True, False]
    inner.set_ratio(0)
    inner.boost(1.0, 60)
    assert [traced.root().sampled for traced in (first, second, third)] == [True, True, False]
    assert outer.state()["boost"]["ratio"] == 1.0


class Ids:
    """A recorder's own id generator: what is weakly referred to goes when the recorder does."""

    def generate_trace_id(self) -> int:
        return 1

    generate_span_id = generate_trace_id


def test_a_recorder_is_not_kept_alive_by_its_sampler(bound: Any) -> None:
    sampler = sampling.Probability(0.5)
    owned = Ids()
    traced, gone = bound(sampler, id_generator=owned), weakref.ref(owned)
    traced.root()
    del traced, owned
    gc.collect()
    assert gone() is None
    sampler.set_ratio(0.25)


def test_each_change_is_logged_once_and_counted(bound: Any, clock: Any, lines: list[str]) -> None:
    sampler = sampling.ParentBased(sampling.Probability(0.5))
    first, second = bound(sampler), bound(sampler)
    sampler.set_ratio(0.25)
    sampler.set_ratio(0.25)
    sampler.boost(1.0, 600)
    clock.advance(600)
    for traced in (first, second):
        traced.recorder.expires_ns = 1
        traced.root()
    assert len(lines) == 3
    assert "0.25" in lines[0] and "boosted to a ratio of 1 for 600 s" in lines[1] and "is over" in lines[2]
    assert sampler.state() == {
        "sampler": "ParentBased(Probability(0.25))",
        "ratio": 0.25,
        "boost": None,
        "changes": 3,
    }


def test_at_no_moment_of_a_change_does_a_span_carry_a_threshold_that_it_may_not_reach(core: Any) -> None:
    seen: list[tuple[int, str]] = []

    class Watched:
        """A recorder, of which every setting is looked at."""

        def __init__(self) -> None:
            self.__dict__["recorder"] = core.span.Recorder(core.ring.Ring())

        def __getattr__(self, name: str) -> Any:
            return getattr(self.recorder, name)

        def __setattr__(self, name: str, value: Any) -> None:
            setattr(self.recorder, name, value)
            if name in ("thresholds", "ot_members") and self.ot_members[0] is not None:
                seen.append((self.thresholds[0], self.ot_members[0]))

    recorder = Watched()
    sampler = sampling.Probability(0.5)
    sampling.bind(sampler, recorder)
    seen.clear()
    for ratio in (0.125, 0.75, 0.25, 1, 0):
        sampler.set_ratio(ratio)
    assert len(seen) == 10
    for compared, member in seen:
        assert compared >= int(member[3:].ljust(14, "0"), 16)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_boost_ends_in_a_forked_child_too(bound: Any) -> None:
    sampler = sampling.ParentBased(sampling.AlwaysOff())
    traced = bound(sampler)
    sampler.boost(1.0, 0.05)
    child = os.fork()
    if child == 0:
        code = 9
        try:
            time.sleep(0.1)
            code = int(traced.root().sampled)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_asking_samplers_are_asked_only_where_they_decide() -> None:
    ask, always, never = THRESHOLD_ASK, THRESHOLD_ALWAYS, THRESHOLD_NEVER
    assert sampling.RateLimited(1).thresholds() == (ask, ask, ask, always, never)
    assert sampling.ParentBased(sampling.RateLimited(1)).thresholds() == (ask, always, never, always, never)
