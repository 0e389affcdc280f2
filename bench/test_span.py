"""Spans and requests of spans, on both implementations, the C floor and the OpenTelemetry SDK."""

from typing import Any

import cases
import pytest

CALLS = 100


@pytest.mark.parametrize("case", cases.CASES)
def test_span_case(subject: Any, case: str, benchmark: Any) -> None:
    operation = subject.cases[case]

    def calls() -> None:
        for _ in range(CALLS):
            operation()

    def empty() -> None:
        subject.drain()

    def rounds() -> None:
        benchmark.pedantic(calls, setup=empty, rounds=50, warmup_rounds=2)

    benchmark.group = case
    if case == "unsampled child":
        with subject.unsampled("root"):
            rounds()
    else:
        rounds()
