"""The diagnosis: each rule on a trace that shows it, and on one that must not."""

from __future__ import annotations

import pytest
import sample_traces as traces
from sample_traces import span

from fasttrace.local.diagnosis import diagnose
from fasttrace.local.model import Trace

POOL = {
    "db__client__connection__pool__name": "stock.db",
    "db__client__connection__max": 4,
    "db__client__connection__pending_requests": 7,
}


def test_pool_wait_is_named_with_service_share_and_figures() -> None:
    found = diagnose([Trace(traces.checkout())])
    assert (found.rule, found.service, found.evidence.name) == ("pool_wait", "inventory", "wait for db pool")
    assert found.sentence == (
        "inventory is the bottleneck: 74 % of the slowest trace (1.71 s of 2.31 s) "
        "waits for its database pool (4 connections, up to 31 waiting)."
    )
    assert found.figures["waited_ns"] == 1_710_000_000
    assert found.figures["duration_ns"] == 2_310_000_000


def test_pool_wait_is_compared_over_the_slowest_traces() -> None:
    def order(number: int, wait_ms: float, waiters: int) -> Trace:
        trace_id = f"{number:032x}"
        pool = {**POOL, "db__client__connection__pending_requests": waiters}
        return Trace(
            [
                span(1, 0, 0, 100 + wait_ms, "POST /", "shop", trace_id=trace_id),
                span(2, 1, 10, 10 + wait_ms, "wait for db pool", "stock", trace_id=trace_id, **pool),
            ]
        )

    found = diagnose([order(1, 10, 40), order(2, 900, 5), order(3, 700, 9)])
    assert found.evidence.span.trace_id == f"{2:032x}"
    assert found.figures["waiting"] == 9
    assert found.figures["traces_sharing"] == 2
    assert found.sentence.endswith("It takes the largest part of 2 of the 3 slowest traces.")


def test_wait_without_a_pool_s_name_is_quoted_by_its_own() -> None:
    found = diagnose([Trace([span(1, 0, 0, 100), span(2, 1, 5, 95, "acquire connection", "db")])])
    assert (
        found.sentence
        == "db is the bottleneck: 90 % of the slowest trace (90.0 ms of 100 ms) waits for `acquire connection`."
    )


@pytest.mark.parametrize(
    ("wait", "reason"),
    [
        (span(2, 1, 5, 20, "wait for db pool", "stock", **POOL), "the wait is a small part of the trace"),
        (span(2, 1, 100, 900, "wait for db pool", "stock", **POOL), "the wait lies after the request's end"),
        (
            span(2, 1, 5, 95, "SELECT", "stock", db__query__text="SELECT 1", **POOL),
            "a query that names its pool is no wait",
        ),
        (span(2, 1, 5, 95, "pooling layers", "stock"), "the name only looks like one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_pool_is_blamed_where(wait: object, reason: str) -> None:
    assert diagnose([Trace([span(1, 0, 0, 100, "GET /"), wait])]).rule != "pool_wait"  # type: ignore[list-item]


def test_wait_beside_the_critical_path_is_not_blamed() -> None:
    trace = Trace(
        [
            span(1, 0, 0, 100, "GET /", "web"),
            span(2, 1, 0, 90, "wait for db pool", "stock", **POOL),
            span(3, 1, 0, 99, "render", "images"),
        ]
    )
    assert diagnose([trace]).rule == "slow_dependency"


def test_slow_dependency_is_named_with_its_operation() -> None:
    found = diagnose([Trace([span(1, 0, 0, 1000, "GET /", "web"), span(2, 1, 100, 900, "charge", "payments")])])
    assert (found.rule, found.service) == ("slow_dependency", "payments")
    assert found.sentence == (
        "payments is the slow dependency: 80 % of the slowest trace (800 ms of 1.00 s) is spent there, "
        "most of it in `charge` (800 ms)."
    )


def test_service_that_is_slow_by_itself_blames_no_dependency() -> None:
    found = diagnose([Trace([span(1, 0, 0, 1000, "GET /", "web"), span(2, 1, 100, 300, "charge", "payments")])])
    assert found.rule == "spread"
    assert found.sentence == (
        "No dependency stands out: the largest part of the slowest trace is `GET /` in web, 80 % (800 ms of 1.00 s)."
    )


def test_trace_without_duration_is_no_division_by_zero() -> None:
    assert diagnose([Trace([span(1)])]).rule == "spread"


def test_text_from_spans_is_inert_in_the_sentence() -> None:
    found = diagnose([Trace([span(1, 0, 0, 10), span(2, 1, 1, 9, "a\x1b[2J", "evil\x07")])])
    assert found.sentence.isprintable()


def test_nothing_can_be_said_of_no_traces() -> None:
    with pytest.raises(ValueError, match="no traces"):
        diagnose([])
