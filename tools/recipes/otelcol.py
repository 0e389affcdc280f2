"""The OpenTelemetry Collector with contrib components, compiled from Go's module proxy."""

from __future__ import annotations

from pathlib import Path

from recipes import _kit
from recipes._peer import Peer, Place

# The last version of which Go's proxy serves every component, load_balancing among them.
VERSION = "0.160.0"
SOURCE = Path(__file__).with_name("_otelcol")

CONFIG = """\
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:${env:PORT_GRPC}
      http:
        endpoint: 127.0.0.1:${env:PORT_HTTP}
exporters:
  debug:
    verbosity: detailed
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [debug]
"""


def _install(into: Path) -> None:
    _kit.go_build(SOURCE, ".", into / "otelcol", {"main.version": VERSION})


def _command(place: Place) -> list[str]:
    """``config`` is the configuration's text, in which ``${env:PORT_GRPC}`` and the like are ports."""
    config = place.work / "otelcol.yaml"
    config.write_text(place.options.get("config", CONFIG))
    return [str(place.folder / "otelcol"), "--config", str(config)]


PEER = Peer(
    summary="OpenTelemetry Collector",
    version=VERSION,
    revision=_kit.revision(*sorted(SOURCE.iterdir())),
    kind="compiled",
    ports=("grpc", "http"),
    needs=lambda: _kit.go_needed((1, 26)),
    install=_install,
    command=_command,
)
