"""Any object with should_sample, OpenTelemetry's own samplers first."""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import sampling as otel

from fasttrace import SpanKind, sampling
from fasttrace.errors import ConfigurationError


@pytest.mark.parametrize("parent", ["none", "remote sampled", "remote", "local sampled", "local"])
@pytest.mark.parametrize(
    "theirs",
    [
        otel.ALWAYS_ON,
        otel.ALWAYS_OFF,
        otel.DEFAULT_ON,
        otel.DEFAULT_OFF,
        otel.ParentBased(otel.ALWAYS_OFF, local_parent_not_sampled=otel.ALWAYS_ON),
        otel.ParentBasedTraceIdRatio(0.5),
    ],
    ids=lambda sampler: sampler.get_description(),
)
def test_opentelemetrys_samplers_decide_as_in_its_sdk(core: Any, bound: Any, theirs: Any, parent: str) -> None:
    traced = bound(sampling.parse(theirs))
    for _ in range(20):
        context = core.context.Context()
        expected_in = trace.set_span_in_context(trace.INVALID_SPAN)
        if parent != "none":
            sampled, remote = "sampled" in parent, "remote" in parent
            context = core.context.SpanContext(core.ids.generate_trace_id(), 9, remote, int(sampled), "a=b")
            foreign = trace.SpanContext(context.trace_id, 9, remote, trace.TraceFlags(int(sampled)))
            expected_in = trace.set_span_in_context(trace.NonRecordingSpan(foreign))
        span = traced.child(context)
        expected = theirs.should_sample(expected_in, span.trace_id, "child")
        assert span.sampled is expected.decision.is_sampled()
        assert span.trace_state.to_header() == ("" if parent == "none" else "a=b")
    assert traced.recorder.counters()["sampler_errors"] == 0


def test_it_sees_the_parent_and_all_that_is_known_at_the_start(bound: Any) -> None:
    seen: list[Any] = []

    class Curious(otel.Sampler):
        def should_sample(self, *arguments: Any, **named: Any) -> otel.SamplingResult:
            seen.append((arguments, named))
            return otel.SamplingResult(
                otel.Decision.RECORD_AND_SAMPLE, {"added": 1}, trace.TraceState([("new", "state")])
            )

        def get_description(self) -> str:
            return "Curious"

    traced = bound(sampling.parse(Curious()))
    span = traced.tracer.start_span(
        "name",
        context=traced.remote(7 << 64, state="a=b"),
        kind=SpanKind.SERVER,
        attributes={"url.path": "/"},
        links=[],
    )
    (_, named) = seen[0]
    parent = trace.get_current_span(named["parent_context"]).get_span_context()
    assert (parent.trace_id, parent.span_id, parent.is_remote, parent.trace_flags) == (7 << 64, 9, True, 1)
    assert parent.trace_state.to_header() == named["trace_state"].to_header() == "a=b"
    assert (named["trace_id"], named["name"], named["kind"]) == (7 << 64, "name", trace.SpanKind.SERVER)
    assert (named["attributes"], named["links"]) == ({"url.path": "/"}, [])
    assert span.trace_state.to_header() == "new=state"
    assert span.attributes == {"url.path": "/", "added": 1}
    assert repr(traced.sampler) == "UserSampler(Curious)"
    span.end()


class Decision(enum.Enum):
    DROP = 0
    RECORD_ONLY = 1
    RECORD_AND_SAMPLE = 2


@pytest.mark.parametrize("decision", [*Decision, *(member.name for member in Decision), *range(3), *otel.Decision])
def test_decisions_are_known_by_name_and_by_value(bound: Any, decision: Any) -> None:
    class Mine:
        def should_sample(self, *_arguments: Any) -> Any:
            return SimpleNamespace(decision=decision)

    traced = bound(sampling.parse(Mine()))
    assert traced.root().sampled is (str(getattr(decision, "value", decision)) in ("2", "RECORD_AND_SAMPLE"))
    assert traced.recorder.counters()["sampler_errors"] == 0


def by_names(name: str, attributes: Any) -> Any:
    return SimpleNamespace(decision="RECORD_AND_SAMPLE" if name == "good" and attributes is None else "DROP")


def by_places(_context: Any, _trace: Any, operation: str) -> Any:
    return by_names(operation, None)


def of_names(*, name: str, **_others: Any) -> Any:
    return by_names(name, None)


def of_places(*arguments: Any) -> Any:
    return by_names(arguments[2], arguments[4])


def only_places(_context: Any, _trace_id: Any, name: str, /) -> Any:
    return by_names(name, None)


@pytest.mark.parametrize("method", [by_names, by_places, of_names, of_places, only_places])
def test_it_gets_what_its_signature_takes(bound: Any, method: Callable[..., Any]) -> None:
    traced = bound(sampling.parse(SimpleNamespace(should_sample=method)))
    assert [traced.root(name).sampled for name in ("good", "bad")] == [True, False]
    assert traced.recorder.counters()["sampler_errors"] == 0


def test_one_that_raises_or_answers_nonsense_leaves_the_parents_decision_and_is_counted(bound: Any) -> None:
    for answer in (lambda **_: 1 / 0, lambda **_: None, lambda **_: SimpleNamespace(decision="PERHAPS")):
        traced = bound(sampling.parse(SimpleNamespace(should_sample=answer)))
        assert traced.root().sampled
        assert not traced.child(traced.remote(sampled=False)).sampled
        assert traced.recorder.counters()["sampler_errors"] == 2


def test_it_may_stand_inside_of_other_samplers(bound: Any) -> None:
    traced = bound(sampling.ParentBased(otel.ALWAYS_OFF))
    assert not traced.root().sampled
    assert traced.child(traced.remote(sampled=True)).sampled
    traced = bound(sampling.Rules([{"name": "x", "sample": otel.ALWAYS_ON}], default=False))
    assert [traced.root(name).sampled for name in "xy"] == [True, False]


def test_a_class_in_place_of_its_object_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"sampler=.*or a sampler object"):
        sampling.parse(otel.ParentBased)


def test_without_opentelemetry_it_sees_our_context() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
import fasttrace
from types import SimpleNamespace
seen = []
def should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state):
    seen.append((parent_context, kind, trace_state))
    return SimpleNamespace(decision="RECORD_AND_SAMPLE", attributes=None, trace_state=trace_state)
fasttrace.configure(sampler=SimpleNamespace(should_sample=should_sample), exporter="none")
tracer = fasttrace.get_tracer("x")
parent = fasttrace.SpanContext(1 << 99, 9, True, 1, "a=b")
with tracer.start_as_current_span("name", context=parent, kind=fasttrace.SpanKind.CLIENT):
    with tracer.start_as_current_span("child"):
        pass
(first, kind, state), (second, _, _) = seen
assert type(first) is type(second) is fasttrace.Context
assert first.span_context == parent and kind is fasttrace.SpanKind.CLIENT and state.to_header() == "a=b"
assert second.span_context.trace_state.to_header() == "a=b"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
