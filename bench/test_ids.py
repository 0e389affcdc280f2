"""Ids as Python integers; inside a span they never become any."""

from typing import Any


def test_trace_id(core: Any, benchmark: Any) -> None:
    assert benchmark(core.ids.generate_trace_id)


def test_span_id(core: Any, benchmark: Any) -> None:
    assert benchmark(core.ids.generate_span_id)
