"""What is said of one trace: each rule on a trace that shows it, and on ones that must not."""

from __future__ import annotations

from typing import Any

import pytest
import sample_traces as traces
from hypothesis import given, settings
from sample_traces import any_spans, event, span

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.local.diagnosis import Diagnosis, findings
from fasttrace.local.model import Trace

SERVER, CLIENT = SpanKind.SERVER, SpanKind.CLIENT


def found(rule: str, spans: list[SpanData], neighbours: list[list[SpanData]] | None = None) -> list[Diagnosis]:
    others = [Trace(other) for other in neighbours or []]
    return [one for one in findings(Trace(spans), neighbours=others) if one.rule == rule]


def request(duration_ms: float = 100, **attributes: Any) -> SpanData:
    return span(1, 0, 0, duration_ms, "GET /orders", "shop", SERVER, **attributes)


def calls(
    count: int,
    length_ms: float = 10,
    pause_ms: float = 1,
    name: str = "GET",
    url: str = "http://prices:80/of/{}",
    **more: Any,
) -> list[SpanData]:
    """Outgoing calls of the request, one after the other."""
    step = length_ms + pause_ms
    return [
        span(10 + n, 1, 1 + n * step, 1 + n * step + length_ms, name, "shop", CLIENT, url__full=url.format(n), **more)
        for n in range(count)
    ]


def queries(
    count: int, text: str = "SELECT price FROM item WHERE id = {}", parent: int = 1, **more: Any
) -> list[SpanData]:
    return [
        span(
            10 + n, parent, 1 + 5 * n, 5 + 5 * n, "SELECT item", "shop", CLIENT, db__query__text=text.format(n), **more
        )
        for n in range(count)
    ]


def test_n_plus_one_is_named_with_its_count_and_request() -> None:
    (one,) = found("n_plus_one", [request(), *queries(12)])
    assert one.sentence == (
        "N+1 queries: `SELECT item` runs 12 times for one `GET /orders` in shop, 48 % of this trace (48.0 ms); "
        "one query for all of them could do."
    )
    assert (one.figures["queries"], one.cost_ns, one.evidence.span.span_id) == (12, 48_000_000, f"{10:016x}")


