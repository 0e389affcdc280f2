"""The OpenTelemetry Collector with contrib components, compiled from Go's module proxy."""

from __future__ import annotations

from pathlib import Path

from recipes import _kit
from recipes._peer import Peer, Place

# The last version of which Go's proxy serves every component, load_balancing among them.
VERSION = "0.160.0"
SOURCE = Path(__file__).with_name("_otelcol")

CONFIG = (
    _kit.OTLP_RECEIVER
    + """\
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
)


def _install(into: Path) -> None:
    _kit.go_build(SOURCE, ".", into / "otelcol", {"main.version": VERSION})


def _command(place: Place) -> list[str]:
    """``config`` is the configuration's text, in which ``${env:PORT_GRPC}`` and the like are ports.

    ``overlay`` is another, whose settings win.
    """
    command = [str(place.folder / "otelcol")]
    for name, text in (("config", place.options.get("config", CONFIG)), ("overlay", place.options.get("overlay"))):
        if text is not None:
            (place.work / f"{name}.yaml").write_text(text)
            command += ["--config", str(place.work / f"{name}.yaml")]
    return command


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
