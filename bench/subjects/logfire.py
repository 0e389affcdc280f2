"""logfire, which stands on the OpenTelemetry SDK, sending nowhere; console, metrics and argument inspection off."""

from __future__ import annotations

import cases

REQUIREMENTS = ("logfire==5.4.0",)


def make(endpoint: str, *, sampled: bool) -> cases.Subject:
    import logfire
    from opentelemetry import propagate, trace

    logfire.configure(
        send_to_logfire=False,
        console=False,
        metrics=False,
        inspect_arguments=False,
        distributed_tracing=True,
        sampling=logfire.SamplingOptions(head=1.0 if sampled else 0.0),
    )
    names = {
        "start": logfire.span,
        "current": trace.get_current_span,
        "extract": propagate.extract,
        "inject": propagate.inject,
    }
    say = cases.Dialect(
        given="with start({name}, **{attributes}) as span:\n{body}",
        event=None,
        current="current()",
        extract="extract(HEADERS)",
        inject="inject({})",
    )
    return cases.Subject("logfire", cases.build(say, names, None if sampled else names))
