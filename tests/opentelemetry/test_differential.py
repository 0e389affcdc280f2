"""The same program on the SDK and on ours: the official parser reads the same of both exports.

But for ids and times; and but for the corrections, each of which is named here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace import TracerProvider as Stock
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation import tracecontext

from fasttrace.opentelemetry import TracerProvider

Program = Callable[[Any], None]
Spans = dict[str, dict[str, Any]]


class Requests:
    """An exporter that keeps the bytes."""

    def __init__(self) -> None:
        self.read = ExportTraceServiceRequest()

    def export(self, batch: Any) -> None:
        self.read.MergeFromString(batch.otlp)

    def flush(self, timeout: float) -> bool:
        return True

    def shutdown(self, timeout: float) -> None:
        pass


def flags(message: Any, span: Any) -> None:
    """Correction: the W3C's flags are exported, where the SDK has only "remote or not" (0x100, 0x200)."""
    message.flags |= span.context.trace_flags


def links(message: Any, span: Any) -> None:
    """Correction: links are exported with their flags and their tracestate."""
    for link, of in zip(message.links, span.links, strict=True):
        link.flags |= of.context.trace_flags
        link.trace_state = of.context.trace_state.to_header()


CORRECTIONS = (flags, links)


def on_stock(program: Program, *, corrections: Any = CORRECTIONS, **arguments: Any) -> ExportTraceServiceRequest:
    exporter = InMemorySpanExporter()
    provider = Stock(shutdown_on_exit=False, **arguments)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    program(provider)
    spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
    read = ExportTraceServiceRequest()
    read.MergeFromString(encode_spans(tuple(spans.values())).SerializeToString())
    for group in (scope for resource in read.resource_spans for scope in resource.scope_spans):
        for message in group.spans:
            for correct in corrections:
                correct(message, spans[int.from_bytes(message.span_id)])
    provider.shutdown()
    return read


def on_ours(program: Program, **arguments: Any) -> ExportTraceServiceRequest:
    exporter = Requests()
    provider = TracerProvider(exporter=exporter, **arguments)
    program(provider)
    assert provider.force_flush(10_000)
    provider.shutdown()
    return exporter.read


def named_ids(read: ExportTraceServiceRequest) -> dict[bytes, str]:
    """Ids by what they stand for: a span's name; a trace's first span, by name."""
    names: dict[bytes, str] = {}
    for group in (scope for resource in read.resource_spans for scope in resource.scope_spans):
        for span in group.spans:
            names[span.span_id] = span.name
            names[span.trace_id] = min(names.get(span.trace_id, span.name), span.name)
    return names


def readable(read: ExportTraceServiceRequest) -> Spans:
    """Spans by name, without times; ids are names where they are of the program's, else as they are."""
    names = named_ids(read)

    def known(identity: bytes) -> str:
        return names.get(identity, identity.hex())

    spans: Spans = {}
    for resource in read.resource_spans:
        for group in resource.scope_spans:
            for span in group.spans:
                assert span.name not in spans, "names of a program are its spans' identities"
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                found = as_dict(span)
                del found["start_time_unix_nano"], found["end_time_unix_nano"]
                found["trace_id"], found["span_id"] = known(span.trace_id), known(span.span_id)
                found["parent_span_id"] = known(span.parent_span_id)
                for link, message in zip(found.get("links", ()), span.links, strict=True):
                    link["trace_id"], link["span_id"] = known(message.trace_id), known(message.span_id)
                for event in found.get("events", ()):
                    assert int(event.pop("time_unix_nano")) > 0
                if not found.get("status"):
                    found.pop("status", None)  # an empty message or none: the same to proto3
                # Attributes are a set of pairs: a replaced key keeps its place here and moves to the end there.
                for holder in (found, *found.get("events", ()), *found.get("links", ())):
                    holder.get("attributes", []).sort(key=lambda pair: pair["key"])
                found["scope"] = as_dict(group.scope), group.schema_url
                spans[span.name] = found
    return spans


def as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def resource_of(read: ExportTraceServiceRequest) -> tuple[dict[str, Any], str]:
    (found,) = read.resource_spans
    attributes = {pair.key: as_dict(pair.value) for pair in found.resource.attributes}
    return attributes, found.schema_url


def same(program: Program, **arguments: Any) -> Spans:
    """Both exports read the same but for the corrections; what was read of ours."""
    ours, stock = readable(on_ours(program, **arguments)), readable(on_stock(program, **arguments))
    assert ours.keys() == stock.keys()
    for name, span in stock.items():
        assert ours[name] == span, name
    return ours


