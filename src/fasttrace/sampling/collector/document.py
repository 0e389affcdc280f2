"""One Collector's file: its receivers, the guard of its memory, and what whoever runs it wants from it."""

from __future__ import annotations

from fasttrace.sampling.collector.places import host
from fasttrace.sampling.collector.text import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from fasttrace.sampling.collector.hosting import Hosting

_RECEIVERS = """\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 0.0.0.0:4317
{}\
      http:
        endpoint: 0.0.0.0:4318
"""
RECEIVERS = _RECEIVERS.format("")
# Connections that end make clients look up the name again, and so find receivers that came later.
SHORT_CONNECTIONS = """\
        keepalive:
          server_parameters:
            max_connection_age: 1m
            max_connection_age_grace: 10s
"""
_LIMITER = """\
processors:
  # First of all: it refuses what would not fit, which whoever sent it keeps and sends again.
  memory_limiter:
    check_interval: 1s
    limit_percentage: 80
    spike_limit_percentage: 20
"""


def collector(
    comment: str,
    exporters: str,
    names: Sequence[str],
    hosting: Hosting,
    *,
    processors: str = "",
    processor_names: Sequence[str] = (),
    grpc: str = "",
) -> str:
    """A Collector with one pipeline of traces. Raises ConfigurationError for an address that is none."""
    extensions, extension_names = _extensions(hosting)
    return (
        f"{comment}{extensions}{_RECEIVERS.format(grpc)}{_LIMITER}{processors}exporters:\n{exporters}"
        f"{service(('otlp',), ('memory_limiter', *processor_names), names, extension_names, hosting.metrics)}"
    )


def service(
    receivers: Sequence[str],
    processors: Sequence[str],
    exporters: Sequence[str],
    extensions: Sequence[str],
    metrics: str | None,
) -> str:
    """The section that says what of the rest runs."""
    lines = ["service:"]
    if extensions:
        lines.append(f"  extensions: [{', '.join(extensions)}]")
    if metrics is not None:
        name, _, port = host(metrics, "host:port for --metrics").rpartition(":")
        lines += ["  telemetry:", "    metrics:", "      readers:", "        - pull:", "            exporter:"]
        lines += ["              prometheus:", f"                host: {quoted(name)}", f"                port: {port}"]
    lines += ["  pipelines:", "    traces:"]
    parts = (("receivers", receivers), ("processors", processors), ("exporters", exporters))
    lines += [f"      {key}: [{', '.join(names)}]" for key, names in parts if names]
    return "\n".join([*lines, ""])


def _extensions(hosting: Hosting) -> tuple[str, list[str]]:
    text, names = "", []
    if hosting.health is not None:
        address = host(hosting.health, "host:port for --health")
        text += f"  health_check:\n    endpoint: {quoted(address)}\n"
        names.append("health_check")
    if hosting.data_dir is not None:
        text += f"  file_storage:\n    directory: {quoted(hosting.data_dir)}\n"
        names.append("file_storage")
    return (f"extensions:\n{text}" if text else ""), names
