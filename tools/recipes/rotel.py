"""rotel, an OpenTelemetry collector in Rust: decodes OTLP by prost, and hands it on encoded anew.

It refuses invalid UTF-8, and more than 4 MiB by gRPC with OUT_OF_RANGE.
"""

from __future__ import annotations

import sys
from pathlib import Path

from recipes import _kit
from recipes._peer import MissingError, Peer, Place

VERSION = "0.0.1a15"


def _program(folder: Path) -> Path:
    return folder / "rotel" / "rotel-agent"


def install(into: Path) -> None:
    """The wheel for Python 3.11, whichever Python runs this: the program needs but that one's library."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", into]
    _kit.run([*pip, "--python-version", "3.11", "--only-binary", ":all:", "--no-deps", f"rotel=={VERSION}"])
    try:
        _kit.run([_program(into), "--version"])
    except MissingError as error:
        raise MissingError(f"{error}: apt-get install libpython3.11") from None


def command(place: Place) -> list[str]:
    """Option ``hand_on_to``: the URL of an OTLP/gRPC receiver; without it the spans are dropped."""
    listen = [
        word for name in ("grpc", "http") for word in (f"--otlp-{name}-endpoint", f"127.0.0.1:{place.ports[name]}")
    ]
    files = ["--pid-file", str(place.work / "pid"), "--log-file", str(place.work / "log")]
    target = place.options.get("hand_on_to")
    exporter = ["--exporter", "otlp", "--otlp-exporter-endpoint", target] if target else ["--exporter", "blackhole"]
    return [str(_program(place.folder)), "start", *listen, *files, "--batch-timeout", "20ms", *exporter]


PEER = Peer(
    summary="rotel",
    version=VERSION,
    install=install,
    command=command,
    ports=("grpc", "http"),
    promised=True,
)
