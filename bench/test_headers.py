"""Headers: text and binary, both ways."""

from typing import Any

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_parse_traceparent(core: Any, benchmark: Any) -> None:
    assert benchmark(core.headers.parse_traceparent, TRACEPARENT).span_context.sampled


def test_format_traceparent(core: Any, benchmark: Any) -> None:
    context = core.headers.parse_traceparent(TRACEPARENT)
    assert benchmark(core.headers.format_traceparent, context) == TRACEPARENT


def test_encode_binary(core: Any, benchmark: Any) -> None:
    context = core.headers.parse_traceparent(TRACEPARENT)
    assert len(benchmark(core.headers.encode_binary, context)) == 29


def test_decode_binary(core: Any, benchmark: Any) -> None:
    data = core.headers.encode_binary(core.headers.parse_traceparent(TRACEPARENT))
    assert benchmark(core.headers.decode_binary, data).sampled
