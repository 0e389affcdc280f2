"""honeycomb-pycpp: OpenTelemetry's C++ SDK. It has no exporter that throws away: its threads send for real."""

from __future__ import annotations

import tempfile
import time

import cases

REQUIREMENTS = ("honeycomb-pycpp==0.1.15",)
CONFIGURATION = """
file_format: "1.0"
tracer_provider:
  sampler:
    parent_based:
      root:
        {sampler}:
  processors:
    - batch:
        exporter:
          otlp_http:
            endpoint: {endpoint}
"""


def make(endpoint: str, *, sampled: bool) -> cases.Subject:
    import honeycomb_pycpp

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(CONFIGURATION.format(endpoint=endpoint, sampler="always_on" if sampled else "always_off"))
        file.flush()
        sdk = honeycomb_pycpp.SDK(file.name)
    names = {
        "sdk": sdk,  # kept, or its providers are gone
        "start": sdk.tracer_provider.get_tracer("bench").start_as_current_span,
        "current": honeycomb_pycpp.Context.get_current,
    }
    say = cases.Dialect(current="current().get_span()")

    def drain() -> int:
        time.sleep(0.01)  # it can't be asked to flush
        return 0

    return cases.Subject("honeycomb-pycpp", cases.build(say, names, None if sampled else names), drain)
