"""OTLP over gRPC (opentelemetry-proto, docs/specification.md, "OTLP/gRPC"), with grpcio from the extra ``grpc``."""

from __future__ import annotations

from fasttrace import config
from fasttrace.config import values
from fasttrace.errors import ConfigurationError
from fasttrace.export import identity, otlp_base
from fasttrace.export.grpc import Sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEFAULT_ENDPOINT = "http://localhost:4317"


def _insecure() -> bool:
    name, value = otlp_base.variable("INSECURE")
    if value:
        try:
            return values.boolean(value)
        except ValueError as error:
            config.refuse(name, value, str(error))
    return False


class OTLPGrpcExporter(otlp_base.OTLPBase):
    """Sends batches to a Collector, Jaeger, Tempo or whatever takes OTLP/gRPC.

    ``endpoint``: ``http://`` or ``https://``, host and port; of ``host:port`` alone, ``insecure`` says whether it goes
    without TLS. ``headers``: sent as metadata. ``timeout``: seconds for one batch, retries included. ``compression``:
    ``gzip`` or ``none``. ``certificate``, ``client_certificate``, ``client_key``: PEM files. What is not given comes
    from the variables. ``credentials``: a ``grpc.ChannelCredentials`` in place of the files; then nothing waits on
    disk, since nobody could tell as whom it may be sent. Raises ConfigurationError for a value that can't be used, and
    without grpcio.

    A forked child makes a channel of its own and leaves its parent's alone.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        insecure: bool | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        compression: str | None = None,
        certificate: str | None = None,
        client_certificate: str | None = None,
        client_key: str | None = None,
        credentials: Any = None,
    ) -> None:
        self.timeout: float = otlp_base.timeout(timeout)
        self.compression: str = otlp_base.compression(compression)
        try:
            sender = Sender(
                (otlp_base.variable("ENDPOINT")[1] or DEFAULT_ENDPOINT) if endpoint is None else endpoint,
                otlp_base.headers(headers, identity.GRPC),
                self.compression,
                otlp_base.certificates(certificate, client_certificate, client_key),
                insecure=_insecure() if insecure is None else insecure,
                credentials=credentials,
            )
        except ConfigurationError as error:
            raise otlp_base.named(error, endpoint) from None
        super().__init__(sender)
