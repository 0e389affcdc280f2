"""The Zipkin server, spans in memory."""

from __future__ import annotations

from pathlib import Path

from recipes import _kit
from recipes._peer import Peer, Place

VERSION = "3.5.1"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_JAR = f"zipkin-server-{VERSION}-slim.jar"


def needs() -> str | None:
    """Java to run it, Maven to get it."""
    return _kit.programs(java="apt-get install openjdk-17-jre-headless", mvn="apt-get install maven")


def install(into: Path) -> None:
    """One jar, 84 MB, without the storages and transports that nobody here uses."""
    artifact = f"io.zipkin:zipkin-server:{VERSION}:jar:slim"
    _kit.run(["mvn", "-q", "-B", _COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={into}"], cwd=into, timeout=600)


def command(place: Place) -> list[str]:
    """It takes no options."""
    # Its own resolver of names would receive answers at all addresses.
    small = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dcom.linecorp.armeria.useJdkDnsResolver=true"]
    java = ["java", *small, "-jar", str(place.folder / _JAR)]
    # Its own QUERY_PORT would listen on all addresses.
    listen = {"ip": "127.0.0.1", "port": place.ports["http"], "protocols[0]": "http"}
    return [*java, *(f"--armeria.ports[0].{name}={value}" for name, value in listen.items())]


PEER = Peer(
    summary="Zipkin",
    version=VERSION,
    install=install,
    command=command,
    ports=("http",),
    promised=True,
    needs=needs,
)
