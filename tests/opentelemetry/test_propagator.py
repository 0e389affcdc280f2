"""fasttrace's header formats as a propagator of OpenTelemetry's."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter, Setter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import fasttrace
from fasttrace.opentelemetry import FasttracePropagator

STOCK = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
OURS = FasttracePropagator()
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CARRIERS: list[dict[str, Any]] = [
    {},
    {"traceparent": PARENT},
    {"traceparent": PARENT, "tracestate": "a=1,b=2", "baggage": "k=v,n=x%20y"},
    {"traceparent": [PARENT]},
    {"traceparent": "nonsense", "baggage": "k=v"},
    {"baggage": "k=v"},
]


class Pairs(Getter[list[tuple[str, str]]], Setter[list[tuple[str, str]]]):
    def get(self, carrier: list[tuple[str, str]], key: str) -> list[str] | None:
        return [value for name, value in carrier if name == "x-" + key] or None

    def keys(self, carrier: list[tuple[str, str]]) -> list[str]:
        return [name for name, _ in carrier]

    def set(self, carrier: list[tuple[str, str]], key: str, value: str) -> None:
        carrier.append(("x-" + key, value))


def seen(context: Context) -> tuple[Any, ...]:
    found = trace.get_current_span(context).get_span_context()
    return tuple(found), dict(baggage.get_all(context))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_same_is_found_as_by_the_stock_pair(carrier: dict[str, Any], traced: Any) -> None:
    found = OURS.extract(carrier)
    assert isinstance(found, Context)
    assert seen(found) == seen(STOCK.extract(carrier))
    given = context_api.set_value("key", 1)
    assert OURS.extract(carrier, given)["key"] == 1
    with traced.tracer.start_as_current_span("current"):
        assert seen(OURS.extract(carrier)) == seen(found), "starts from an empty context"


def test_getters_and_setters_of_others_are_used(traced: Any) -> None:
    carrier = [("x-traceparent", PARENT), ("x-baggage", "k=v")]
    found = OURS.extract(carrier, getter=Pairs())
    assert seen(found) == seen(STOCK.extract(carrier, getter=Pairs()))
    written: list[tuple[str, str]] = []
    OURS.inject(written, found, Pairs())
    assert written == carrier


def test_the_same_is_written_as_by_the_stock_pair(traced: Any) -> None:
    with traced.native.start_as_current_span("span"):
        token = context_api.attach(baggage.set_baggage("k", "v w"))
        for context in (None, context_api.get_current(), trace.set_span_in_context(trace.INVALID_SPAN), Context()):
            ours: dict[str, str] = {}
            stock: dict[str, str] = {}
            OURS.inject(ours, context)
            STOCK.inject(stock, context)
            assert {name: value.replace("+", "%20") for name, value in stock.items()} == ours
        context_api.detach(token)
    assert OURS.fields == STOCK.fields


def test_what_was_extracted_is_a_parent_to_all(traced: Any) -> None:
    found = OURS.extract({"traceparent": PARENT, "baggage": "k=v"})
    with traced.tracer.start_as_current_span("otel", context=found) as span:
        assert span.trace_id_hex == PARENT[3:35]
        assert fasttrace.baggage.get("k") == "v"
    token = context_api.attach(found)
    assert trace.get_current_span() is trace.get_current_span(found)
    assert traced.native.start_span("native").trace_id_hex == PARENT[3:35]
    context_api.detach(token)
    assert traced.spans()["otel"].flags & 0x300 == 0x300
