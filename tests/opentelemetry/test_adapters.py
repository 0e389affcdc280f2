"""Samplers, id generators, resources and limits of the SDK and of others on our provider, and ours on the SDK's."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.resources import Resource as StockResource
from opentelemetry.sdk.trace import SpanLimits as StockLimits
from opentelemetry.sdk.trace import TracerProvider as StockProvider
from opentelemetry.sdk.trace import id_generator as stock_ids
from opentelemetry.sdk.trace import sampling as stock
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState

from fasttrace._core import SpanLimits
from fasttrace.errors import ConfigurationError
from fasttrace.opentelemetry import adapters, plugins
from fasttrace.sampling import AlwaysOff, AlwaysOn, ParentBased, Probability, Sampler, TraceIdRatio
from fasttrace.sampling.base import ASK

MakeTraced = Callable[..., Any]


def below(sampled: bool, remote: bool, trace_id: int = 0xABC) -> Any:
    ids = SpanContext(trace_id, 0x1, remote, TraceFlags(int(sampled)), TraceState([("vendor", "1")]))
    return trace.set_span_in_context(trace.NonRecordingSpan(ids))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (stock.ALWAYS_ON, AlwaysOn),
        (stock.ALWAYS_OFF, AlwaysOff),
        (stock.DEFAULT_ON, ParentBased),
        (stock.DEFAULT_OFF, ParentBased),
        (stock.TraceIdRatioBased(0.25), TraceIdRatio),
        (stock.ParentBasedTraceIdRatio(0.25), ParentBased),
        (stock.ParentBased(stock.ALWAYS_OFF, remote_parent_sampled=stock.TraceIdRatioBased(0.5)), ParentBased),
        (stock.ParentBased(stock.ALWAYS_ON, local_parent_not_sampled=stock.ALWAYS_ON), ParentBased),
    ],
)
def test_stock_samplers_become_compares_that_decide_alike(given: Any, kind: type, make_traced: MakeTraced) -> None:
    found = adapters.sampler(given)
    assert type(found) is kind
    assert ASK not in found.thresholds()
    traced = make_traced(sampler=given)
    randomness = random.Random(1)
    for _ in range(200):
        trace_id = randomness.getrandbits(128) | 1
        for context in (below(True, True, trace_id), below(False, True, trace_id), below(True, False, trace_id)):
            theirs = given.should_sample(context, trace_id, "name", SpanKind.INTERNAL).decision
            span = traced.tracer.start_span("name", context)
            assert span.is_recording() is (theirs is stock.Decision.RECORD_AND_SAMPLE)
            span.end()


def test_changed_samplers_are_asked() -> None:
    class Own(stock.TraceIdRatioBased):
        pass

    changed = stock.TraceIdRatioBased(0.5)
    changed.should_sample = lambda *_, **__: None  # type: ignore[method-assign]
    for given in (Own(0.5), changed, stock.AlwaysRecordSampler(stock.ALWAYS_OFF)):
        assert type(adapters.sampler(given)) is adapters.ApiSampler
    mixed = adapters.sampler(stock.ParentBased(Own(0.5)))
    assert mixed.thresholds()[0] == ASK
    assert ASK not in mixed.thresholds()[1:], "below a parent nobody is asked"


def test_a_sampler_of_others_sees_the_parent_its_tracestate_and_the_baggage(make_traced: MakeTraced) -> None:
    seen: list[Any] = []

    class Asking:
        def should_sample(
            self,
            parent_context: Any,
            trace_id: int,
            name: str,
            kind: Any = None,
            attributes: Any = None,
            links: Any = None,
            trace_state: Any = None,
        ) -> Any:
            parent = trace.get_current_span(parent_context)
            seen.append(
                (parent, kind, baggage.get_baggage("user", parent_context), dict(attributes or {}), trace_state)
            )
            added = TraceState([("added", "1"), *(trace_state or {}).items()])
            return stock.SamplingResult(stock.Decision.RECORD_AND_SAMPLE, {"by": "sampler"}, added)

    traced = make_traced(sampler=Asking())
    context = baggage.set_baggage("user", "alice", below(True, True))
    with traced.tracer.start_as_current_span("root", context, SpanKind.SERVER, {"a": 1}) as root:
        traced.tracer.start_span("child").end()
    (first, second) = seen
    assert first[0].get_span_context().is_remote
    assert first[1:4] == (SpanKind.SERVER, "alice", {"a": 1})
    assert first[4].get("vendor") == "1"
    assert second[0] is root
    assert second[2] == "alice"
    assert root.get_span_context().trace_state.to_header() == "added=1,vendor=1"
    assert traced.spans()["root"].attributes == {"a": 1, "by": "sampler"}


def test_what_is_no_sampler_or_generator_is_refused() -> None:
    for step, value in ((adapters.sampler, object()), (adapters.sampler, stock.TraceIdRatioBased)):
        with pytest.raises(ConfigurationError, match="should_sample"):
            step(value)
    with pytest.raises(ConfigurationError, match="generate_span_id"):
        adapters.id_generator(object())
    with pytest.raises(ConfigurationError, match="max_events"):
        adapters.span_limits(object())


def test_id_generators_of_others_give_the_ids(make_traced: MakeTraced) -> None:
    class Counting(stock_ids.IdGenerator):
        def generate_trace_id(self) -> int:
            return 0xF00D

        def generate_span_id(self) -> int:
            return 0xBEEF

        def is_trace_id_random(self) -> bool:
            return False

    generator = Counting()
    traced = make_traced(id_generator=generator)
    context = traced.tracer.start_span("root").get_span_context()
    assert (context.trace_id, context.span_id, context.trace_flags) == (0xF00D, 0xBEEF, 1)
    assert traced.provider.id_generator is generator


def test_seeded_random_repeats_no_id_of_the_sdks_generator(make_traced: MakeTraced) -> None:
    traced = make_traced(id_generator=stock_ids.RandomIdGenerator())
    found = []
    for _ in range(2):
        random.seed(1)
        found.append(traced.tracer.start_span("root").get_span_context().trace_id)
    assert found[0] != found[1]


def test_limits_of_the_sdk_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "7")
    found = adapters.span_limits(StockLimits(max_attributes=5, max_attribute_length=9, max_links=StockLimits.UNSET))
    assert isinstance(found, SpanLimits)
    assert (found.max_span_attributes, found.max_event_attributes, found.max_link_attributes) == (5, 5, 5)
    assert (found.max_events, found.max_links) == (7, None)
    assert (found.max_attribute_length, found.max_span_attribute_length) == (9, 9)
    own = SpanLimits()
    assert adapters.span_limits(own) is own


def test_a_stock_resource_is_taken_as_it_is_but_for_the_sdks_name(make_traced: MakeTraced) -> None:
    given = StockResource.create({"service.name": "shop", "a": [1, 2]}, "https://schema")
    provider = make_traced(resource=given).provider
    assert provider.resource is given
    assert provider.get_tracer("test").start_span("span").resource is given
    resource = adapters.Resource(provider.native.resource, given.schema_url)  # what is exported
    assert (resource.attributes["service.name"], resource.attributes["a"]) == ("shop", (1, 2))
    assert resource.attributes["telemetry.sdk.name"] == "fasttrace"
    assert resource.schema_url == "https://schema"
    assert StockResource(resource.attributes, resource.schema_url).to_json() == resource.to_json()
    assert resource.merge(StockResource({"b": 1})).attributes["b"] == 1
    assert resource == adapters.Resource(resource.attributes, "https://schema")
    assert hash(resource) == hash(adapters.Resource(resource.attributes, "https://schema"))


def test_the_sdks_detectors_are_asked_when_the_variable_says_so(
    make_traced: MakeTraced, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert adapters.detected() == {}
    monkeypatch.setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "os, otel, nowhere")
    resource = make_traced(resource=StockResource({"os.version": "mine"})).provider.native.resource
    assert resource["os.type"]
    assert resource["os.version"] == "mine"
    assert "'nowhere'" in caplog.text


@pytest.mark.parametrize("argument", [None, "always_off", "25%", "parentbased_traceidratio"])
def test_our_samplers_decide_for_the_sdk_as_they_do_for_us(argument: Any, make_traced: MakeTraced) -> None:
    given = plugins.sampler(argument)
    assert isinstance(given, stock.Sampler)
    ours = adapters.sampler(given)
    assert isinstance(ours, Sampler)
    traced, tracer = make_traced(sampler=given), StockProvider(sampler=given).get_tracer("x")
    randomness = random.Random(2)
    for _ in range(200):
        trace_id = randomness.getrandbits(128) | 1
        for context in (below(True, True, trace_id), below(False, True, trace_id), below(True, False, trace_id)):
            one, other = tracer.start_span("a", context), traced.tracer.start_span("a", context)
            assert one.is_recording() is other.is_recording()
            if one.is_recording():
                states = [span.get_span_context().trace_state.to_header() for span in (one, other)]
                assert states[0] == states[1]
            other.end()


def test_our_samplers_raise_no_error_in_the_sdk_for_a_root() -> None:
    tracer = StockProvider(sampler=plugins.sampler("50%")).get_tracer("x")
    kept = sum(tracer.start_span("a").is_recording() for _ in range(400))
    assert 100 < kept < 300
    assert repr(Probability(0.5)) in plugins.sampler("50%").get_description()