def test_n_plus_one_is_found_below_functions_of_their_own() -> None:
    spans = [request()]
    for n in range(6):
        spans.append(span(50 + n, 1, 10 * n, 10 * n + 9, "load item"))
        spans.append(span(70 + n, 50 + n, 10 * n, 10 * n + 8, "SELECT", db__query__summary="SELECT item"))
    assert len(found("n_plus_one", spans)) == 1


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        ([request(), *queries(4)], "a few"),
        ([request(), *queries(1), *[span(50 + n, 1, n, n + 4, "SELECT", db__query__text=f"SELECT a{chr(97 + n)} FROM t")
                                    for n in range(12)]], "different statements"),
        ([request(10_000), *queries(12)], "next to no time"),
        ([request(), *calls(8)], "requests, no queries"),
        ([request(), *queries(12, error="deadlock")], "failures that are tried again"),
        ([request(), *queries(12, "COMMIT")], "the ends of transactions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_no_n_plus_one_is_seen_in(spans: list[SpanData], reason: str) -> None:
    assert not found("n_plus_one", spans)


def test_query_seen_by_two_libraries_counts_once() -> None:
    spans = [request()]
    for n in range(4):
        spans.append(span(50 + n, 1, 20 * n, 20 * n + 19, "SELECT", db__query__text="SELECT 1"))
        spans.append(span(70 + n, 50 + n, 20 * n, 20 * n + 18, "SELECT", db__query__text="SELECT 1"))
    assert not found("n_plus_one", spans)


def test_sequential_calls_say_what_running_them_together_would_save() -> None:
    (one,) = found("sequential_calls", [request(), *calls(8)])
    assert one.sentence == (
        "shop makes 8 calls like `GET /of/0` one after the other: run together, this trace would take up to 70.0 ms "
        "(70 %) less, if none needs the answer of another."
    )
    assert (one.figures["calls"], one.cost_ns) == (8, 70_000_000)


def test_sequential_calls_are_found_through_a_function_around_each() -> None:
    spans = [request()]
    for n in range(4):
        spans.append(span(50 + n, 1, 20 * n, 20 * n + 19, "price of"))
        spans.append(span(70 + n, 50 + n, 20 * n, 20 * n + 18, "GET", "shop", CLIENT, url__full=f"http://p/{n}"))
    assert len(found("sequential_calls", spans)) == 1


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        ([request(), *calls(2, 40)], "two of them"),
        ([request(), *calls(8, 10, pause_ms=-4)], "calls that already run together"),
        ([request(), *calls(5, 5, pause_ms=10)], "work on each answer before the next call"),
        ([request(5000), *calls(8)], "little to save"),
        ([request(), *calls(4, 20, error="503")], "failures that are tried again"),
        (traces.checkout(), "steps that are different things"),
        ([request(), *queries(12)], "queries, which are N+1"),
        ([request(), *[data for n, name in enumerate(["reserve", "charge", "ship"])
                       for data in [span(5 + n, 1, 30 * n, 30 * n + 29, "POST", "shop", CLIENT,
                                         url__full=f"http://h/{name}")]]], "writes of different kinds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_no_sequence_is_blamed_for(spans: list[SpanData], reason: str) -> None:
    assert not found("sequential_calls", spans)


def tries(
    count: int, succeeds: bool, first: int = 10, parent: int = 1, at: float = 1, length: float = 10
) -> list[SpanData]:
    url = "http://payments:80/charge"
    return [
        span(first + n, parent, at + n * length, at + (n + 0.8) * length, "POST", "shop", CLIENT, url__full=url,
             error=None if succeeds and n == count - 1 else "503")
        for n in range(count)
    ]  # fmt: skip


def test_retry_storm_counts_failed_tries_and_the_pauses_between_them() -> None:
    (one,) = found("retry_storm", [request(), *tries(4, succeeds=True)])
    assert one.sentence == (
        "Retry storm: shop tries `POST /charge` 4 times, the last one succeeds: 30 % of this trace (30.0 ms)."
    )
    assert (one.figures["tries"], one.cost_ns) == (4, 30_000_000)


def test_retry_storm_multiplies_over_callers() -> None:
    spans = [request()]
    for n in range(2):
        spans.append(span(5 + n, 1, 45 * n, 45 * n + 44, "POST", "shop", CLIENT, url__full="http://pay/", error="502"))
        spans += tries(2, succeeds=False, first=20 + 10 * n, parent=5 + n, at=45 * n, length=20)
    (one,) = found("retry_storm", spans)
    assert "2 times in a row, 4 times in all, and fails each time, since its callers try again, too" in one.sentence


def test_retries_that_a_client_counts_in_one_span_are_tries() -> None:
    spans = [request(), *calls(1, 80, name="POST", error="503", http__request__resend_count=5)]
    (one,) = found("retry_storm", spans)
    assert one.figures["tries"] == 6


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        ([request(), *tries(2, succeeds=True)], "one second try"),
        (traces.checkout(), "one second try among other calls"),
        ([request(), *calls(6)], "calls that succeed"),
        ([request(), *calls(6, name="POST", url="http://h/{}/x", pause_ms=-9, error="x")], "failures side by side"),
        ([request(), *[span(5 + n, 1, 10 * n, 10 * n + 9, f"task {chr(97 + n)}", error="x") for n in range(6)]],
         "failures of different things"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_no_storm_is_seen_in(spans: list[SpanData], reason: str) -> None:
    assert not found("retry_storm", spans)


def test_orphans_are_lost_context_and_count() -> None:
    (one,) = found("lost_context", [request(), span(5, 77, 5, 9, "render"), span(6, 77, 9, 12, "send")])
    assert one.sentence == (
        "Lost context: 2 spans of this trace, such as `render` in shop, name 1 parent that was not received: "
        "it was dropped, sampled out, or still running."
    )


def test_orphan_of_a_caller_elsewhere_says_that_the_caller_sends_nothing() -> None:
    (one,) = found("lost_context", [span(5, 77, 5, 9, "GET /", "web", SERVER)])
    assert "the caller's spans were not received" in one.sentence


def test_second_root_is_lost_context() -> None:
    (one,) = found("lost_context", [request(), span(5, 0, 5, 9, "send mail", "mailer")])
    assert "`send mail` in mailer has no parent, although this trace begins with `GET /orders`" in one.sentence


def test_call_whose_other_side_is_a_trace_of_its_own_is_lost_context() -> None:
    call = calls(1, 50, name="POST", url="http://pay:80/charge", http__request__method="POST")
    other = [span(1, 0, 5, 45, "POST /charge", "payments", SERVER, trace_id="e" * 32, url__path="/charge",
                  http__request__method="POST")]  # fmt: skip
    (one,) = found("lost_context", [request(), *call], [other])
    assert "`POST /charge` in payments begins trace eeeeeeee of its own" in one.sentence
    assert one.evidence.name == "POST"
    (seen_from_there,) = found("lost_context", other, [[request(), *call]])
    assert seen_from_there.evidence.name == "POST /charge"


def test_call_without_its_other_side_where_others_have_it_is_lost_context() -> None:
    spans = [request(), *calls(3, 20), span(30, 10, 2, 15, "GET /of/{id}", "prices", SERVER)]
    (one,) = found("lost_context", spans)
    assert "2 calls such as `GET /of/1` of shop have no span of the called side" in one.sentence


@pytest.mark.parametrize(
    ("spans", "neighbours", "reason"),
    [
        (traces.checkout(), [], "a whole trace"),
        ([request(), *calls(3)], [], "calls of what is never traced"),
        ([request(), *calls(1, 50, name="POST", url="http://pay/charge", http__request__method="POST")],
         [[span(1, 0, 5, 450, "POST /charge", "payments", SERVER, trace_id="e" * 32, url__path="/charge",
                http__request__method="POST")]], "a neighbour that outlives the call"),
        ([request(), *calls(1, 50, name="POST", url="http://pay/charge", http__request__method="POST")],
         [[span(1, 0, 5, 45, "POST /refund", "payments", SERVER, trace_id="e" * 32, url__path="/refund",
                http__request__method="POST")]], "a neighbour that was asked for something else"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_no_context_is_lost_in(spans: list[SpanData], neighbours: list[list[SpanData]], reason: str) -> None:
    assert not found("lost_context", spans, neighbours)


def test_checkout_waits_for_its_pool_and_repeats_a_query() -> None:
    assert [one.rule for one in findings(Trace(traces.checkout()))] == ["pool_wait", "n_plus_one"]


def test_dependency_whose_cause_is_named_is_not_named_again() -> None:
    spans = [
        span(1, 0, 0, 100, "GET /", "web", SERVER),
        span(2, 1, 1, 99, "GET /orders", "shop", SERVER),
        *queries(16, parent=2),
    ]
    assert [one.rule for one in findings(Trace(spans))] == ["n_plus_one"]


def test_something_is_always_said_and_text_is_inert() -> None:
    (one,) = findings(Trace([span(1, 0, 0, 10, "a\x1b[2J", "evil\x07", events=[event(1, "x")])]))
    assert one.rule == "spread"
    assert one.sentence.isprintable()


@given(any_spans())
@settings(max_examples=200)
def test_findings_of_any_trace_account_for_no_more_than_all_of_it(spans: list[SpanData]) -> None:
    trace = Trace(spans)
    for one in findings(trace, neighbours=[trace]):
        assert 0 <= one.cost_ns <= trace.duration_ns
        assert one.evidence.span in spans
        assert one.sentence.isprintable()
        assert one.to_dict()["rule"] == one.rule


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shape", ["chain", "flat", "bushy"])
def test_tens_of_thousands_of_spans_are_diagnosed(shape: str) -> None:
    parent = {"chain": lambda n: n - 1, "flat": lambda n: min(1, n - 1), "bushy": lambda n: n // 4}[shape]
    error = ("x", None)
    spans = [
        span(n, parent(n), n / 1000, 60_000 - n / 1000, f"GET {n % 5}", "shop", CLIENT, error=error[n % 2])
        for n in range(1, 15_001)
    ]
    assert findings(Trace(spans))
