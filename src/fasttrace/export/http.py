"""One HTTP endpoint and what is sent to it: retries with backoff, within a deadline, on a connection that is kept.

The rules are OTLP/HTTP's (opentelemetry-proto, docs/specification.md, "OTLP/HTTP Response"); Zipkin's are no other.
urllib3 is imported when the first request is sent.
"""

from __future__ import annotations

import os
import sys
import time

from fasttrace import _threads
from fasttrace._version import __version__
from fasttrace.errors import ConfigurationError, ExportError
from fasttrace.export import otlp_response
from fasttrace.export.base import masked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fasttrace.export.base import Attempt, Batch

LARGE_BODY_BYTES = 256 * 1024
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
# Shorter words of header values, such as Bearer or a tenant's number, are no secrets worth a hole in a text.
SECRET_CHARACTERS = 8
RETRIED_STATUSES = (429, 502, 503, 504)
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 5.0
# How often a wait between two tries looks whether there is still time for it.
LOOK_SECONDS = 0.1
USER_AGENT = f"fasttrace/{__version__} python/{sys.version_info[0]}.{sys.version_info[1]}"


class Sender:
    """Posts bodies to one endpoint.

    ``compression`` is ``gzip`` or ``none``; ``certificates`` are urllib3's ``ca_certs``, ``cert_file``, ``key_file``.
    Raises ConfigurationError for an endpoint that is no URL or a file that is not there.
    """

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], compression: str, certificates: Mapping[str, str | None]
    ) -> None:
        if not _is_url(endpoint):
            raise ConfigurationError(
                f"endpoint={masked(endpoint)!r}: use a URL such as http://localhost:4318/v1/traces"
            )
        self.endpoint = endpoint
        self._shown = masked(endpoint)
        # A receiver may send back what it was sent; it must not reach a log line.
        self._secrets = [
            word.encode()
            for name, value in headers.items()
            if name != "content-type"
            for word in value.split()
            if len(word) >= SECRET_CHARACTERS
        ]
        self._certificates = {name: path for name, path in certificates.items() if path}
        for path in self._certificates.values():
            if not os.path.isfile(path):
                raise ConfigurationError(f"{path!r} is not a file: name a PEM file with certificates")
        self._headers = {**headers, "user-agent": USER_AGENT}
        self._identity = set(headers)
        self._gzip = compression == "gzip"
        if self._gzip:
            self._headers["content-encoding"] = "gzip"
        self._pool: Any = None
        self._pool_pid = 0
        # Which thread the pool is of: gevent's sockets are of no use in another one. Identifiers are used again.
        self._here = _threads.original("_local")()
        # Held while the sender is open: waiting between tries is waiting for it, and close releases it.
        self._closing = _threads.original("allocate_lock")()
        self._closing.acquire()
        self._closed = False

    def prepare(self) -> None:
        """Import what a request needs."""
        import encodings.idna  # noqa: F401  # what sockets write host names with
        import gzip  # noqa: F401

        self._connections()

    def post(self, body: bytes, part: Batch, deadline: float, read: Callable[[bytes], int]) -> int:
        """The body of a part of a batch until it is delivered; what ``read`` makes of the answer: the rejected spans.

        ``deadline`` is on ``time.monotonic()``. Raises ExportError when it was not delivered.
        """
        size = len(body)
        if self._gzip:
            import gzip

            body = gzip.compress(body, 1)
        attempt = 0
        while True:
            answer = self._try(body, deadline)
            if isinstance(answer, bytes):
                return read(answer)
            error = answer
            # A bare 400 is how some gateways refuse a large body.
            error.too_large = error.status == 413 or (error.status == 400 and size >= LARGE_BODY_BYTES)
            pause = self._pause(attempt) if error.retry_after is None else error.retry_after
            if not error.retryable or time.monotonic() + pause >= deadline or not self._wait(pause, part.attempt):
                raise error
            attempt += 1
            if error.ambiguous:
                part.attempt.retried_ambiguous += len(part)

    def probe(self, body: bytes, timeout: float) -> None:
        """Post a body once. Raises ExportError unless it is accepted within so many seconds."""
        if self._gzip:
            import gzip

            body = gzip.compress(body, 1)
        answer = self._try(body, time.monotonic() + timeout)
        if isinstance(answer, ExportError):
            raise answer
        if answer.lstrip()[:1] == b"<":
            raise ExportError(f"{self._shown} answered with a web page")

    def _wait(self, pause: float, attempt: Attempt) -> bool:
        """Wait before the next try; False when there should be none."""
        end = time.monotonic() + pause
        while not self._closed and not attempt.urgent():
            left = end - time.monotonic()
            if left <= 0:
                return True
            if self._closing.acquire(timeout=min(left, LOOK_SECONDS)):
                self._closing.release()
        return False

    @property
    def header_names(self) -> frozenset[str]:
        """The names of the headers that make it this one's, without their values."""
        return frozenset(self._identity)

    @property
    def destination(self) -> str:
        """Where the requests go and as whom: they are never sent under other headers."""
        return "\n".join([self.endpoint, *(f"{name}: {self._headers[name]}" for name in sorted(self._identity))])

    @staticmethod
    def _pause(attempt: int) -> float:
        """Exponential backoff with full jitter."""
        longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**attempt)
        return longest * int.from_bytes(os.urandom(4), "big") / 2**32

    def _try(self, body: bytes, deadline: float) -> bytes | ExportError:
        """One request: the body of a success, or an error."""
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
            return self._connection_error(error)
        try:
            content: bytes = response.read(MAX_RESPONSE_BYTES + 1, decode_content=True)
            if len(content) <= MAX_RESPONSE_BYTES:
                response.drain_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return self._connection_error(error)
        finally:
            response.release_conn()
        if len(content) > MAX_RESPONSE_BYTES:
            response.close()
            return ExportError(f"{self._shown} answered with more than 4 MiB", ambiguous=True)
        if 200 <= response.status < 300:
            return content
        retryable = response.status in RETRIED_STATUSES
        for secret in self._secrets:
            content = content.replace(secret, b"***")
        reason = otlp_response.readable(content)
        # A gateway without an answer from behind can't tell what became of the request.
        ambiguous = response.status in (502, 504)
        failure = ExportError(
            f"{self._shown} answered {response.status}{reason}", retryable=retryable, ambiguous=ambiguous
        )
        failure.status = response.status
        if retryable:
            failure.retry_after = otlp_response.retry_after(response.headers.get("retry-after"))
        return failure

    def _connection_error(self, error: Exception) -> ExportError:
        """A failure without an answer; the batch may have arrived unless there was no connection at all."""
        import urllib3

        unsent = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
        failure = ExportError(
            f"{self._shown}: {type(error).__name__}: {str(error).replace(self.endpoint, self._shown)}",
            retryable=True,
            ambiguous=not isinstance(error, unsent),
        )
        failure.__cause__ = error
        return failure

    def _connections(self) -> Any:
        """The thread's own keep-alive connection; a forked child never writes into its parent's."""
        if self._pool is None or self._pool_pid != os.getpid() or getattr(self._here, "pool", None) is not self._pool:
            import urllib3

            options: dict[str, Any] = {"num_pools": 1, "maxsize": 1, **self._certificates}
            proxy = proxy_for(self.endpoint)
            if proxy:
                credentials = _credentials(proxy)
                if credentials:
                    options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=credentials)
                self._pool = urllib3.ProxyManager(proxy, **options)
            else:
                self._pool = urllib3.PoolManager(**options)
            self._here.pool = self._pool
            self._pool_pid = os.getpid()
        return self._pool

    def close(self) -> None:
        """End a wait between two tries and close the connection."""
        if self._closed:
            return
        self._closed = True
        self._closing.release()
        if self._pool is not None and self._pool_pid == os.getpid():
            # clear() leaves what was opened at exit to the garbage collector.
            for key in self._pool.pools.keys():  # noqa: SIM118 - it has no __iter__
                self._pool.pools[key].close()
            self._pool.clear()


def _is_url(text: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _credentials(url: str) -> str | None:
    """``user:password`` of a URL, decoded."""
    from urllib.parse import unquote, urlsplit

    authority, at, _ = urlsplit(url).netloc.rpartition("@")
    return unquote(authority) if at else None


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL; never for the loopback."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    parts = urlsplit(url)
    name = parts.hostname or ""
    if name in ("localhost", "::1") or name.startswith("127.") or proxy_bypass_environment(name):
        return None
    return getproxies_environment().get(parts.scheme)
