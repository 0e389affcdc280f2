"""What the OTLP exporters share: their variables, requests in parts, partial success.

``OTEL_EXPORTER_OTLP_TRACES_*`` win over ``OTEL_EXPORTER_OTLP_*`` (OpenTelemetry, "OTLP Exporter Configuration").
"""

from __future__ import annotations

import os
import time

from fasttrace import config
from fasttrace.errors import ConfigurationError
from fasttrace.export import identity, otlp_response
from fasttrace.export.base import masked
from fasttrace.export.parts import Parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from re import Pattern
    from typing import Protocol

    from fasttrace.export.base import Batch

    class Sender(Protocol):
        """One endpoint; see ``http.Sender`` and ``grpc.Sender``."""

        endpoint: str
        identity: identity.Identity

        @property
        def destination(self) -> str | None:
            """Where the requests go and as whom; None where that can't be told."""
            ...

        def post(self, body: bytes, part: Batch, deadline: float, read: Callable[[bytes], int]) -> int:
            """Deliver a body and read the answer."""
            ...

        def prepare(self) -> None:
            """Import what a request needs."""
            ...

        def probe(self, body: bytes, timeout: float) -> None:
            """Send a body once; ExportError unless it is accepted."""
            ...

        def close(self) -> None:
            """End a wait between two tries and close the connection."""
            ...


DEFAULT_TIMEOUT_SECONDS = 10.0
PROTOCOLS = ("grpc", "http/protobuf")


def variable(name: str) -> tuple[str, str]:
    """The name and text of the traces' own or the general variable; "" for both unset or empty."""
    for prefix in ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"):
        value = os.environ.get(prefix + name, "").strip()
        if value:
            return prefix + name, value
    return "OTEL_EXPORTER_OTLP_" + name, ""


def named(error: ConfigurationError, given: str | None) -> ConfigurationError:
    """What is wrong with an endpoint, by the name of the variable that it comes from unless it was given."""
    name, value = variable("ENDPOINT")
    text = str(error)
    if given is not None or not value or not text.startswith("endpoint="):
        return error
    if name == "OTEL_EXPORTER_OTLP_ENDPOINT":
        text = text.replace("/v1/traces", "")  # which is not the user's
    return ConfigurationError(name + text.removeprefix("endpoint"))


def protocol() -> str:
    """Which exporter ``otlp`` is: ``grpc`` or ``http/protobuf``."""
    name, value = variable("PROTOCOL")
    if value.lower() in PROTOCOLS:
        return value.lower()
    if value:
        config.refuse(name, value, " or ".join(PROTOCOLS))
    return "http/protobuf"


def headers(given: Mapping[str, str] | None, rule: tuple[Pattern[str], Pattern[str]]) -> dict[str, str]:
    """The headers that were given, else those of the variable: ``key=value,key=value``, values percent-encoded.

    A bad pair of the variable is left out with a warning that does not show it.
    """
    if given is not None:
        return {key.lower(): value for key, value in given.items()}
    name, value = variable("HEADERS")
    found: dict[str, str] = {}
    if not value:
        return found
    from urllib.parse import unquote

    for pair in value.split(","):
        key, equals, text = pair.partition("=")
        key, text = key.strip().lower(), unquote(text.strip())
        if equals and identity.fits(rule, key, text):
            found[key] = text
        elif pair.strip():
            config.refuse(name, "…", "key=value pairs of plain text with commas between")
    return found


def timeout(given: float | None) -> float:
    """Seconds for one batch."""
    return config.timeout(given, *variable("TIMEOUT"), DEFAULT_TIMEOUT_SECONDS)


def compression(given: str | None) -> str:
    """``gzip`` or ``none``."""
    if given is not None:
        if given not in ("gzip", "none"):
            raise ConfigurationError(f"compression={given!r}: use gzip or none")
        return given
    name, value = variable("COMPRESSION")
    if value.lower() in ("gzip", "none", ""):
        return value.lower() or "none"
    config.refuse(name, value, "gzip or none")
    return "none"


def certificates(certificate: str | None, client_certificate: str | None, client_key: str | None) -> dict[str, str]:
    """The PEM files as urllib3 calls them: ``ca_certs``, ``cert_file``, ``key_file``; "" for none."""
    return {
        "ca_certs": certificate or variable("CERTIFICATE")[1],
        "cert_file": client_certificate or variable("CLIENT_CERTIFICATE")[1],
        "key_file": client_key or variable("CLIENT_KEY")[1],
    }


class OTLPBase:
    """Sends batches through a sender; the base of the two exporters."""

    timeout: float
    compression: str

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.endpoint: str = sender.endpoint
        self._parts = Parts()

    @property
    def destination(self) -> str | None:
        """Endpoint and headers: what can't be delivered waits for an exporter with the same."""
        return self._sender.destination

    def __repr__(self) -> str:
        return f"{type(self).__name__}({masked(self.endpoint)!r})"

    @property
    def header_names(self) -> frozenset[str]:
        """The names of the headers that are sent, without their values."""
        return self._sender.identity.names

    def export(self, batch: Batch) -> int | None:
        """Send one request, or several smaller ones, again where the specification allows it, within the timeout.

        Gives how many spans the receiver rejected, if any. Raises ExportError when not all of it was delivered.
        """
        deadline = time.monotonic() + self.timeout
        if batch.deadline is not None:
            deadline = min(deadline, batch.deadline)
        return self._parts.deliver(batch, lambda part: self._sender.post(part.otlp, part, deadline, self._rejected))

    def prepare(self) -> None:
        """Import what a request needs."""
        self._sender.prepare()

    def probe(self, timeout: float) -> None:
        """Send a request without spans, once. Raises ExportError unless it is accepted within so many seconds."""
        self._sender.probe(b"", timeout)

    def _rejected(self, answer: bytes) -> int:
        """How many spans a success left out; never sent again."""
        if not answer:
            return 0  # nearly always
        rejected, message = otlp_response.partial_success(answer)
        if rejected or message:
            from fasttrace import _log

            reason = otlp_response.one_line(self._sender.identity.redact(message)) or "no reason given"
            _log.warning("partial", "%s rejected %d spans: %s", masked(self.endpoint), rejected, reason)
        return rejected

    def flush(self, timeout: float) -> bool:
        """Nothing is held back."""
        return True

    def shutdown(self, timeout: float) -> None:
        """End a wait between two tries and close the connection."""
        self._sender.close()
