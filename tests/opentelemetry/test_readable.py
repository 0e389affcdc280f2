"""What the SDK's exporters read of our spans, against the SDK itself and the official protobuf classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource as StockResource
from opentelemetry.sdk.trace import Event as StockEvent
from opentelemetry.sdk.trace import ReadableSpan as StockSpan
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from fasttrace._core import SpanLimits
from fasttrace.errors import ConfigurationError

REMOTE = SpanContext(0x1234, 0x56, True, TraceFlags(1), TraceState([("vendor", "1")]))


class Keeping:
    """An exporter of fasttrace's that keeps the requests' bytes."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def export(self, batch: Any) -> None:
        self.requests.append(batch.otlp)

    def flush(self, timeout: float) -> bool:
        return True

    def shutdown(self, timeout: float) -> None:
        pass


@pytest.fixture
def kept(make_traced: Callable[..., Any]) -> tuple[Any, InMemorySpanExporter]:
    traced, memory = make_traced(resource=StockResource({"service.name": "shop", "n": 1})), InMemorySpanExporter()
    traced.provider.add_span_processor(SimpleSpanProcessor(memory))
    return traced, memory


def some_spans(tracer: Any) -> None:
    parent = trace.set_span_in_context(trace.NonRecordingSpan(REMOTE))
    attributes = {"text": "x", "yes": True, "n": -1, "f": 0.5, "list": ["a", "b"], "numbers": (1, 2), "raw": b"\0"}
    links = [trace.Link(REMOTE, {"link": 1}), trace.Link(SpanContext(1, 2, False))]
    with tracer.start_as_current_span("root", parent, SpanKind.SERVER, {"root": 1}) as root:
        root.set_status(Status(StatusCode.OK))
        with tracer.start_as_current_span("child", None, SpanKind.CLIENT, attributes, links) as child:
            child.add_event("event", {"k": ("a", "b"), "n": 1}, timestamp=5)
            child.set_status(StatusCode.ERROR, "it failed")
        with pytest.raises(KeyError), tracer.start_as_current_span("raises"):
            raise KeyError("missing")


def test_the_text_is_the_sdks_for_the_same_data(kept: tuple[Any, InMemorySpanExporter]) -> None:
    traced, memory = kept
    with traced.tracer.start_as_current_span("root"):
        some = {"list": ["a"], "n": 1, "text": "é"}
        with traced.tracer.start_as_current_span(
            "child", attributes=some, links=[trace.Link(REMOTE, {"x": 1})]
        ) as span:
            span.add_event("event", {"k": [True, False]})
            span.set_status(StatusCode.ERROR, "it failed")
    for ours in memory.get_finished_spans():
        stock = StockSpan(
            ours.name,
            ours.context,
            ours.parent,
            StockResource(ours.resource.attributes, ours.resource.schema_url),
            dict(ours.attributes),
            [StockEvent(event.name, dict(event.attributes), event.timestamp) for event in ours.events],
            [trace.Link(link.context, dict(link.attributes)) for link in ours.links],
            ours.kind,
            None,
            ours.status,
            ours.start_time,
            ours.end_time,
        )
        for indent in (4, None):
            assert ours.to_json(indent) == stock.to_json(indent)


def test_the_sdks_encoder_writes_what_we_write(make_traced: Callable[..., Any]) -> None:
    keeping, memory = Keeping(), InMemorySpanExporter()
    traced = make_traced()
    traced.provider.native.redirect(keeping)
    traced.provider.add_span_processor(SimpleSpanProcessor(memory))
    some_spans(traced.tracer)
    assert traced.provider.force_flush()
    (data,) = keeping.requests
    ours = ExportTraceServiceRequest.FromString(data)
    theirs = encode_spans(memory.get_finished_spans())
    assert len(theirs.resource_spans[0].scope_spans[0].spans) == 3
    # Corrections: trace flags, of links, too, and the links' tracestate; a status that is unset is left out.
    for span in (*ours.resource_spans[0].scope_spans[0].spans, *theirs.resource_spans[0].scope_spans[0].spans):
        span.flags &= 0x300
        if not span.status.code:
            span.ClearField("status")
        for link in span.links:
            link.flags &= 0x300
            link.trace_state = ""
    assert ours == theirs


def test_exporters_that_ask_for_the_sdks_class_find_it(kept: tuple[Any, InMemorySpanExporter]) -> None:
    traced, memory = kept
    with traced.tracer.start_as_current_span("root") as live:
        assert isinstance(live, trace.Span)
    (span,) = memory.get_finished_spans()
    assert isinstance(span, StockSpan)
    assert not span.is_recording()
    assert (span.name, span.kind, span.context, span.get_span_context()) == (
        "root",
        SpanKind.INTERNAL,
        live.context,
        live.context,
    )
    assert span.instrumentation_scope.name == "otel"
    assert span.instrumentation_info.version == "1"
    assert span.start_time < span.end_time
    assert hash(span.resource) == hash(traced.provider.resource)


def test_the_parent_is_known_with_all_that_it_came_with(kept: tuple[Any, InMemorySpanExporter]) -> None:
    traced, memory = kept
    some_spans(traced.tracer)
    child, raises, root = memory.get_finished_spans()
    assert (root.parent, root.parent.is_remote, root.parent.trace_state.get("vendor")) == (REMOTE, True, "1")
    assert child.parent == root.context
    assert not child.parent.is_remote
    assert [link.context for link in child.links] == [REMOTE, SpanContext(1, 2, False)]
    (event,) = raises.events
    assert event.attributes["exception.type"] == "KeyError"


