"""What tracing costs before the first request is served: ``python bench/import_cost.py [--check] [--quick]``.

Interpreters of their own, in turn: one that imports nothing, one that imports the library, one that also configures an
OTLP/HTTP exporter, one that also has its first span delivered. CPU time of the whole process and resident memory after
that, less the first one's: medians. All have their bytecode, in a folder of its own, from a run before.

Most of what ``configure`` costs is urllib3, which sends for us.

``--check`` exits with 1 when an import takes more than 1/5 of the OpenTelemetry SDK's time or memory, or a later step
more than the SDK's.
"""

from __future__ import annotations

import http.server
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from children import _Receiver as Receiver
from promises import IMPLEMENTATIONS, Promises, heading, ratio, table

# What the SDK takes, divided by what ours may.
STEPS = {"import": 5, "configure": 1, "first span delivered": 1}
OURS = (
    "import fasttrace",
    "fasttrace.configure(service_name='bench', exporter='otlp')",
    "with fasttrace.get_tracer('bench').start_as_current_span('first'): pass\nassert fasttrace.flush(10)",
)
THEIRS = (
    """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
""",
    """
provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
""",
    """
with trace.get_tracer('bench').start_as_current_span('first'): pass
assert provider.force_flush(10_000)
""",
)
# The end of every program: its CPU time in ns and its pages in memory.
ANSWER = """
import os, time
print(time.process_time_ns(), open("/proc/self/statm").read().split()[1], flush=True)
os._exit(0)
"""
SUBJECTS = {**dict.fromkeys(IMPLEMENTATIONS, OURS), "SDK": THEIRS}


def run(name: str, steps: int, environment: dict[str, str]) -> tuple[float, float]:
    """Milliseconds and MiB of one interpreter."""
    program = "\n".join([*SUBJECTS[name][:steps], ANSWER])
    given = {**environment, "FASTTRACE_IMPL": name} if name in IMPLEMENTATIONS else environment
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, env=given)
    nanoseconds, pages = done.stdout.split()
    return int(nanoseconds) / 1e6, int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    promises = Promises(__doc__, runs=("interpreters of each kind", 25, 5))
    if not Path("/proc/self/statm").exists():
        print("skipped, needs /proc")
        return 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    points = [(name, steps) for name in SUBJECTS for steps in range(len(STEPS) + 1)]
    found: dict[tuple[str, int], list[tuple[float, float]]] = {point: [] for point in points}
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "FASTTRACE_"))}
        environment |= {
            "PYTHONPYCACHEPREFIX": bytecode,
            "PYTHONDONTWRITEBYTECODE": "",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        }
        for turn in range(promises.runs + 1):
            for point in random.sample(points, len(points)) if turn else points:
                sample = run(*point, environment)
                if turn:  # the first one writes the bytecode
                    found[point].append(sample)
    server.shutdown()

    def added(name: str, steps: int, part: int) -> list[float]:
        return [one[part] - bare[part] for one, bare in zip(found[name, steps], found[name, 0], strict=True)]

    print(heading())
    rows = []
    for steps, (step, share) in enumerate(STEPS.items(), 1):
        for part, unit in enumerate(("ms", "MiB")):
            cells = [f"{statistics.median(added(name, steps, part)):.1f} {unit}" for name in SUBJECTS]
            ratios = [ratio(added("SDK", steps, part), added(name, steps, part)) for name in IMPLEMENTATIONS]
            rows.append((f"up to: {step}", *cells, *[f"{value:.1f}x" for value in ratios]))
            promises.at_least(f"{step}, {unit}, SDK / cython", ratios[0], share, "x")
    print()
    table(("", *SUBJECTS, "SDK / cython", "SDK / python"), rows)
    return promises.exit_code()


if __name__ == "__main__":
    sys.exit(main())
