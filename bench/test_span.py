"""Spans and requests of spans, on both implementations, the C floor and the OpenTelemetry SDK."""

from typing import Any

import cases
import pytest

CALLS = 100


@pytest.mark.parametrize("case", cases.CASES)
def test_span_case(subject: Any, case: str, benchmark: Any) -> None:
    if case not in subject.loops:
        pytest.skip(f"{subject.name} can't")

    def empty() -> None:
        subject.drain()

    benchmark.group = case
    benchmark.pedantic(subject.loops[case], args=(range(CALLS),), setup=empty, rounds=50, warmup_rounds=2)
