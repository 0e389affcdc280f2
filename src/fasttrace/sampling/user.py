"""Any object with ``should_sample``, as OpenTelemetry's samplers have it (Trace SDK, "ShouldSample")."""

from __future__ import annotations

from fasttrace._core import Context
from fasttrace.sampling import consistent
from fasttrace.sampling.base import ASK, DROP, LOCAL_SAMPLED, RECORD, REMOTE_SAMPLED, ROOT, SAMPLE, Sampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.sampling.base import Answer, Thresholds

PARAMETERS = ("parent_context", "trace_id", "name", "kind", "attributes", "links", "trace_state")
_DECISIONS = {"DROP": DROP, "RECORD_ONLY": RECORD, "RECORD_AND_SAMPLE": SAMPLE}


class UserSampler(Sampler):
    """Asks ``sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)``.

    It is called for every span, with those of the seven that its signature takes. Its result has ``decision``, whose
    name or value is DROP, RECORD_ONLY or RECORD_AND_SAMPLE, and may have ``attributes`` and ``trace_state``. Where
    opentelemetry-api is installed it sees the parent in an OpenTelemetry Context, else in one of ours. When it
    raises, the parent's decision holds, and ``sampler_errors`` counts it.
    """

    # Below a parent that was left out it decides alone: there is nothing of a boost that it could cut.
    _boosted = (ROOT, REMOTE_SAMPLED, LOCAL_SAMPLED)

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self._by_name, self._count = _accepted(sampler.should_sample)
        self._foreign: Any = None
        try:
            import opentelemetry.trace

            self._foreign = opentelemetry.trace
        except ImportError:
            pass

    def _thresholds(self) -> Thresholds:
        return (ASK,) * 5

    def _decide(
        self, rule: int, parent: Any, trace_id: int, name: str, kind: Any, attributes: Any, links: Any
    ) -> Answer:
        context, state = self._parent(parent)
        if self._foreign is not None:
            kind = self._foreign.SpanKind(int(kind or 0))
        values = (context, trace_id, name, kind, attributes, links, state)
        if self._by_name:
            result = self.sampler.should_sample(**{key: values[PARAMETERS.index(key)] for key in self._by_name})
        else:
            result = self.sampler.should_sample(*values[: self._count])
        return _decision(result.decision), getattr(result, "attributes", None) or None, _header(result, state)

    def _parent(self, parent: Any) -> tuple[Any, Any]:
        """The parent as a context and its tracestate, OpenTelemetry's if that is installed."""
        span_context = consistent.span_context_of(parent)
        if self._foreign is None:
            return Context(parent), None if span_context is None else span_context.trace_state
        from opentelemetry.context import Context as ForeignContext

        trace = self._foreign
        if span_context is None:
            # Not None: OpenTelemetry would take what is current in its own place instead.
            return ForeignContext(), None
        state = trace.TraceState.from_header([span_context.trace_state.to_header()])
        foreign = trace.SpanContext(
            span_context.trace_id,
            span_context.span_id,
            span_context.is_remote,
            trace.TraceFlags(span_context.trace_flags),
            state,
        )
        return trace.set_span_in_context(trace.NonRecordingSpan(foreign), ForeignContext()), state

    def __repr__(self) -> str:
        get_description = getattr(self.sampler, "get_description", None)
        try:
            return f"UserSampler({get_description() if callable(get_description) else repr(self.sampler)})"
        except Exception:  # a view must not fail for what a user's object does
            return f"UserSampler({type(self.sampler).__name__})"


def _accepted(method: Any) -> tuple[tuple[str, ...], int]:
    """The names that a method takes, if they are those of OpenTelemetry; else how many values it takes by place."""
    import inspect

    try:
        parameters = list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        return (), len(PARAMETERS)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return PARAMETERS, 0
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return (), len(PARAMETERS)
    names = tuple(parameter.name for parameter in parameters)
    if not set(names) - set(PARAMETERS) and not any(p.kind is p.POSITIONAL_ONLY for p in parameters):
        return names, 0
    return (), min(len(names), len(PARAMETERS))


def _decision(value: Any) -> int:
    for word in (getattr(value, "name", None), getattr(value, "value", None), value):
        if isinstance(word, str) and word.upper() in _DECISIONS:
            return _DECISIONS[word.upper()]
    number = getattr(value, "value", value)
    if isinstance(number, int) and DROP <= number <= SAMPLE:
        return int(number)
    raise TypeError(f"{value!r} is no decision: use {', '.join(_DECISIONS)}")


def _header(result: Any, parents: Any) -> str | None:
    """The tracestate that a result asks for; None leaves the parent's as it came."""
    state = getattr(result, "trace_state", None)
    to_header = getattr(state, "to_header", None)
    return str(to_header()) if callable(to_header) and state is not parents else None
