"""What tracing costs here: both implementations of the core and, where it is installed, the OpenTelemetry SDK.

CPU time of the calling thread, and of what turns finished spans into the bytes of a request; nothing is sent. Subjects
take turns of about two milliseconds, so that a machine which changes its pace changes it for all.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

from fasttrace import _core
from fasttrace._core.layout import THRESHOLD_NEVER
from fasttrace._version import __version__

SPAN, ATTRIBUTES, REQUEST = "span", "span, 4 attributes", "request of 6 spans"
UNSAMPLED, HEADERS = "span that is not sampled", "extract and inject"
CASES = (SPAN, ATTRIBUTES, REQUEST, UNSAMPLED, HEADERS)
OPENTELEMETRY = "opentelemetry"
MIN_ROUNDS = 3
SAMPLE_NS = 2_000_000
# Of a request of six spans; below the queue of every subject, for a dropped span costs nothing.
MAX_CALLS = 300
INCOMING = {
    "host": "checkout.example",
    "user-agent": "client/1.0",
    "accept": "application/json",
    "content-type": "application/json",
    "x-request-id": "6f1c9a3e",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}

Operation = Callable[[], Any]
# The CPU time of a thread goes in steps of 16 ms on Windows.
_fine = time.get_clock_info("thread_time").resolution < 1e-5
clock_ns: Callable[[], int] = time.thread_time_ns if _fine else time.perf_counter_ns


class Subject:
    """One thing that is measured: a function for each case, and what is queued turned into bytes.

    ``drain()`` gives the nanoseconds that it took, and raises where a span was lost.
    """

    def __init__(self, name: str, cases: dict[str, Operation], drain: Callable[[], int]) -> None:
        self.name = name
        self.cases = cases
        self.drain = drain


def _cases(start: Callable[..., Any], unsampled: Callable[..., Any], headers: Operation) -> dict[str, Operation]:
    """The cases of one subject, the same source for all."""

    def span() -> None:
        with start("operation"):
            pass

    def attributes() -> None:
        with start("operation") as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/orders/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("retried", False)

    def request() -> None:
        with start("POST /orders") as root:
            root.set_attribute("http.request.method", "POST")
            root.set_attribute("http.response.status_code", 200)
            for name in ("authorize", "reserve", "charge", "store", "publish"):
                with start(name) as inner:
                    inner.set_attribute("order.items", 3)
                    inner.set_attribute("customer.kind", "returning")

    def left_out() -> None:
        with unsampled("operation"):
            pass

    return {SPAN: span, ATTRIBUTES: attributes, REQUEST: request, UNSAMPLED: left_out, HEADERS: headers}


def ours(name: str) -> Subject:
    """One implementation of the core, ``cython`` or ``python``. Raises ImportError where it is not installed."""
    modules = _core.load(name)[2]
    ring_module, span_module, headers, otlp = (modules[part] for part in ("ring", "span", "headers", "otlp"))
    scope = _core.InstrumentationScope("bench")
    ring = ring_module.Ring()
    recorder = span_module.Recorder(ring)
    off = span_module.Recorder(ring_module.Ring(), thresholds=(THRESHOLD_NEVER,) * 5)
    recorder.consumer_running = off.consumer_running = True
    resource, scopes = otlp.encode_attributes({"service.name": "bench"}), [(otlp.encode_scope(scope), "")]

    def drain() -> int:
        begin = clock_ns()
        while records := ring.take(512, 1 << 20):
            otlp.assemble(records, resource, scopes)
            ring.release(otlp.count_records(records), len(records))
        spent = clock_ns() - begin
        if recorder.counters()["dropped_queue_full"]:
            raise RuntimeError(f"{name}: spans were dropped, which is quicker than recording them")
        return spent

    start, unsampled = (span_module.Tracer(scope, made).start_as_current_span for made in (recorder, off))
    cases = _cases(start, unsampled, lambda: headers.inject_w3c({}, headers.extract_w3c(INCOMING)))
    return Subject(name, cases, drain)


def opentelemetry() -> Subject:
    """The OpenTelemetry SDK: batch processor, and OTLP's own encoder. Raises ImportError where one is not installed."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        raise ImportError("OTEL_SDK_DISABLED is set")

    class Encoding(SpanExporter):  # type: ignore[misc]
        spent = 0

        def export(self, spans: Any) -> SpanExportResult:
            begin = clock_ns()
            encode_spans(spans).SerializeToString()
            self.spent += clock_ns() - begin
            return SpanExportResult.SUCCESS

    exporter = Encoding()
    processor = BatchSpanProcessor(exporter, max_queue_size=6 * MAX_CALLS)
    provider = TracerProvider(ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    off = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    off.add_span_processor(BatchSpanProcessor(Encoding()))

    def drain() -> int:
        processor.force_flush()
        spent, exporter.spent = exporter.spent, 0
        return spent

    propagator = TraceContextTextMapPropagator()
    start, unsampled = (made.get_tracer("bench").start_as_current_span for made in (provider, off))
    cases = _cases(start, unsampled, lambda: propagator.inject({}, propagator.extract(INCOMING)))
    return Subject(OPENTELEMETRY, cases, drain)


def subjects() -> tuple[list[Subject], dict[str, str]]:
    """What can be measured here, and why the others can't, by name."""
    found: list[Subject] = []
    absent: dict[str, str] = {}
    for name in ("cython", "python", OPENTELEMETRY):
        try:
            found.append(opentelemetry() if name == OPENTELEMETRY else ours(name))
        except ImportError as error:
            absent[name] = str(error).removeprefix(f"FASTTRACE_IMPL={name}, but ")
    return found, absent


def _sample(subject: Subject, case: str, calls: int) -> float:
    """Nanoseconds for one call, its bytes included."""
    operation, repeat = subject.cases[case], range(calls)
    begin = clock_ns()
    for _ in repeat:
        operation()
    spent = clock_ns() - begin
    return (spent + subject.drain()) / calls


def measure(found: list[Subject], seconds: float) -> dict[str, dict[str, list[float]]]:
    """Samples in nanoseconds, by case and subject, for about so many seconds and at least three of each."""
    samples: dict[str, dict[str, list[float]]] = {case: {subject.name: [] for subject in found} for case in CASES}
    calls: dict[tuple[str, str], int] = {}
    for case in CASES:
        for subject in found:
            _sample(subject, case, 10)
            expected = max(1.0, _sample(subject, case, 10))
            calls[case, subject.name] = max(1, min(MAX_CALLS, int(SAMPLE_NS / expected)))
    end, rounds = time.monotonic() + seconds, 0
    while rounds < MIN_ROUNDS or time.monotonic() < end:
        rounds += 1
        gc.collect(0)
        for case in CASES:
            for subject in found:
                samples[case][subject.name].append(_sample(subject, case, calls[case, subject.name]))
    return samples


def report(seconds: float) -> dict[str, Any]:
    """What it costs here, in plain values: microseconds of CPU, medians and quartiles, by case and subject.

    ``implementation`` is what a program would load that is started like this one, and why; ``absent`` says why
    something was not measured. ``ratio`` is to the compiled core, else to the first there is.
    """
    found, absent = subjects()
    samples = measure(found, seconds)
    name, reason = _core.IMPL, _core.IMPL_REASON
    return {
        "version": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "implementation": {"name": name, "reason": reason, "setting": os.environ.get("FASTTRACE_IMPL") or "auto"},
        "subjects": [subject.name for subject in found],
        "absent": absent,
        "rounds": len(samples[SPAN][found[0].name]),
        "cases": [{"name": case, **_figures(samples[case])} for case in CASES],
    }


def _figures(samples: dict[str, list[float]]) -> dict[str, Any]:
    reference = next(iter(samples))
    figures: dict[str, Any] = {}
    for name, values in samples.items():
        low, median, high = (value / 1000 for value in statistics.quantiles(values, n=4))
        # Of turns that followed each other, so that the machine's pace is not in it.
        ratio = statistics.median(value / base for value, base in zip(values, samples[reference], strict=True))
        figures[name] = {
            "microseconds": round(median, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "ratio": round(ratio, 3),
        }
    return figures
