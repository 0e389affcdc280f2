"""Head sampling: the ratio, the parent's word, the names that configure takes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fasttrace import sampling
from fasttrace._core.layout import THRESHOLD_ALWAYS, THRESHOLD_NEVER
from fasttrace.errors import ConfigurationError


@pytest.mark.parametrize("ratio", [0.001, 0.1, 0.5, 0.99])
def test_probability_keeps_its_share_of_random_ids_within_4_sigma(core: Any, ratio: float) -> None:
    count = 200_000 if core.name == "cython" else 50_000
    threshold = sampling.Probability(ratio).threshold
    mask = (1 << 56) - 1
    kept = sum((core.ids.generate_trace_id() & mask) >= threshold for _ in range(count))
    sigma = math.sqrt(count * ratio * (1 - ratio))
    assert abs(kept - count * ratio) < 4 * sigma + 1


def test_a_larger_ratio_keeps_every_trace_that_a_smaller_one_keeps() -> None:
    thresholds = [sampling.Probability(ratio).threshold for ratio in (0, 1e-9, 0.01, 0.5, 0.999, 1)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] == THRESHOLD_NEVER
    assert thresholds[-1] == THRESHOLD_ALWAYS


@pytest.mark.parametrize("ratio", [-0.1, 1.5, math.nan, "0.5", None, True])
def test_a_ratio_outside_0_to_1_is_refused_with_the_value(ratio: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"ratio=.*from 0 to 1"):
        sampling.Probability(ratio)


@pytest.mark.parametrize(
    ("value", "argument", "expected"),
    [
        (None, None, "ParentBased(AlwaysOn())"),
        ("always_on", None, "AlwaysOn()"),
        ("always_off", None, "AlwaysOff()"),
        ("0.25", None, "ParentBased(Probability(0.25))"),
        ("10%", None, "ParentBased(Probability(0.1))"),
        (0.5, None, "ParentBased(Probability(0.5))"),
        ("traceidratio", "0.1", "TraceIdRatio(0.1)"),
        ("parentbased_always_on", None, "ParentBased(AlwaysOn())"),
        ("parentbased_always_off", None, "ParentBased(AlwaysOff())"),
        ("parentbased_traceidratio", "0.2", "ParentBased(TraceIdRatio(0.2))"),
        ("PARENTBASED_TRACEIDRATIO", None, "ParentBased(TraceIdRatio(1.0))"),
    ],
)
def test_samplers_have_the_names_that_opentelemetry_gave_them(value: Any, argument: Any, expected: str) -> None:
    assert repr(sampling.parse(value, argument)) == expected


@pytest.mark.parametrize("value", ["sometimes", "150%", "", object(), "parentbased_", True])
def test_an_unknown_sampler_is_refused_with_what_is_accepted(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"sampler=.*always_on"):
        sampling.parse(value)


def recorder_and_tracer(core: Any, sampler: sampling.Sampler) -> tuple[Any, Any]:
    from fasttrace import InstrumentationScope

    recorder = core.span.Recorder(core.ring.Ring(), thresholds=sampler.thresholds())
    return recorder, core.span.Tracer(InstrumentationScope("test"), recorder)


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("root", [sampling.AlwaysOn(), sampling.AlwaysOff()])
def test_parent_based_does_what_the_parent_did(core: Any, root: Any, sampled: bool, remote: bool) -> None:
    _, tracer = recorder_and_tracer(core, sampling.ParentBased(root))
    parent = core.context.SpanContext(7 << 70 | 5, 9, is_remote=remote, trace_flags=int(sampled))
    span = tracer.start_span("child", context=parent)
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
    assert sampler.thresholds() == (
        THRESHOLD_NEVER,
        THRESHOLD_NEVER,
        THRESHOLD_ALWAYS,
        THRESHOLD_NEVER,
        THRESHOLD_ALWAYS,
    )


def test_all_services_decide_alike_on_the_same_trace_id(core: Any) -> None:
    sampler = sampling.Probability(0.3)
    _, tracer = recorder_and_tracer(core, sampler)
    for _ in range(500):
        trace_id = core.ids.generate_trace_id()
        parent = core.context.SpanContext(trace_id, 1, is_remote=True)
        span = tracer.start_span("operation", context=parent)
        assert span.is_recording() is ((trace_id & ((1 << 56) - 1)) >= sampler.threshold)
        span.end()


def test_an_unsampled_trace_still_propagates_its_ids_and_decision(core: Any) -> None:
    recorder, tracer = recorder_and_tracer(core, sampling.ParentBased(sampling.AlwaysOff()))
    with tracer.start_as_current_span("root") as root:
        header = core.headers.format_traceparent(root)
        assert core.headers.parse_traceparent(header).span_context.sampled is False
        with tracer.start_as_current_span("child") as child:
            assert child.trace_id == root.trace_id
            assert core.headers.format_traceparent(core.span.current_span())[-2:] == header[-2:]
        assert core.span.current_span() is root
    assert core.context.current_node() is None
    assert recorder.counters()["sampled_out"] == recorder.counters()["started"] == 2
