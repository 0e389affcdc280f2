"""Encoding attributes, and a batch of 512 records into one request."""

from typing import Any

from fasttrace._core import InstrumentationScope

ATTRIBUTES = {"http.request.method": "POST", "http.route": "/orders/{id}", "http.response.status_code": 200, "ok": True}


def records(core: Any, count: int = 512) -> bytes:
    ring = core.ring.Ring()
    recorder = core.span.Recorder(ring)
    recorder.consumer_running = True
    tracer = core.span.Tracer(InstrumentationScope("bench"), recorder)
    for _ in range(count):
        with tracer.start_as_current_span("operation", attributes=ATTRIBUTES):
            pass
    data: bytes = ring.take(count, 1 << 24)
    return data


def test_encode_attributes(core: Any, benchmark: Any) -> None:
    assert benchmark(core.otlp.encode_attributes, ATTRIBUTES)


def test_assemble_512_records(core: Any, benchmark: Any) -> None:
    data = records(core)
    assert benchmark(core.otlp.assemble, data, b"", [(b"", "")])


def test_decode_512_spans(core: Any, benchmark: Any) -> None:
    request = core.otlp.assemble(records(core), b"", [(b"", "")])
    assert len(benchmark(core.decode.decode_request, request)) == 512
