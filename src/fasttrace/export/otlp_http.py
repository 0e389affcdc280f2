"""OTLP over HTTP with binary protobuf (opentelemetry-proto, docs/specification.md, "OTLP/HTTP").

Variables: ``OTEL_EXPORTER_OTLP_*`` and ``OTEL_EXPORTER_OTLP_TRACES_*``, the latter first (OpenTelemetry, "OTLP
Exporter Configuration").
"""

from __future__ import annotations

import os
import time

from fasttrace import config
from fasttrace.errors import ConfigurationError
from fasttrace.export import base, otlp_response
from fasttrace.export.http import Sender
from fasttrace.export.parts import Parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from fasttrace.export.base import Batch

DEFAULT_ENDPOINT = "http://localhost:4318"
DEFAULT_TIMEOUT_SECONDS = 10.0


def variable(name: str) -> tuple[str, str]:
    """The name and text of the traces' own or the general variable; "" for both unset or empty."""
    for prefix in ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"):
        value = os.environ.get(prefix + name, "").strip()
        if value:
            return prefix + name, value
    return "OTEL_EXPORTER_OTLP_" + name, ""


def _endpoint() -> str:
    """The traces' endpoint as it is, or the general one with ``/v1/traces`` behind it."""
    name, value = variable("ENDPOINT")
    if name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
        return value
    return (value or DEFAULT_ENDPOINT).rstrip("/") + "/v1/traces"


def _headers() -> dict[str, str]:
    """``key=value,key=value``, values percent-encoded; a bad one is left out with a warning that does not show it."""
    name, value = variable("HEADERS")
    found: dict[str, str] = {}
    if not value:
        return found
    from urllib.parse import unquote

    for pair in value.split(","):
        key, equals, text = pair.partition("=")
        if pair.strip() and equals and key.strip():
            found[key.strip().lower()] = unquote(text.strip())
        elif pair.strip():
            config.refuse(name, "…", "key=value pairs with commas between")
    return found


def _timeout() -> float:
    name, value = variable("TIMEOUT")
    if value:
        try:
            return config.milliseconds(value)
        except ValueError as error:
            config.refuse(name, value, str(error))
    return DEFAULT_TIMEOUT_SECONDS


def _compression() -> str:
    name, value = variable("COMPRESSION")
    if value.lower() in ("gzip", "none", ""):
        return value.lower() or "none"
    config.refuse(name, value, "gzip or none")
    return "none"


class OTLPExporter:
    """Posts batches to a Collector, Jaeger, Tempo or whatever takes OTLP/HTTP.

    ``endpoint``: the full URL, path included. ``timeout``: seconds for one batch, retries included.
    ``compression``: ``gzip`` or ``none``. ``certificate``, ``client_certificate``, ``client_key``: PEM files.
    What is not given comes from the variables. Raises ConfigurationError for a value that can't be used.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        compression: str | None = None,
        certificate: str | None = None,
        client_certificate: str | None = None,
        client_key: str | None = None,
    ) -> None:
        self.timeout = _timeout() if timeout is None else config.seconds(timeout)
        self.compression = _compression() if compression is None else compression
        if self.compression not in ("gzip", "none"):
            raise ConfigurationError(f"compression={compression!r}: use gzip or none")
        self._sender = Sender(
            _endpoint() if endpoint is None else endpoint,
            {
                **(_headers() if headers is None else {key.lower(): value for key, value in headers.items()}),
                "content-type": "application/x-protobuf",
            },
            self.compression,
            {
                "ca_certs": certificate or variable("CERTIFICATE")[1],
                "cert_file": client_certificate or variable("CLIENT_CERTIFICATE")[1],
                "key_file": client_key or variable("CLIENT_KEY")[1],
            },
        )
        self.endpoint = self._sender.endpoint
        self._parts = Parts()

    @property
    def destination(self) -> str:
        """Endpoint and headers: what can't be delivered waits for an exporter with the same."""
        return self._sender.destination

    @property
    def header_names(self) -> frozenset[str]:
        """The names of the headers that are sent, without their values."""
        return self._sender.header_names

    def __repr__(self) -> str:
        return f"OTLPExporter({base.masked(self.endpoint)!r})"

    def prepare(self) -> None:
        """Import what a request needs."""
        self._sender.prepare()

    def export(self, batch: Batch) -> int | None:
        """Send one request, or several smaller ones, again where the specification allows it, within the timeout.

        Gives how many spans the receiver rejected, if any. Raises ExportError when not all of it was delivered.
        """
        deadline = time.monotonic() + self.timeout
        if batch.deadline is not None:
            deadline = min(deadline, batch.deadline)
        return self._parts.deliver(batch, lambda part: self._sender.post(part.otlp, part, deadline, self._rejected))

    def _rejected(self, answer: bytes) -> int:
        """How many spans a success left out; never sent again."""
        rejected, message = otlp_response.partial_success(answer)
        if rejected or message:
            from fasttrace import _log

            reason = message or "no reason given"
            _log.warning("partial", "%s rejected %d spans: %s", base.masked(self.endpoint), rejected, reason)
        return rejected

    def probe(self, timeout: float) -> None:
        """Send a request without spans, once. Raises ExportError unless it is accepted within so many seconds."""
        self._sender.probe(b"", timeout)

    def flush(self, timeout: float) -> bool:
        """Nothing is held back."""
        return True

    def shutdown(self, timeout: float) -> None:
        """End a wait between two tries and close the connection."""
        self._sender.close()
