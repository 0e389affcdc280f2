"""One gRPC endpoint and what is sent to it, on a channel that is kept.

grpcio is imported when a sender is made: a fork while another thread imports it would leave a child that never can.

The rules are OTLP/gRPC's (opentelemetry-proto, docs/specification.md, "OTLP/gRPC Response" and "OTLP/gRPC Throttling").
"""

from __future__ import annotations

import importlib
import os
import re
import time
from contextlib import suppress

from fasttrace.errors import ConfigurationError, ExportError
from fasttrace.export import forks, identity, otlp_response
from fasttrace.export.http import USER_AGENT, is_loopback, pem_files, untrusted
from fasttrace.export.retry import LARGE_BODY_BYTES, MAX_RESPONSE_BYTES, Retries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fasttrace.export.base import Batch

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RETRIED = ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
# After these the request may have arrived, unless more is known.
AMBIGUOUS = ("CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "DATA_LOSS")
# How gRPC says that there was no connection to send anything on.
UNSENT = ("failed to connect to", "errors resolving", "dns resolution failed", "name resolution failure")
# How servers in C++, Go, Java and Rust say that a request is too large.
OVERSIZE = ("larger than max", "exceeds maximum size", "length too large")
# One less than the usual limit of a server: the number tells apart who refused whose message.
MAX_ANSWER_BYTES = MAX_RESPONSE_BYTES - 1
# How long a process that can't use gRPC rests between two looks at that: it never can.
NEVER_SECONDS = 600.0


class Sender:
    """Calls ``TraceService/Export`` at one endpoint.

    ``endpoint`` is a URL without a path, or whatever gRPC takes for a target, where ``insecure`` decides on TLS.
    ``compression`` is ``gzip`` or ``none``; ``certificates`` are ``ca_certs``, ``cert_file``, ``key_file``. Raises
    ConfigurationError for an endpoint, a file or a header that can't be used, and when grpcio is not installed.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        compression: str,
        certificates: Mapping[str, str | None],
        *,
        insecure: bool,
        credentials: Any = None,
    ) -> None:
        self._target, self._tls = target(endpoint, insecure=insecure)
        self.endpoint: str = endpoint if "://" in endpoint else f"{'https' if self._tls else 'http'}://{endpoint}"
        self._certificates = pem_files(certificates)
        if "key_file" in self._certificates and "cert_file" not in self._certificates:
            raise ConfigurationError(
                "a client key without its certificate: set client_certificate or OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
            )
        self._given_credentials = credentials
        self.identity: identity.Identity = identity.Identity(headers, identity.GRPC)
        # Values of names that end in -bin are bytes to gRPC.
        self._metadata = [(name, value.encode() if name.endswith("-bin") else value) for name, value in headers.items()]
        self._gzip = compression == "gzip"
        self._channel: Any = None
        self._channel_pid = 0
        # Channels of the parent: neither closed nor collected in a child, where either might wait for its threads.
        self._inherited: list[Any] = []
        self._retries = Retries()
        self._gate = forks.Gate()
        check_installed()

    @property
    def destination(self) -> str | None:
        """Where the requests go and as whom: they are never sent under other headers.

        None with credentials given, which don't tell as whom.
        """
        return self.identity.destination(self.endpoint) if self._given_credentials is None else None

    def post(self, body: bytes, part: Batch, deadline: float, read: Callable[[bytes], int]) -> int:
        """The body of a part of a batch until it is delivered; what ``read`` makes of the answer: the rejected spans.

        ``deadline`` is on ``time.monotonic()``. Raises ExportError when it was not delivered.
        """
        return read(self._retries.until_delivered(lambda: self._try(body, deadline), part, deadline))

    def prepare(self) -> None:
        """Nothing: grpcio is imported whole, and connects at the first request."""

    def probe(self, body: bytes, timeout: float) -> None:
        """Send a body once. Raises ExportError unless it is accepted within so many seconds."""
        answer = self._try(body, time.monotonic() + timeout)
        if isinstance(answer, ExportError):
            raise answer

    def _try(self, body: bytes, deadline: float) -> bytes | ExportError:
        """One request: the answer, or an error."""
        import grpc

        gate = self._gate
        gate.if_forked()
        with gate.door:
            pass
        with gate.inside:
            if forks.copied_inside():
                return self._unusable()
            if self._retries.closed:
                return ExportError(f"{self.endpoint}: the exporter was shut down", retryable=True)
            try:
                channel = self._connected()
            except OSError as error:
                return ExportError(f"{self.endpoint}: a certificate can't be read: {error}", retryable=True)
            try:
                # A stream of one message is the same on the wire, and this kind of call another thread can cancel.
                gate.given_up = False
                gate.call = call = channel.unary_stream(METHOD)(
                    body,
                    timeout=max(0.001, deadline - time.monotonic()),
                    metadata=self._metadata,
                    compression=grpc.Compression.Gzip if self._gzip else grpc.Compression.NoCompression,
                )
                # There is one; a receiver that has more to say must not fill the memory with it.
                answers: list[bytes] = []
                for answer in call:
                    answers = answers or [answer]
            except grpc.RpcError as error:
                if _unsent(error):
                    # The next channel connects at once, whereas this one would go by a backoff of its own.
                    self._channel = None
                    channel.close()
                failure = self._failure(error, len(body))
                # Its traceback's frames refer to it: a collection would free the call whenever, in a forked child too.
                error.__traceback__ = None
                return failure
            except ValueError:
                if not self._retries.closed:
                    raise
                # Closed by a shutdown before the call began.
                return ExportError(f"{self.endpoint}: the exporter was shut down", retryable=True)
            finally:
                gate.call = call = None
        return answers[0] if answers else ExportError(f"{self.endpoint} answered OK and nothing else", ambiguous=True)

    def _failure(self, error: Any, size: int) -> ExportError:
        """What a status that is not OK means for the batch."""
        code: str = error.code().name
        details: str = error.details() or ""
        lowered = details.lower()
        if "client: received message" in lowered or f"vs. {MAX_ANSWER_BYTES})" in lowered:
            return ExportError(f"{self.endpoint} answered with more than 4 MiB", ambiguous=True)
        text = f"{self.endpoint}: {code}: {otlp_response.one_line(self.identity.redact(details))}"
        if "CERTIFICATE_VERIFY_FAILED" in details:
            text += f"; {untrusted('OTEL_EXPORTER_OTLP_CERTIFICATE')}"
        delay = _retry_delay(error)
        failure = ExportError(
            text,
            retryable=code in RETRIED or (code == "RESOURCE_EXHAUSTED" and delay is not None),
            ambiguous=code in AMBIGUOUS and delay is None and not _unsent(error),
        )
        oversize = any(words in lowered for words in OVERSIZE)
        if (code == "RESOURCE_EXHAUSTED" and delay is None and oversize) or (
            code == "OUT_OF_RANGE" and (oversize or size >= LARGE_BODY_BYTES)
        ):
            failure.too_large, failure.retryable = True, False
        if failure.retryable:
            failure.retry_after = delay or (0.0 if self._gate.given_up else None)
        return failure

    def _unusable(self) -> ExportError:
        """The answer of a process that must not use gRPC."""
        failure = ExportError(
            f"{self.endpoint}: this process can't use gRPC, having been forked in the middle of a request; "
            "fork before the first span, or export by http/protobuf",
            retryable=True,
        )
        failure.retry_after = NEVER_SECONDS
        return failure

    def _connected(self) -> Any:
        """The process's own channel; a forked child never uses its parent's."""
        if self._channel is not None and self._channel_pid == os.getpid():
            return self._channel
        import grpc

        if self._channel is not None:
            self._inherited.append(self._channel)
        options = [
            ("grpc.primary_user_agent", USER_AGENT),
            ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
            ("grpc.max_send_message_length", -1),
            # Tries are counted here, and only here; connections and their backoff are not shared with the application.
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.use_local_subchannel_pool", 1),
            ("SingleThreadedUnaryStream", 1),
        ]
        if is_loopback(_host(self._target)):
            options.append(("grpc.enable_http_proxy", 0))
        if self._tls:
            self._channel = grpc.secure_channel(self._target, self._credentials(grpc), options)
        else:
            self._channel = grpc.insecure_channel(self._target, options)
        self._channel_pid = os.getpid()
        return self._channel

    def _credentials(self, grpc: Any) -> Any:
        """TLS with the files as they are now; a certificate without a key file has the key in it."""
        if self._given_credentials is not None:
            return self._given_credentials
        ca, chain = (self._pem(name) for name in ("ca_certs", "cert_file"))
        key = self._pem("key_file") or chain
        return grpc.ssl_channel_credentials(ca, key, chain)

    def _pem(self, name: str) -> bytes | None:
        path = self._certificates.get(name)
        if path is None:
            return None
        with open(path, "rb") as file:
            return file.read()

    def close(self) -> None:
        """End a wait between two tries or a request, and close the channel."""
        if self._retries.close() and self._channel is not None and self._channel_pid == os.getpid():
            self._channel.close()


def check_installed() -> None:
    """ConfigurationError without grpcio."""
    try:
        import grpc  # noqa: F401
    except ImportError as error:
        from fasttrace._distribution import distribution_name

        raise ConfigurationError(
            f"OTLP over gRPC needs grpcio, which can't be imported ({error}): pip install '{distribution_name()}[grpc]'"
        ) from None
    with suppress(ImportError):
        importlib.import_module("grpc._channel")  # which it imports only with its first channel: in our thread


def target(endpoint: str, *, insecure: bool) -> tuple[str, bool]:
    """gRPC's target and whether to use TLS. Raises ConfigurationError for what is neither a URL nor a target."""
    use = "use http://host:4317, https://host:4317 or host:4317, without a path"
    identity.refuse_credentials(endpoint)
    scheme, separator, rest = endpoint.partition("://")
    if scheme.lower() in ("http", "https") and separator:
        rest = rest.rstrip("/")
        if not rest or re.search(r"[/?#\s]", rest):
            raise ConfigurationError(f"endpoint={endpoint!r}: {use}")
        tls = scheme.lower() == "https"
        if not re.search(r":\d+$", rest):
            rest += ":443" if tls else ":80"
        return rest, tls
    if re.match(r"(unix|unix-abstract|dns|ipv4|ipv6|vsock):", endpoint) or re.fullmatch(r"[^/?#\s]+:\d+", endpoint):
        return endpoint, not insecure
    raise ConfigurationError(f"endpoint={endpoint!r}: {use}")


def _host(target: str) -> str:
    """The host of ``host:port`` or ``[host]:port``, also behind the name of a resolver."""
    return re.sub(r"^(dns|ipv4|ipv6):(//[^/]*/)?", "", target).rpartition(":")[0].strip("[]").lower()


def _unsent(error: Any) -> bool:
    """Whether there was no connection to send anything on."""
    return error.code().name == "UNAVAILABLE" and (error.details() or "").lower().startswith(UNSENT)


def _retry_delay(error: Any) -> float | None:
    """The seconds of the ``RetryInfo`` in a status's details, if there is one."""
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            return otlp_response.retry_delay(value)
    return None
