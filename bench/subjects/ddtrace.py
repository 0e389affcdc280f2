"""ddtrace, with a writer that throws away; telemetry and remote configuration off."""

from __future__ import annotations

import os
from typing import Any

import cases

REQUIREMENTS = ("ddtrace==4.16.0",)


def make(endpoint: str, *, sampled: bool) -> cases.Subject:
    os.environ.update(
        DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
        DD_REMOTE_CONFIGURATION_ENABLED="false",
        DD_TRACE_STARTUP_LOGS="false",
        DD_TRACE_SAMPLING_RULES=f'[{{"sample_rate": {int(sampled)}}}]',
    )
    from ddtrace.internal.writer import TraceWriter
    from ddtrace.propagation.http import HTTPPropagator
    from ddtrace.trace import tracer

    class Nowhere(TraceWriter):  # type: ignore[misc, no-any-unimported]
        def recreate(self, *_: Any, **__: Any) -> Nowhere:
            return self

        def stop(self, timeout: float | None = None) -> None:
            pass

        def write(self, spans: Any = None) -> None:
            pass

        def flush_queue(self) -> None:
            pass

    tracer._span_aggregator.writer = Nowhere()
    names = {
        "start": tracer.trace,
        "current": tracer.current_span,
        "extract": HTTPPropagator.extract,
        "inject": HTTPPropagator.inject,
    }
    say = cases.Dialect(
        given=None,
        set="span.set_tag({key}, {value})",
        event=None,
        current="current()",
        extract="extract(HEADERS)",
        inject="inject(span.context, {})",
    )
    return cases.Subject("ddtrace", cases.build(say, names, None if sampled else names))
