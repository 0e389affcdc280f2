"""pytracingx: a Rust core with an API of its own. It has no exporter that throws away: its threads send for real."""

from __future__ import annotations

import cases

REQUIREMENTS = ("pytracingx==0.3.0",)


def make(endpoint: str, *, sampled: bool) -> cases.Subject:
    import pytracingx

    trace_sink = pytracingx.TraceSink(
        endpoint=endpoint,
        protocol="http/protobuf",
        sampler="parent_based_traceid_ratio",
        sampler_arg=1.0 if sampled else 0.0,
    )
    pytracingx.init(pytracingx.Config(service_name="bench", sinks=[trace_sink]))
    names = {
        "start": pytracingx.start_span,
        "current": pytracingx.current_trace_context,
        "extract": pytracingx.extract_headers,
        "inject": pytracingx.inject_headers,
    }
    say = cases.Dialect(current="current()", extract="extract(HEADERS).restore()", inject="inject({})")

    def drain() -> int:
        pytracingx.force_flush()
        return 0

    return cases.Subject("pytracingx", cases.build(say, names, None if sampled else names), drain)
