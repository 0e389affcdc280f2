"""fasttrace's core, ``cython`` or ``python``: everything up to the encoded record in the ring."""

from __future__ import annotations

import time
from typing import Any

import cases


def make(name: str) -> cases.Subject:
    from fasttrace import _core, propagation
    from fasttrace._core.layout import THRESHOLD_NEVER

    implementation, _reason, modules = _core.load(name)
    assert implementation == name
    ring_module, span_module, otlp, ids = (modules[module] for module in ("ring", "span", "otlp", "ids"))
    ring = ring_module.Ring()
    recorder = span_module.Recorder(ring)
    recorder.consumer_running = True
    scope = _core.InstrumentationScope("bench")
    # Unsampled below an unsampled parent, as ParentBased has it.
    off = span_module.Recorder(ring_module.Ring(), thresholds=(THRESHOLD_NEVER, 0, THRESHOLD_NEVER, 0, THRESHOLD_NEVER))

    resource, scopes = otlp.encode_attributes({"service.name": "bench"}), [(otlp.encode_scope(scope), "")]

    def drain() -> int:
        dropped = sum(value for key, value in recorder.counters().items() if key.startswith("dropped_"))
        assert not dropped, "a dropped span voids the sample"
        begin = time.thread_time_ns()
        while records := ring.take(512, 1 << 20):
            otlp.assemble(records, resource, scopes)
            ring.release(otlp.count_records(records), len(records))
        return time.thread_time_ns() - begin

    # The public functions belong to the implementation in use; of the other one its half in the core is measured.
    headers: Any = propagation if name == _core.IMPL else modules["headers"]
    names = {
        "start": span_module.Tracer(scope, recorder).start_as_current_span,
        "current_span": span_module.current_span,
        "trace_id": ids.generate_trace_id,
        "span_id": ids.generate_span_id,
        "extract": headers.extract if headers is propagation else headers.extract_w3c,
        "inject": headers.inject if headers is propagation else headers.inject_w3c,
        "encode": otlp.encode_attributes,
    }
    say = cases.Dialect(
        current="current_span()",
        ids="trace_id(); span_id()",
        extract="extract(HEADERS)",
        inject="inject({})",
        encode="encode(FOUR)",
    )
    unsampled = {"start": span_module.Tracer(scope, off).start_as_current_span}
    return cases.Subject(name, cases.build(say, names, unsampled), drain)
