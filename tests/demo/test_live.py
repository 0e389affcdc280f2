"""Which traces the demo takes for whole: each service exports when it comes to it, which may be late."""

from __future__ import annotations

from pathlib import Path

import fasttrace
from fasttrace.demo import SERVICES
from fasttrace.demo.live import PATIENCE_SECONDS, SETTLE_SECONDS, Live
from fasttrace.demo.load import Answer
from fasttrace.export import SpoolExporter
from fasttrace.local.store import Store


def test_a_trace_is_whole_when_every_service_has_exported_and_no_span_between_is_missing(tmp_path: Path) -> None:
    providers = [fasttrace.TracerProvider(service_name=name, exporter=SpoolExporter(tmp_path)) for name in SERVICES]
    spans: list[fasttrace.Span] = []
    for provider in providers:  # each calls the next one
        for side in ("served", "calls"):
            spans.append(provider.get_tracer("test").start_span(side, spans[-1] if spans else fasttrace.Context()))
    live = Live(Store(tmp_path))

    def ready(status: int = 201, age: float = SETTLE_SECONDS + 1) -> bool:
        for provider in providers:
            assert provider.flush(60)
        live._read()
        answer = Answer(status, 10**9, spans[0].trace_id_hex)
        answer.ended -= age
        return live._ready(answer)

    assert not ready() and ready(age=PATIENCE_SECONDS + 1)
    for span in spans[:2]:  # the gateway's
        span.end()
    assert not ready() and ready(status=502), "what failed may have gone no further"
    for span in (*spans[3:],):  # all but that under which checkout has called the others
        span.end()
    assert not ready() and not ready(status=502)
    spans[2].end()
    assert ready() and not ready(age=0)
    for provider in providers:
        assert provider.shutdown(60)
