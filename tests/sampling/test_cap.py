"""A cap of the ratio: at most so many traces come in, each has one decision, and tracestate counts right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasttrace.sampling import AlwaysOn, ParentBased, Probability, TraceIdRatio, cap, consistent
from fasttrace.sampling.base import DROP, LOCAL_NOT_SAMPLED, SAMPLE
from fasttrace.sampling.binding import set_cap

ROOTS = 2000
SAMPLERS = [
    AlwaysOn,
    lambda: Probability(0.5),
    lambda: TraceIdRatio(0.5),
    lambda: ParentBased(AlwaysOn()),
    lambda: ParentBased(Probability(0.5)),
    lambda: ParentBased(TraceIdRatio(0.5)),
]


class Everything:
    """A sampler that is asked for every span, and wants all of them."""

    def should_sample(self, parent_context: Any, trace_id: int, name: str) -> Any:
        class Result:
            decision, attributes, trace_state = "RECORD_AND_SAMPLE", None, None

        return Result


@pytest.fixture(params=range(len(SAMPLERS) + 1))
def capped(request: pytest.FixtureRequest, bound: Callable[..., Any]) -> Any:
    """A recorder of each kind of sampler, with at most a quarter of the traces."""
    from fasttrace.sampling import UserSampler

    made = bound([*SAMPLERS, lambda: UserSampler(Everything())][request.param]())
    set_cap(made.recorder, 0.25)
    return made


def share(bound: Any) -> float:
    return sum(bound.root().sampled for _ in range(ROOTS)) / ROOTS


def test_at_most_so_many_traces_are_recorded_and_all_again_afterwards(capped: Any) -> None:
    # Six standard deviations of a quarter of 2,000.
    assert share(capped) == pytest.approx(0.25, abs=0.06)
    set_cap(capped.recorder, 1.0)
    assert share(capped) >= 0.43


def test_a_trace_has_one_decision_whatever_the_cap_does_meanwhile(capped: Any) -> None:
    seen = set()
    for _ in range(100):
        root = capped.tracer.start_span("root", context=capped.core.context.Context())
        before = capped.child(root)
        set_cap(capped.recorder, 1.0)
        after = capped.child(root)
        deeper = capped.child(after)
        set_cap(capped.recorder, 0.25)
        root.end()
        seen.add(root.sampled)
        assert {before.sampled, after.sampled, deeper.sampled} == {root.sampled}
    assert seen == {True, False}


def test_below_a_remote_sampled_parent_too(capped: Any) -> None:
    kept = 0
    for _ in range(ROOTS):
        parent = capped.remote(capped.core.ids.generate_trace_id())
        server = capped.child(parent)
        assert capped.child(server).sampled == server.sampled
        kept += server.sampled
    assert kept / ROOTS == pytest.approx(0.25, abs=0.06)


def test_what_is_kept_is_what_a_service_with_that_ratio_keeps(bound: Callable[..., Any]) -> None:
    """So that of two services at their budgets the one with more traces has all of the other's."""
    made = bound(ParentBased(AlwaysOn()))
    set_cap(made.recorder, 0.25)
    for _ in range(300):
        trace_id = made.core.ids.generate_trace_id()
        sampled = made.child(made.remote(trace_id)).sampled
        assert sampled == (trace_id & consistent.LOW_56 >= consistent.threshold_of(0.25))


@pytest.mark.parametrize(
    ("sampler", "state", "expected"),
    [
        (ParentBased(AlwaysOn()), "", ""),
        (ParentBased(AlwaysOn()), "ot=th:8,vendor=1", "vendor=1"),
        (Probability(0.5), "ot=th:8,vendor=1", "ot=th:c,vendor=1"),
    ],
)
def test_nobody_is_told_a_share_that_is_no_longer_so(
    bound: Callable[..., Any], sampler: Any, state: str, expected: str
) -> None:
    made = bound(sampler)
    set_cap(made.recorder, 0.25)
    sampled = made.child(made.remote(consistent.LOW_56, state=state))
    assert sampled.sampled
    assert sampled.trace_state.to_header() == expected
    roots = [made.root() for _ in range(100)]
    assert {root.trace_state.to_header() for root in roots if root.sampled} == {"ot=th:c"}


def test_a_sampler_that_is_asked_has_its_mark_raised(bound: Callable[..., Any]) -> None:
    made = bound(AlwaysOn())
    parent = made.core.context.Context(made.remote(consistent.LOW_56, state="ot=th:8"))
    for said, shown in [("ot=th:8", "ot=th:c"), ("ot=th:e", "ot=th:e"), ("vendor=1", "vendor=1"), (None, "ot=th:c")]:
        decision, _, header = cap.judged((SAMPLE, None, said), 0, consistent.LOW_56, parent, 0.25)
        assert (decision, header) == (SAMPLE, shown)


def test_an_answer_below_a_trace_that_was_left_out_is_no(bound: Callable[..., Any]) -> None:
    assert cap.judged((SAMPLE, {"a": 1}, "ot=th:0"), LOCAL_NOT_SAMPLED, 1, None, 1.0) == (DROP, None, None)


@given(st.floats(0.0001, 1), st.floats(0.0001, 1))
def test_a_cap_never_keeps_more(ratio: float, max_ratio: float) -> None:
    for sampler in (Probability(ratio), TraceIdRatio(ratio), ParentBased(Probability(ratio))):
        before = sampler.thresholds()
        after, _ = cap.capped(before, sampler.ot_members(), max_ratio)
        assert all(now >= then for now, then in zip(after[:3], before[:3], strict=True))
        assert after[3] == before[3]