VALUES: dict[str, Any] = {
    "text": "grün",
    "empty": "",
    "true": True,
    "false": False,
    "zero": 0,
    "most": 2**63 - 1,
    "least": -(2**63),
    "float": 1.5,
    "infinite": math.inf,
    "minus zero": -0.0,
    "texts": ["a", "b"],
    "numbers": (1, 2, 3),
    "floats": [0.5, 1.5],
    "booleans": [True, False],
    "nothing in it": [],
    "bytes": b"\x00\xff",
    "mixed": [1, "a", None],
    "mapping": {"a": 1, "b": {"c": [True]}},
}


def everything(provider: Any) -> None:
    tracer = provider.get_tracer("shop", "1.2", "https://example.com/schema", {"scope": "attribute", "n": 1})
    bare = provider.get_tracer("bare")
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER, attributes=VALUES) as root:
        root.set_attribute("zero", "replaced")
        root.set_attributes({"more": 1, "most": "replaced"})
        root.add_event("bare event")
        root.add_event("full event", VALUES, timestamp=10**18)
        with bare.start_as_current_span("child", kind=SpanKind.CLIENT) as child:
            child.update_name("child renamed")
            child.set_status(Status(StatusCode.ERROR, "it broke"))
        root.set_status(StatusCode.OK)
        root.set_status(StatusCode.ERROR, "comes too late")
        linked = bare.start_span("linked", links=[Link(child.get_span_context(), {"why": "because"})])
        linked.add_link(root.get_span_context(), {"n": 1})
        linked.end()
    for kind in SpanKind:
        tracer.start_span(f"kind {kind.name}", kind=kind).end()


def test_attributes_events_links_status_and_scopes() -> None:
    spans = same(everything)
    assert len(spans) == 3 + len(SpanKind)
    assert len(spans["root"]["attributes"]) == len(VALUES) + 1
    assert spans["child renamed"]["parent_span_id"] == "root"


def failing(provider: Any) -> None:
    tracer = provider.get_tracer("t")
    with pytest.raises(ValueError), tracer.start_as_current_span("outer"):
        with tracer.start_as_current_span("inner"):
            raise ValueError("wrong")
    with pytest.raises(KeyboardInterrupt), tracer.start_as_current_span("interrupted"):
        raise KeyboardInterrupt
    with pytest.raises(KeyError), tracer.start_as_current_span("quiet", record_exception=False):
        raise KeyError("k")
    with pytest.raises(KeyError), tracer.start_as_current_span("unset", set_status_on_exception=False):
        raise KeyError("k")
    with tracer.start_as_current_span("recorded") as span:
        span.record_exception(LookupError("l"), {"more": 1, "exception.message": "mine"}, escaped=True)
    with pytest.raises(RuntimeError), tracer.start_span("not current") as span:
        raise RuntimeError("r")


def without_stacks(spans: Spans) -> None:
    """The text of a traceback names the tracer's own frames: compared are its first and its last line."""
    for span in spans.values():
        for event in span.get("events", ()):
            for pair in event.get("attributes", ()):
                if pair["key"] == "exception.stacktrace":
                    lines = pair["value"]["string_value"].strip().splitlines()
                    pair["value"]["string_value"] = lines[0] + lines[-1]


def test_exceptions() -> None:
    ours, stock = readable(on_ours(failing)), readable(on_stock(failing))
    for spans in (ours, stock):
        without_stacks(spans)
    assert ours == stock
    assert ours["outer"]["events"][0]["name"] == "exception"


REMOTE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1,other=2",
}


def remote(provider: Any) -> None:
    tracer = provider.get_tracer("t")
    parent = tracecontext.TraceContextTextMapPropagator().extract(REMOTE)
    unsampled = {**REMOTE, "traceparent": REMOTE["traceparent"][:-1] + "0"}
    dropped = tracecontext.TraceContextTextMapPropagator().extract(unsampled)
    with tracer.start_as_current_span("server", context=parent):
        tracer.start_span("below", kind=SpanKind.CLIENT).end()
    tracer.start_span("dropped", context=dropped).end()
    tracer.start_span("root", context=trace.set_span_in_context(trace.INVALID_SPAN)).end()
    state = TraceState([("linked", "1")])
    elsewhere = SpanContext(0xA1, 0xB2, True, TraceFlags(TraceFlags.SAMPLED), state)
    tracer.start_span("links", links=[Link(elsewhere), Link(trace.INVALID_SPAN_CONTEXT)]).end()


