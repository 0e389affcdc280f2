"""A tracer of one implementation with its queue in hand, and an id generator that counts."""

from __future__ import annotations

from typing import Any

from fasttrace._core.types import InstrumentationScope, SpanData

SCOPE = InstrumentationScope("library", "1.2", "https://example.org/schema/1", {"language": "python"})


class FixedIds:
    """An id generator that counts, so that two implementations make the same bytes."""

    def __init__(self) -> None:
        self.last = 0

    def generate_trace_id(self) -> int:
        self.last += 1
        return (0xA << 124) | self.last

    def generate_span_id(self) -> int:
        self.last += 1
        return (0xB << 60) | self.last

    def is_trace_id_random(self) -> bool:
        return True


class Traced:
    """One tracer of one implementation, with its queue in hand."""

    def __init__(self, core: Any, **arguments: Any) -> None:
        self.core = core
        self.ring = core.ring.Ring()
        self.recorder = core.span.Recorder(self.ring, **arguments)
        self.recorder.consumer_running = True
        self.tracer = core.span.Tracer(SCOPE, self.recorder)

    def records(self) -> bytes:
        """All records that wait, as bytes."""
        taken: bytes = self.ring.take(100_000, 1 << 30)
        self.ring.release(self.core.otlp.count_records(taken), len(taken))
        return taken

    def request(self) -> bytes:
        """All that waits as one ExportTraceServiceRequest."""
        scopes = [(self.core.otlp.encode_scope(scope), scope.schema_url) for scope in self.recorder.scopes]
        resource = self.core.otlp.encode_attributes({"service.name": "test"})
        request: bytes = self.core.otlp.assemble(self.records(), resource, scopes)
        return request

    def spans(self) -> list[SpanData]:
        """All that waits, decoded from its bytes."""
        spans: list[SpanData] = self.core.decode.decode_request(self.request())
        return spans

    def span(self) -> SpanData:
        """The one span that waits."""
        (span,) = self.spans()
        return span

    def dropped(self) -> dict[str, int]:
        """The drop counters that are not zero."""
        counters = self.recorder.counters()
        return {name[8:]: value for name, value in counters.items() if name.startswith("dropped_") and value}
