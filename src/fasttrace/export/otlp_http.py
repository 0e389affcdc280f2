"""OTLP over HTTP with binary protobuf (opentelemetry-proto, docs/specification.md, "OTLP/HTTP")."""

from __future__ import annotations

from fasttrace.errors import ConfigurationError
from fasttrace.export import identity, otlp_base
from fasttrace.export.http import Sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ENDPOINT = "http://localhost:4318"


def _endpoint() -> str:
    """The traces' endpoint as it is, or the general one with ``/v1/traces`` behind its path."""
    name, value = otlp_base.variable("ENDPOINT")
    if name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
        return value
    base, mark, query = (value or DEFAULT_ENDPOINT).partition("?")
    return f"{base.rstrip('/')}/v1/traces{mark}{query}"


class OTLPExporter(otlp_base.OTLPBase):
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
        self.timeout: float = otlp_base.timeout(timeout)
        self.compression: str = otlp_base.compression(compression)
        try:
            sender = Sender(
                _endpoint() if endpoint is None else endpoint,
                {**otlp_base.headers(headers, identity.HTTP), "content-type": "application/x-protobuf"},
                self.compression,
                otlp_base.certificates(certificate, client_certificate, client_key),
                trust="OTEL_EXPORTER_OTLP_CERTIFICATE",
            )
        except ConfigurationError as error:
            raise otlp_base.named(error, endpoint) from None
        super().__init__(sender)
