"""OpenTelemetry's SDK for JavaScript under Node: a hop that keeps nothing of a request but the context."""

from __future__ import annotations

import shutil
from pathlib import Path

from recipes import _kit
from recipes._peer import Peer, Place

VERSION = "2.12.1"
_STABLE = ("core@2.12.0", f"resources@{VERSION}", f"sdk-trace-node@{VERSION}")
_EXPERIMENTAL = ("exporter-trace-otlp-grpc@0.223.1", "instrumentation@0.223.0", "instrumentation-http@0.223.0")
_PROGRAM = Path(__file__).with_name("_opentelemetry_js") / "hop.js"


def needs() -> str | None:
    """Node to run it, npm to get it."""
    return _kit.programs(node="version 20 or later", npm="it comes with node")


def install(into: Path) -> None:
    """The SDK's packages, and the program that uses them."""
    packages = ["@opentelemetry/api@1.9.1", *(f"@opentelemetry/{name}" for name in (*_STABLE, *_EXPERIMENTAL))]
    npm = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--no-update-notifier", "--prefix", into]
    _kit.run([*npm, *packages], cwd=into, timeout=600)
    shutil.copy(_PROGRAM, into)


def command(place: Place) -> list[str]:
    """It takes no options: ``NEXT_HOP`` and ``OTEL_*`` are its variables."""
    return ["node", str(place.folder / _PROGRAM.name)]


PEER = Peer(
    summary="OpenTelemetry JavaScript",
    version=VERSION,
    revision=_kit.revision(_PROGRAM),
    install=install,
    command=command,
    ports=("http",),
    needs=needs,
    environment={"OTEL_SERVICE_NAME": "opentelemetry_js"},
)