def test_what_was_beyond_the_limits_is_counted(make_traced: Callable[..., Any]) -> None:
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1, max_event_attributes=1, max_link_attributes=1)
    traced, memory = make_traced(span_limits=limits), InMemorySpanExporter()
    traced.provider.add_span_processor(SimpleSpanProcessor(memory))
    two = {"a": 1, "b": 2}
    links = [trace.Link(REMOTE, two), trace.Link(REMOTE)]
    with traced.tracer.start_as_current_span("root", attributes=two, links=links) as span:
        span.add_event("one", two)
        span.add_event("two")
    (span,) = memory.get_finished_spans()
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (1, 1, 1)
    assert (span.events[0].dropped_attributes, span.links[0].dropped_attributes) == (1, 1)


def test_a_span_that_still_runs_can_be_read(traced: Any) -> None:
    with traced.tracer.start_as_current_span("root", attributes={"a": 1}) as span:
        span.add_event("event")
        assert span.end_time is None
        assert span.start_time > 0
        assert [event.name for event in span.events] == ["event"]
        assert span.parent is None
        assert span.links == ()
        assert span.resource == traced.provider.resource
        found = json.loads(span.to_json())
    assert (found["attributes"], found["end_time"]) == ({"a": 1}, None)


def test_without_the_sdk_a_view_is_a_class_of_ours(program: Any) -> None:
    printed = program(
        """
        import sys
        sys.modules["opentelemetry.sdk"] = None
        from fasttrace.opentelemetry import TracerProvider

        class Printing:
            def on_start(self, span, parent_context=None): pass
            def on_end(self, span): print(type(span).__mro__[1].__name__, span.to_json(None)[:15])
            def shutdown(self): print("shutdown")
            def force_flush(self, timeout_millis=30000): return True

        provider = TracerProvider()
        provider.add_span_processor(Printing())
        with provider.get_tracer("x").start_as_current_span("root"):
            pass
        """
    )
    assert printed.splitlines() == ['object {"name": "root"', "shutdown"]


class Writing(SpanProcessor):
    def __init__(self, write: Callable[[Any], None]) -> None:
        self.write = write
        self.error: Exception | None = None

    def on_end(self, span: Any) -> None:
        try:
            self.write(span)
        except Exception as error:
            self.error = error
            raise


def _assign(span: Any) -> None:
    span._attributes = {}


def _item(span: Any) -> None:
    span._attributes["card"] = "***"


def _pop(span: Any) -> None:
    span._attributes.pop("card")


def _rename(span: Any) -> None:
    span._name = "other"


def _delete(span: Any) -> None:
    del span._events


@pytest.mark.parametrize("write", [_assign, _item, _pop, _rename, _delete])
def test_a_span_that_has_ended_is_not_rewritten_in_silence(
    traced: Any, write: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fasttrace.opentelemetry import readable

    monkeypatch.setattr(readable, "refused", set())
    processor, memory = Writing(write), InMemorySpanExporter()
    traced.provider.add_span_processor(processor)
    traced.provider.add_span_processor(SimpleSpanProcessor(memory))
    for _ in range(3):
        traced.tracer.start_span("pay", attributes={"card": "4711"}).end()
    assert "_on_ending" in str(processor.error)
    assert isinstance(processor.error, TypeError)
    assert [record.levelname for record in caplog.records] == ["ERROR"], "once"
    assert "_on_ending" in caplog.text
    assert memory.get_finished_spans() == (), "it goes to nobody who relies on the change"
    assert traced.spans() == {}, "and on no wire"
    assert traced.provider.native.stats()["dropped"]["encode_error"] == 3


def _assigning(self: Any, span: Any) -> None:
    cleaned = dict.fromkeys(span.attributes, "***")
    span._attributes = cleaned


def _setting(self: Any, span: Any) -> None:
    for key in span.attributes:
        if key == "card":
            span._attributes[key] = "***"


def _deleting(self: Any, span: Any) -> None:
    del span._attributes["card"]


def _updating(self: Any, span: Any) -> None:
    span._attributes.update(card="***")


def _renaming(self: Any, span: Any) -> None:
    span._name = self.name


def _reading(self: Any, span: Any) -> None:
    self.seen = span._attributes
    self._attributes = dict(span._attributes)
    self._attributes["x"] = span._name
    self._attributes.update(span._attributes)
    self._attributes[span._name] = {span._attributes["card"]: span._attributes.get("card")}


@pytest.mark.parametrize("on_end", [_assigning, _setting, _deleting, _updating, _renaming])
def test_a_processor_that_rewrites_ended_spans_is_refused_before_the_first_one(traced: Any, on_end: Any) -> None:
    kind = type("Redacting", (SpanProcessor,), {"on_end": on_end})
    with pytest.raises(ConfigurationError, match=r"Redacting\.on_end writes to span\._(attributes|name).*_on_ending"):
        traced.provider.add_span_processor(kind())
    assert traced.provider.native.recorder.processor is None


def test_a_processor_that_reads_them_is_not_refused(traced: Any) -> None:
    for on_end in (_reading, print, lambda self, span: None):
        traced.provider.add_span_processor(type("Reading", (SpanProcessor,), {"on_end": on_end})())


def test_reading_the_fields_of_the_sdk_is_no_writing(traced: Any) -> None:
    seen: list[Any] = []
    traced.provider.add_span_processor(Writing(lambda span: seen.append((span._attributes["a"], span._name))))
    traced.tracer.start_span("root", attributes={"a": 1}).end()
    assert seen == [(1, "root")]
