"""ddapm-test-agent: keeps what it gets by OTLP, whole requests and what it has decoded, for those who ask.

By HTTP it takes at most 1 MiB.
"""

from __future__ import annotations

from pathlib import Path

from recipes import _kit
from recipes._peer import Peer, Place

VERSION = "1.69.1"


def install(into: Path) -> None:
    """A program in Python."""
    _kit.venv(into, f"ddapm-test-agent=={VERSION}")


def command(place: Place) -> list[str]:
    """It takes no options; its http port answers what came at ``/test/session/traces``."""
    ports = place.ports
    return [
        str(place.folder / "bin" / "ddapm-test-agent"),
        *("--host", "127.0.0.1"),
        *("--otlp-http-port", str(ports["http"])),
        *("--otlp-grpc-port", str(ports["grpc"])),
        *("--port", str(ports["datadog"])),
        *("--web-ui-port", "0"),
        "--disable-llmobs-data-forwarding",
    ]


PEER = Peer(
    summary="ddapm-test-agent",
    version=VERSION,
    install=install,
    command=command,
    ports=("http", "grpc", "datadog"),
    promised=True,
)
