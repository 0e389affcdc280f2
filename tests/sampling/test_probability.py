"""Samplers that need the trace id only: their share, OpenTelemetry's comparison, the parent's word, tracestate."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from fasttrace import sampling
from fasttrace._core.layout import THRESHOLD_ALWAYS, THRESHOLD_NEVER
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import consistent

RATIOS = [0.0, 1e-20, 1e-9, 0.001, 1 / 3, 0.5, 0.999, 1.0]
MASK_56, MASK_64 = (1 << 56) - 1, (1 << 64) - 1


def sigmas(core: Any, ratio: float, count: int) -> tuple[float, float]:
    """How far both samplers are from their share, in standard deviations."""
    threshold, bound = sampling.Probability(ratio).threshold, -sampling.TraceIdRatio(ratio).threshold
    generate = core.ids.generate_trace_id
    ids = [generate() for _ in range(count)]
    kept = sum(1 for trace_id in ids if trace_id & MASK_56 >= threshold)
    kept_too = sum(1 for trace_id in ids if trace_id & MASK_64 < bound)
    sigma = math.sqrt(count * ratio * (1 - ratio))
    return abs(kept - count * ratio) / sigma, abs(kept_too - count * ratio) / sigma


@pytest.mark.parametrize("ratio", [0.001, 0.3, 0.99])
def test_both_ratio_samplers_keep_their_share_of_a_million_ids_within_4_sigma(core: Any, ratio: float) -> None:
    # One time in ten thousand chance goes further; twice in a row it is no chance.
    assert any(max(sigmas(core, ratio, 1_000_000)) < 4 for _ in range(2))


@pytest.mark.parametrize("ratio", RATIOS)
def test_trace_id_ratio_picks_the_same_traces_as_opentelemetrys_sdk(core: Any, ratio: float) -> None:
    theirs, threshold = TraceIdRatioBased(ratio), sampling.TraceIdRatio(ratio).thresholds()[0]
    edge = theirs.bound
    near = [value for value in range(edge - 2, edge + 3) if 0 < value <= MASK_64]
    for trace_id in [
        *near,
        *(1 << 100 | value for value in near),
        *(core.ids.generate_trace_id() for _ in range(2000)),
    ]:
        kept = theirs.should_sample(None, trace_id, "name").decision.is_sampled()
        assert consistent.keeps(threshold, trace_id, None) is kept


@given(ratio=st.floats(0, 1), low=st.integers(1, MASK_64))
def test_trace_id_ratio_is_opentelemetrys_for_every_ratio(ratio: float, low: int) -> None:
    theirs = TraceIdRatioBased(ratio).should_sample(None, low, "name").decision.is_sampled()
    assert consistent.keeps(sampling.TraceIdRatio(ratio).threshold, low, None) is theirs


@pytest.mark.parametrize("ratio", [0.0, 1 / 3, 1.0])
def test_the_core_picks_what_opentelemetrys_sdk_picks(bound: Any, ratio: float) -> None:
    theirs, ours = TraceIdRatioBased(ratio), bound(sampling.TraceIdRatio(ratio))
    for _ in range(300):
        span = ours.root()
        assert span.sampled is theirs.should_sample(None, span.trace_id, "root").decision.is_sampled()
        assert span.trace_state.to_header() == ""


@given(small=st.floats(0, 1), large=st.floats(0, 1))
def test_a_larger_ratio_keeps_every_trace_that_a_smaller_one_keeps(small: float, large: float) -> None:
    small, large = sorted((small, large))
    assert sampling.Probability(small).threshold >= sampling.Probability(large).threshold
    lesser, greater = sampling.TraceIdRatio(small), sampling.TraceIdRatio(large)
    if lesser.threshold < 0:
        assert -lesser.threshold <= -greater.threshold


def test_the_ends_are_never_and_always() -> None:
    assert sampling.Probability(0).thresholds() == sampling.TraceIdRatio(0).thresholds() == (THRESHOLD_NEVER,) * 5
    assert sampling.Probability(1).thresholds() == (THRESHOLD_ALWAYS,) * 5
    assert sampling.TraceIdRatio(1).thresholds() == (-(1 << 64),) * 5
    assert sampling.Probability(1e-17).threshold == THRESHOLD_NEVER - 1


@pytest.mark.parametrize("kind", [sampling.Probability, sampling.TraceIdRatio])
@pytest.mark.parametrize("ratio", [-0.1, 1.5, math.nan, math.inf, "x", "0.5", None, True])
def test_a_ratio_outside_0_to_1_is_refused_with_the_value(kind: Any, ratio: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"ratio={ratio!r}.*from 0 to 1"):
        kind(ratio)


@pytest.mark.parametrize(
    ("ratio", "member"),
    [(1, "th:0"), (0.5, "th:8"), (0.25, "th:c"), (0.75, "th:4"), (1 / 16, "th:f"), (2**-56, "th:ffffffffffffff")],
)
def test_probability_says_its_threshold_as_opentelemetry_writes_it(ratio: float, member: str) -> None:
    assert sampling.Probability(ratio).ot_members() == (member,) * 5


@given(ratio=st.floats(2**-56, 1))
def test_the_threshold_in_the_tracestate_is_the_one_that_is_compared(ratio: float) -> None:
    sampler = sampling.Probability(ratio)
    member = sampler.ot_members()[0]
    assert member is not None
    assert int(member[3:].ljust(14, "0"), 16) == sampler.threshold
    assert member == "th:0" or not member.endswith("0")


def test_samplers_that_are_no_probability_say_nothing() -> None:
    for sampler in (sampling.AlwaysOn(), sampling.AlwaysOff(), sampling.TraceIdRatio(0.5)):
        assert sampler.ot_members() == (None,) * 5
    half = sampling.Probability(0.5)
    assert sampling.ParentBased(half).ot_members() == ("th:8", None, None, None, None)
    parent_based = sampling.ParentBased(sampling.AlwaysOn(), remote_parent_not_sampled=half)
    assert parent_based.ot_members() == (None, None, "th:8", None, None)


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("root", [sampling.AlwaysOn(), sampling.AlwaysOff()])
def test_parent_based_does_what_the_parent_did(core: Any, bound: Any, root: Any, sampled: bool, remote: bool) -> None:
    parent = core.context.SpanContext(7 << 70 | 5, 9, is_remote=remote, trace_flags=int(sampled))
    span = bound(sampling.ParentBased(root)).tracer.start_span("child", context=parent)
    assert span.is_recording() is sampled
    assert span.sampled is sampled
    assert span.trace_id == parent.trace_id
    span.end()


def test_each_delegate_of_parent_based_decides_its_own_case() -> None:
    on, off = sampling.AlwaysOn(), sampling.AlwaysOff()
    sampler = sampling.ParentBased(
        off,
        remote_parent_sampled=off,
        remote_parent_not_sampled=on,
        local_parent_sampled=off,
        local_parent_not_sampled=on,
    )
    never, always = THRESHOLD_NEVER, THRESHOLD_ALWAYS
    assert sampler.thresholds() == (never, never, always, never, always)


@pytest.mark.parametrize("name", ["root", "local_parent_sampled"])
def test_what_is_no_sampler_is_refused_by_the_name_of_its_place(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}='x' is no sampler"):
        sampling.ParentBased(**{"root": sampling.AlwaysOn(), name: "x"})


def test_all_services_decide_alike_on_the_same_trace_id(core: Any, bound: Any) -> None:
    few, many = bound(sampling.Probability(0.3)), bound(sampling.Probability(0.6))
    kept = 0
    for _ in range(500):
        parent = few.remote(core.ids.generate_trace_id())
        one, other = few.child(parent), many.child(parent)
        assert one.sampled is (parent.trace_id & MASK_56 >= sampling.Probability(0.3).threshold)
        assert other.sampled or not one.sampled
        kept += one.sampled
    assert 50 < kept < 300


def test_below_parent_based_no_child_is_sampled_without_its_parent(bound: Any) -> None:
    traced = bound(sampling.ParentBased(sampling.Probability(0.5)))
    for _ in range(200):
        with traced.tracer.start_as_current_span("root") as root:
            with traced.tracer.start_as_current_span("child") as child:
                assert child.sampled is root.sampled
                assert child.trace_id == root.trace_id
                assert child.trace_state.to_header() == ("ot=th:8" if root.sampled else "")


def test_an_unsampled_trace_still_propagates_its_ids_and_decision(core: Any, bound: Any) -> None:
    traced = bound(sampling.ParentBased(sampling.AlwaysOff()))
    with traced.tracer.start_as_current_span("root") as root:
        header = core.headers.format_traceparent(root)
        assert core.headers.parse_traceparent(header).span_context.sampled is False
        with traced.tracer.start_as_current_span("child") as child:
            assert child.trace_id == root.trace_id
            assert core.headers.format_traceparent(core.span.current_span())[-2:] == header[-2:]
        assert core.span.current_span() is root
    assert core.context.current_node() is None
    counters = traced.recorder.counters()
    assert counters["sampled_out"] == counters["started"] == 2
