"""A span behind the OpenTelemetry API, ours and the SDK's, interleaved: ``python bench/behind_api.py [--check]``.

``start_as_current_span`` with 4 attributes through the API's tracer; thread CPU time of the calling thread, medians
and the median of the rounds' own ratios. The SDK has its batch processor with an exporter that encodes. ``--check``
exits with 1 when ours costs more than 1/12.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import cases

CALLS = 240
PROMISED = 12


def providers() -> dict[str, Any]:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider as Stock
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    from fasttrace.opentelemetry import TracerProvider

    class Encoding(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

    stock = Stock(shutdown_on_exit=False)
    stock.add_span_processor(BatchSpanProcessor(Encoding()))
    return {"OpenTelemetry SDK": stock, "fasttrace": TracerProvider(exporter="none")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="samples of each (default: 40)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when the promised ratio is missed")
    arguments = parser.parse_args()
    made = providers()
    calls = {
        name: cases.span_cases(provider.get_tracer("bench").start_as_current_span, None)["span, 4 attributes"]
        for name, provider in made.items()
    }
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(arguments.rounds + 2):
        for name, call in calls.items():
            begin = time.thread_time_ns()
            for _ in range(CALLS):
                call()
            if turn >= 2:
                samples[name].append((time.thread_time_ns() - begin) / CALLS)
            made[name].force_flush()
    for name, values in samples.items():
        print(f"{name}: {statistics.median(values):,.0f} ns")
    pairs = zip(samples["OpenTelemetry SDK"], samples["fasttrace"], strict=True)
    ratio = statistics.median(stock / ours for stock, ours in pairs)
    print(f"SDK / fasttrace: {ratio:.1f}x")
    if ratio < PROMISED and arguments.check:
        print(f"missed: 1/{ratio:.1f} of the SDK, promised is 1/{PROMISED}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
