"""elastic-apm, a transport that throws away; stack traces, metrics, instrumentation off. A root is a transaction."""

from __future__ import annotations

from typing import Any

import cases

REQUIREMENTS = ("elastic-apm==6.26.2",)
ROOT = """\
begin_transaction("request")
try:
{body}
finally:
    end_transaction({name})"""


class Nowhere:
    """Has what the client asks of a transport."""

    start_stop_order = 0

    def __init__(self, client: Any, **_: Any) -> None:
        pass

    def queue(self, event_type: str, data: Any, flush: bool = False) -> None:
        pass

    def start_thread(self, pid: int | None = None) -> None:
        pass

    def stop_thread(self) -> None:
        pass


def make(endpoint: str, *, sampled: bool) -> cases.Subject:
    import elasticapm
    from elasticapm.traces import execution_context

    client = elasticapm.Client(
        service_name="bench",
        transport_class=f"{__name__}.Nowhere",
        transaction_sample_rate=float(sampled),
        transaction_max_spans=1_000_000,
        span_compression_enabled=False,
        span_stack_trace_min_duration=-1,
        metrics_sets=[],
        breakdown_metrics=False,
        instrument=False,
        central_config=False,
        cloud_provider=False,
    )
    names = {
        "begin_transaction": client.begin_transaction,
        "end_transaction": client.end_transaction,
        "start": elasticapm.capture_span,
        "label": elasticapm.label,
        "current": execution_context.get_span,
        "extract": elasticapm.trace_parent_from_headers,
        "inject": elasticapm.get_trace_parent_header,
    }
    say = cases.Dialect(
        root=ROOT,
        given=None,
        set="label(**{{key}: {value}})",
        set_child="span.label(**{{key}: {value}})",
        event=None,
        current="current()",
        extract="extract(HEADERS)",
        inject="{'traceparent': inject()}",
    )
    return cases.Subject("elastic-apm", cases.build(say, names, None if sampled else names))
