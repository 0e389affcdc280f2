"""OTLP over HTTP with binary protobuf (opentelemetry-proto, docs/specification.md, "OTLP/HTTP").

urllib3 is imported when the first batch is sent. Variables: ``OTEL_EXPORTER_OTLP_*`` and
``OTEL_EXPORTER_OTLP_TRACES_*``, the latter first (OpenTelemetry, "OTLP Exporter Configuration").
"""

from __future__ import annotations

import _thread
import os
import sys
import time

from fasttrace import config
from fasttrace._version import __version__
from fasttrace.errors import ConfigurationError, ExportError
from fasttrace.export import otlp_response
from fasttrace.export.parts import Parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fasttrace.export.base import Batch

DEFAULT_ENDPOINT = "http://localhost:4318"
DEFAULT_TIMEOUT_SECONDS = 10.0
LARGE_BODY_BYTES = 256 * 1024
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
RETRIED_STATUSES = (429, 502, 503, 504)
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 5.0
USER_AGENT = f"fasttrace/{__version__} python/{sys.version_info[0]}.{sys.version_info[1]}"


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
        self.endpoint = _endpoint() if endpoint is None else endpoint
        if not self.endpoint.lower().startswith(("http://", "https://")):
            raise ConfigurationError(f"endpoint={self.endpoint!r}: use a URL such as {DEFAULT_ENDPOINT}/v1/traces")
        self.timeout = _timeout() if timeout is None else config.seconds(timeout)
        self.compression = _compression() if compression is None else compression
        if self.compression not in ("gzip", "none"):
            raise ConfigurationError(f"compression={compression!r}: use gzip or none")
        self._certificates = {
            "ca_certs": certificate or variable("CERTIFICATE")[1] or None,
            "cert_file": client_certificate or variable("CLIENT_CERTIFICATE")[1] or None,
            "key_file": client_key or variable("CLIENT_KEY")[1] or None,
        }
        for path in self._certificates.values():
            if path is not None and not os.path.isfile(path):
                raise ConfigurationError(f"{path!r} is not a file: name a PEM file with certificates")
        self._headers = {
            **(_headers() if headers is None else {key.lower(): value for key, value in headers.items()}),
            "content-type": "application/x-protobuf",
            "user-agent": USER_AGENT,
        }
        if self.compression == "gzip":
            self._headers["content-encoding"] = "gzip"
        self._parts = Parts()
        self._pool: Any = None
        self._pool_pid = 0
        # Held while the exporter is open: waiting between tries is waiting for it, and shutdown releases it.
        self._closing = _thread.allocate_lock()
        self._closing.acquire()
        self._closed = False

    def __repr__(self) -> str:
        return f"OTLPExporter({self.endpoint!r})"

    def export(self, batch: Batch) -> int | None:
        """Send one request, or several smaller ones, again where the specification allows it, within the timeout.

        Gives how many spans the receiver rejected, if any. Raises ExportError when not all of it was delivered.
        """
        deadline = time.monotonic() + self.timeout
        if batch.deadline is not None:
            deadline = min(deadline, batch.deadline)
        return self._parts.deliver(batch, lambda body: self._send(body, deadline))

    def _send(self, body: bytes, deadline: float) -> int | None:
        """One request until it is delivered; the count of rejected spans."""
        size = len(body)
        if self.compression == "gzip":
            import gzip

            body = gzip.compress(body, 1)
        attempt = 0
        while True:
            error, retry_after = self._try(body, deadline)
            if error is None:
                return retry_after  # the count of rejected spans
            # A bare 400 is how some gateways refuse a large body.
            error.too_large = error.status == 413 or (error.status == 400 and size >= LARGE_BODY_BYTES)
            pause = self._pause(attempt) if retry_after is None else float(retry_after)
            if not error.retryable or self._closed or time.monotonic() + pause >= deadline:
                raise error
            attempt += 1
            if self._closing.acquire(timeout=pause):
                self._closing.release()
                raise error

    @staticmethod
    def _pause(attempt: int) -> float:
        """Exponential backoff with full jitter."""
        longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**attempt)
        return longest * int.from_bytes(os.urandom(4), "big") / 2**32

    def _try(self, body: bytes, deadline: float) -> tuple[ExportError | None, int | None]:
        """One request: no error and the count of rejected spans, or an error and the seconds to wait, if told."""
        import urllib3

        left = max(0.001, deadline - time.monotonic())
        try:
            response = self._connections().request(
                "POST",
                self.endpoint,
                body=body,
                headers=self._headers,
                timeout=urllib3.Timeout(total=left),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return self._connection_error(error), None
        try:
            content = response.read(MAX_RESPONSE_BYTES + 1, decode_content=True)
            if len(content) <= MAX_RESPONSE_BYTES:
                response.drain_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return self._connection_error(error), None
        finally:
            response.release_conn()
        if len(content) > MAX_RESPONSE_BYTES:
            response.close()
            return ExportError(f"{self.endpoint} answered with more than 4 MiB", ambiguous=True), None
        if 200 <= response.status < 300:
            rejected, message = otlp_response.partial_success(content)
            if rejected or message:
                from fasttrace import _log

                _log.warning(
                    "partial", "%s rejected %d spans: %s", self.endpoint, rejected, message or "no reason given"
                )
            return None, rejected
        retryable = response.status in RETRIED_STATUSES
        reason = otlp_response.readable(content)
        failure = ExportError(f"{self.endpoint} answered {response.status}{reason}", retryable=retryable)
        failure.status = response.status
        return failure, otlp_response.retry_after(response.headers.get("retry-after")) if retryable else None

    def _connection_error(self, error: Exception) -> ExportError:
        """A failure without an answer; the batch may have arrived unless there was no connection at all."""
        import urllib3

        unsent = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
        return ExportError(
            f"{self.endpoint}: {type(error).__name__}: {error}", retryable=True, ambiguous=not isinstance(error, unsent)
        )

    def _connections(self) -> Any:
        """The process's own keep-alive connection; a forked child never writes into its parent's."""
        if self._pool is None or self._pool_pid != os.getpid():
            import urllib3

            options: dict[str, Any] = {
                "num_pools": 1,
                "maxsize": 1,
                **{k: v for k, v in self._certificates.items() if v},
            }
            proxy = _proxy(self.endpoint)
            self._pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
            self._pool_pid = os.getpid()
        return self._pool

    def flush(self, timeout: float) -> bool:
        """Nothing is held back."""
        return True

    def shutdown(self, timeout: float) -> None:
        """End a wait between two tries and close the connection."""
        if self._closed:
            return
        self._closed = True
        self._closing.release()
        if self._pool is not None and self._pool_pid == os.getpid():
            self._pool.clear()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for a URL; never for the loopback."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    parts = urlsplit(url)
    name = parts.hostname or ""
    if name in ("localhost", "::1") or name.startswith("127.") or proxy_bypass_environment(name):
        return None
    return getproxies_environment().get(parts.scheme)
