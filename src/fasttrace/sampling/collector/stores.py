"""Stores for one machine: Jaeger 2, which is a Collector of its own, and Tempo 3 in one process.

Both grow by a database or by object storage behind them, see docs/deployment.md.
"""

from __future__ import annotations

from fasttrace.errors import ConfigurationError
from fasttrace.sampling.collector import document
from fasttrace.sampling.collector.hosting import Hosting
from fasttrace.sampling.collector.places import host
from fasttrace.sampling.collector.text import quoted


def jaeger(hosting: Hosting) -> str:
    """Jaeger 2, its page on port 16686; traces in memory, or in Badger's files. Raises ConfigurationError."""
    extensions, names = "", ["jaeger_storage", "jaeger_query"]
    if hosting.health is not None:
        address = quoted(host(hosting.health, "host:port for --health"))
        extensions = f"  healthcheckv2:\n    use_v2: true\n    http:\n      endpoint: {address}\n"
        names.append("healthcheckv2")
    if hosting.data_dir is None:
        backend = "        memory:\n          max_traces: 100000\n"
    else:
        keys, values = (quoted(f"{hosting.data_dir.rstrip('/')}/{name}") for name in ("keys", "values"))
        backend = f"""\
        badger:
          directories:
            keys: {keys}
            values: {values}
          ephemeral: false
          ttl:
            spans: 48h
"""
    return f"""\
# Jaeger 2: receives OTLP, keeps traces, answers on port 16686.
extensions:
  jaeger_storage:
    backends:
      traces:
{backend}\
  jaeger_query:
    storage:
      traces: traces
    http:
      endpoint: 0.0.0.0:16686
    grpc:
      endpoint: 0.0.0.0:16685
{extensions}\
{document.RECEIVERS}\
exporters:
  jaeger_storage_exporter:
    trace_storage: traces
{document.service(("otlp",), (), ("jaeger_storage_exporter",), names, hosting.metrics)}"""


def tempo(hosting: Hosting) -> str:
    """Tempo 3, all in one: files in ``data_dir``; API, probes and figures on port 3200. Raises ConfigurationError."""
    if hosting.data_dir is None:
        raise ConfigurationError("Tempo keeps traces in files: use --data-dir")
    folder = hosting.data_dir.rstrip("/")
    return f"""\
# Tempo 3, all of it in one process, traces in local files. Its API, /ready and /metrics are on port 3200.
stream_over_http_enabled: true
server:
  http_listen_port: 3200
distributor:
  receivers:
    otlp:
      protocols:
        grpc:
          endpoint: 0.0.0.0:4317
        http:
          endpoint: 0.0.0.0:4318
backend_scheduler:
  provider:
    compaction:
      compaction:
        block_retention: 48h
backend_worker:
  compaction:
    block_retention: 48h
storage:
  trace:
    backend: local
    wal:
      path: {quoted(folder + "/wal")}
    local:
      path: {quoted(folder + "/blocks")}
usage_report:
  reporting_enabled: false
"""