def test_remote_parents_and_tracestate() -> None:
    spans = same(remote)
    assert set(spans) == {"server", "below", "root", "links"}
    assert spans["below"]["trace_state"] == "vendor=1,other=2"


def test_the_corrections_are_still_needed() -> None:
    ours, stock = readable(on_ours(remote)), readable(on_stock(remote, corrections=()))
    assert (ours["root"]["flags"], stock["root"]["flags"]) == (0x103, 0x100)
    (link,), (bare,) = ours["links"]["links"], stock["links"]["links"]
    assert (link["trace_state"], link["flags"]) == ("linked=1", 0x301)
    assert ("trace_state" in bare, bare["flags"]) == (False, 0x300)


def limited(provider: Any) -> None:
    tracer = provider.get_tracer("t")
    span = tracer.start_span("limits", attributes={"a": "long enough", "b": ["long enough", "x"]})
    span.add_event("first", {"a": "long enough", "b": 2, "c": 3})
    span.add_event("second")
    span.add_link(SpanContext(1, 2, False, TraceFlags(1)), {"a": "long enough", "b": 2, "c": 3})
    span.end()


def test_limits_of_lengths_and_within_events_and_links() -> None:
    limits = SpanLimits(max_attribute_length=4, max_event_attributes=4, max_link_attributes=4)
    same(limited, span_limits=limits)


@pytest.mark.parametrize("name", ["always_on", "always_off", "ratio 0", "ratio 1", "parent"])
def test_samplers(name: str) -> None:
    sampler = {
        "always_on": ALWAYS_ON,
        "always_off": ALWAYS_OFF,
        "ratio 0": TraceIdRatioBased(0),
        "ratio 1": TraceIdRatioBased(1),
        "parent": ParentBased(ALWAYS_OFF),
    }[name]
    spans = same(remote, sampler=sampler)
    assert ("dropped" in spans) == (name in ("always_on", "ratio 1"))


GIVEN = Resource({"service.name": "shop", "n": 1, "many": ["a", "b"]}, "https://example.com/resource")


def test_resources() -> None:
    ours, stock = (resource_of(run(remote, resource=GIVEN))[0] for run in (on_ours, on_stock))
    assert {key: ours[key] for key in stock} == stock
    # What a resource needs and was not given is there all the same.
    assert {key.partition(".")[0] for key in ours.keys() - stock.keys()} <= {
        "cloud",
        "container",
        "host",
        "k8s",
        "os",
        "process",
        "service",
        "telemetry",
    }


def test_the_schema_of_a_resource() -> None:
    assert resource_of(on_ours(remote, resource=GIVEN))[1] == resource_of(on_stock(remote, resource=GIVEN))[1]


scalars = st.text(max_size=8) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
values = scalars | st.lists(st.text(max_size=4), max_size=3) | st.lists(st.integers(-9, 9), max_size=3)
mappings = st.dictionaries(st.text(min_size=1, max_size=6), values, max_size=5)
steps = st.one_of(
    st.tuples(st.just("enter"), st.sampled_from(SpanKind), mappings),
    st.tuples(st.just("leave")),
    st.tuples(st.just("attribute"), st.text(min_size=1, max_size=4), values),
    st.tuples(st.just("event"), st.text(max_size=4), mappings),
    st.tuples(st.just("status"), st.sampled_from(StatusCode), st.text(max_size=4)),
    st.tuples(st.just("link"), mappings),
)


def played(script: list[tuple[Any, ...]]) -> Program:
    def program(provider: Any) -> None:
        tracer = provider.get_tracer("t")
        stack: list[tuple[Any, Any]] = []
        for number, (verb, *arguments) in enumerate([("enter", SpanKind.SERVER, {}), *script]):
            span = stack[-1][1] if stack else None
            if verb == "enter":
                manager = tracer.start_as_current_span(f"span {number}", None, *arguments)
                stack.append((manager, manager.__enter__()))
            elif span is None:
                continue
            elif verb == "leave":
                stack.pop()[0].__exit__(None, None, None)
            elif verb == "attribute":
                span.set_attribute(*arguments)
            elif verb == "event":
                span.add_event(*arguments)
            elif verb == "status":
                span.set_status(arguments[0], arguments[1] if arguments[0] is StatusCode.ERROR else None)
            else:
                span.add_link(stack[0][1].get_span_context(), *arguments)
        while stack:
            stack.pop()[0].__exit__(None, None, None)

    return program


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=12))
def test_any_program(script: list[tuple[Any, ...]]) -> None:
    same(played(script))
