"""Both stores side by side, driven by hypothesis: the same answers, bytes and figures after every step."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from stored import NAMES, ROOT, SAMPLED, Stored, record

from fasttrace._core.layout import STORE_ENTRY_BYTES

STEP = 1 << 20
TRACES = st.integers(0, 9).map(lambda number: number * (1 << 53) + (number << 100))
OPTIONS = st.fixed_dictionaries(
    {
        "max_bytes": st.sampled_from([1, 700, 3000, 8000, 1 << 20]),
        "max_trace_bytes": st.sampled_from([150, 600, 1 << 20]),
        "grace_ns": st.sampled_from([0, STEP, 5 * STEP]),
        "remember": st.sampled_from([0, 1, 3, 1000]),
        "reasons": st.sampled_from([None, NAMES, (None, "b", "ü" * 200, *[None] * 27, "head", None)]),
        "rules": st.lists(
            st.one_of(
                st.tuples(st.just("rare"), st.integers(1, 27), st.integers(1, 3), st.sampled_from([1, STEP, 7 * STEP])),
                st.tuples(st.just("percentile"), st.integers(1, 27), st.sampled_from([1, 500_000, 990_000, 999_999])),
                st.tuples(st.just("baseline"), st.integers(1, 27), st.sampled_from([0, 1 << 55, 1 << 56])),
            ),
            max_size=3,
        ),
    }
)
RECORDS = st.lists(
    st.builds(
        record,
        TRACES,
        st.integers(0, 1 << 64 - 1),
        bits=st.sampled_from([0] * 12 + [1, 2, 6, 1 << 28, 1 << 31]),
        flags=st.sampled_from([0] * 4 + [ROOT] * 4 + [SAMPLED, SAMPLED | ROOT, 0x1A]),
        route=st.integers(0, 2),
        start=st.one_of(st.integers(0, 100 * STEP), st.just((1 << 64) - 1)),
        took=st.one_of(st.integers(0, 100 * STEP), st.integers(0, 3000), st.just((1 << 64) - 1)),
        size=st.sampled_from([64, 70, 100, 300, 900, 20_000]),
    ),
    max_size=8,
)


class Twins(RuleBasedStateMachine):
    """Two stores; every rule does the same to both."""

    cores: list[Any]

    @initialize(options=OPTIONS)
    def begin(self, options: dict[str, Any]) -> None:
        self.stored = [Stored(core, **options) for core in self.cores]

    def same(self, call: Any) -> None:
        answers = [call(stored) for stored in self.stored]
        assert answers[0] == answers[1]

    @rule(records=RECORDS, after=st.sampled_from([0, 1, STEP, 3 * STEP, -STEP]))
    def add(self, records: list[bytes], after: int) -> None:
        self.same(lambda stored: stored.add(*records, after=after).added)

    @rule(trace=TRACES, flags=st.sampled_from([0, ROOT]), count=st.integers(90, 5000), took=st.integers(0, 1 << 20))
    def flood(self, trace: int, flags: int, count: int, took: int) -> None:
        one = record(trace, flags=flags, took=took, size=64)
        self.same(lambda stored: stored.add(*[one] * count).added)

    @rule(after=st.sampled_from([0, STEP, 6 * STEP, -2 * STEP]))
    def tick(self, after: int) -> None:
        self.same(lambda stored: stored.tick(after).now)

    @rule()
    def settle(self) -> None:
        self.same(lambda stored: stored.store.settle(stored.now))

    @rule()
    def close(self) -> None:
        self.same(lambda stored: stored.store.close(stored.now))

    @rule(spans=st.integers(-1, 9), nbytes=st.integers(-1, 2000))
    def take(self, spans: int, nbytes: int) -> None:
        self.same(lambda stored: stored.take(spans, nbytes))

    @rule(trace=TRACES, mask=st.integers(1, (1 << 32) - 1), around=st.sampled_from([-1, 0, STEP, (1 << 63) - 1]))
    def recall(self, trace: int, mask: int, around: int) -> None:
        self.same(lambda stored: stored.store.recall(trace, mask, around))

    @rule(ago=st.sampled_from([-1, 0, STEP, 5 * STEP]))
    def recall_recent(self, ago: int) -> None:
        self.same(lambda stored: stored.store.recall_recent(stored.now - ago, 1 << 2))

    @invariant()
    def figures_are_the_same(self) -> None:
        if not hasattr(self, "stored"):
            return
        figures = [(stored.check().store.stats(), stored.store.next_due_ns) for stored in self.stored]
        assert figures[0] == figures[1]

    def teardown(self) -> None:
        """What is left comes out alike."""
        if hasattr(self, "stored"):
            self.same(lambda stored: stored.take())


@pytest.mark.timeout(600)  # the sanitizers' build takes ten times as long, a busy machine as often more
def test_twins_decide_alike_whatever_comes(both: Any) -> None:
    machine = type("Machine", (Twins,), {"cores": both})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))  # type: ignore[arg-type]


def test_twins_decide_alike_under_load(both: Any) -> None:
    """More traces, routes and evictions than hypothesis would draw."""
    draw = random.Random(5)
    rules = [("rare", 3, 1, 3000), ("percentile", 2, 950_000), ("baseline", 4, (1 << 56) // 10 * 9)]
    stored = [Stored(core, max_bytes=200 * STORE_ENTRY_BYTES, grace_ns=50, rules=rules) for core in both]
    for _ in range(1500):
        records = [
            record(
                draw.randrange(400) * (1 << 48),
                draw.getrandbits(64),
                bits=draw.choice([0] * 40 + [1 << draw.randrange(32)]),
                flags=draw.choice([0, 0, ROOT]),
                route=int(draw.paretovariate(0.3)) % 5000,
                start=draw.randrange(1000),
                took=int(draw.lognormvariate(14, 1)),
                size=draw.choice([64, 100, 220]),
            )
            for _ in range(draw.randrange(12))
        ]
        after = draw.randrange(4)
        figures = []
        for one in stored:
            one.add(*records, after=after).tick()
            figures.append((one.store.take(20, 1 << 20), one.store.stats(), one.store.next_due_ns))
            one.taken += one.core.otlp.count_records(figures[-1][0])
        assert figures[0] == figures[1]
    last = figures[0][1]
    assert all(last[name] > 100 for name in ("sampled_out", "trace_evicted", "evicted_traces"))
    assert all(last["kept_traces"][bit] > 10 for bit in (2, 3, 4))
