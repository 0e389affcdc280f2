"""One HTTP endpoint and what is sent to it, on a connection that is kept.

The rules are OTLP/HTTP's (opentelemetry-proto, docs/specification.md, "OTLP/HTTP Response"); Zipkin's are no other.
urllib3 is imported when a sender is made: a fork while another thread imports it would leave a child that never can.
"""

from __future__ import annotations

import os
import sys
import time

from fasttrace import _threads
from fasttrace._version import __version__
from fasttrace.errors import ConfigurationError, ExportError
from fasttrace.export import connection, identity, otlp_response
from fasttrace.export.base import masked
from fasttrace.export.retry import LARGE_BODY_BYTES, MAX_RESPONSE_BYTES, Retries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fasttrace.export.base import Batch

RETRIED_STATUSES = (429, 502, 503, 504)
USER_AGENT = f"fasttrace/{__version__} python/{sys.version_info[0]}.{sys.version_info[1]}"


class Sender:
    """Posts bodies to one endpoint.

    ``compression`` is ``gzip`` or ``none``; ``certificates`` are urllib3's ``ca_certs``, ``cert_file``, ``key_file``;
    ``trust`` names the variable for the first of them. Raises ConfigurationError for an endpoint that is no URL, a file
    that is not there or a header that can't be sent.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        compression: str,
        certificates: Mapping[str, str | None],
        trust: str = "SSL_CERT_FILE",
    ) -> None:
        import urllib3  # noqa: F401

        identity.refuse_credentials(endpoint)
        if not _is_url(endpoint):
            raise ConfigurationError(
                f"endpoint={masked(endpoint)!r}: use a URL such as http://localhost:4318/v1/traces"
            )
        self.endpoint = endpoint
        self._shown = masked(endpoint)
        self._trust = trust
        self._certificates = pem_files(certificates)
        self.identity: identity.Identity = identity.Identity(headers, identity.HTTP)
        self._headers = {**headers, "user-agent": USER_AGENT}
        self._gzip = compression == "gzip"
        if self._gzip:
            self._headers["content-encoding"] = "gzip"
        self._pool: Any = None
        self._open: Any = None
        self._target = ""
        # The pool of the endpoint's host, whose connections are written to directly; None behind a proxy.
        self._host_pool: Any = None
        self._idle = connection.Idle()
        self._pool_pid = 0
        # Which thread the pool is of: gevent's sockets are of no use in another one. Identifiers are used again.
        self._here = _threads.original("_local")()
        self._retries = Retries()

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
        return read(self._retries.until_delivered(lambda: self._try(body, size, deadline), part, deadline))

    def probe(self, body: bytes, timeout: float) -> None:
        """Post a body once. Raises ExportError unless it is accepted within so many seconds."""
        if self._gzip:
            import gzip

            body = gzip.compress(body, 1)
        answer = self._try(body, len(body), time.monotonic() + timeout)
        if isinstance(answer, ExportError):
            raise answer
        if answer.lstrip()[:1] == b"<":
            raise ExportError(f"{self._shown} answered with a web page")

    @property
    def destination(self) -> str:
        """Where the requests go and as whom: they are never sent under other headers."""
        return self.identity.destination(self.endpoint)

    def _try(self, body: bytes, size: int, deadline: float) -> bytes | ExportError:
        """One request: the body of a success, or an error."""
        import urllib3

        kept, clean, legible = None, False, True
        try:
            send = self._connections()
            kept = self._idle.take(self._host_pool)
            response = self._by_urllib3(send, body, deadline) if kept is None else kept.post(body, deadline)
            if isinstance(response, (bytes, ExportError)):
                clean = True
                return response
            opened = response.connection
            try:
                content = _read(response, deadline)
                if content and len(content) <= MAX_RESPONSE_BYTES:
                    response.drain_conn()
            except urllib3.exceptions.DecodeError:
                # What became of the request is said by the status, and would be said again.
                content, legible = b"", False
                response.close()
            except BaseException:
                response.close()  # what is left of the answer would be taken for the next one's
                raise
            finally:
                response.release_conn()
            clean = legible and response.closed
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return self._connection_error(error)
        finally:
            if kept is not None:
                if clean and kept.in_step:
                    self._idle.put(kept)
                else:
                    kept.close()
        if len(content) > MAX_RESPONSE_BYTES:
            response.close()
            return ExportError(f"{self._shown} answered with more than 4 MiB", ambiguous=True)
        if 200 <= response.status < 300:
            if clean and opened is not None:
                self._take_over(opened, response)
            return content
        retryable = response.status in RETRIED_STATUSES
        reason = otlp_response.readable(content, self.identity.redact)
        if 300 <= response.status < 400:
            reason += "; it is a redirect, which is not followed: set the endpoint to where it leads"
        # A gateway without an answer from behind can't tell what became of the request.
        ambiguous = response.status in (502, 504)
        failure = ExportError(
            f"{self._shown} answered {response.status}{reason}", retryable=retryable, ambiguous=ambiguous
        )
        failure.status = response.status
        # A bare 400 is how some gateways refuse a large body.
        failure.too_large = response.status == 413 or (response.status == 400 and size >= LARGE_BODY_BYTES)
        if retryable:
            # "At once" would be again and again, as fast as it can: then the pause is our own.
            failure.retry_after = otlp_response.retry_after(response.headers.get("retry-after")) or None
        return failure

    def _by_urllib3(self, send: Any, body: bytes, deadline: float) -> Any:
        """A request on a connection of urllib3's: its response, of which the body is still to be read, or an error."""
        import urllib3

        try:
            return send(
                "POST",
                self._target,
                body=body,
                headers=self._headers,
                timeout=urllib3.Timeout(total=max(0.001, deadline - time.monotonic())),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except RuntimeError as error:
            # gevent looks names up in a thread, and at interpreter exit there are no new ones: nothing was sent.
            return ExportError(f"{self._shown}: {error}", retryable=True)

    def _take_over(self, opened: Any, response: Any) -> None:
        """From now on write to the connection that urllib3 has opened, unless it is to close or is another's affair."""
        if self._host_pool is not None and response.version == 11 and opened.sock is not None:
            kept = connection.take(opened, self._host_pool, self._target, self._headers)
            if kept is None:
                self._host_pool = None
            else:
                self._idle.put(kept)

    def _connection_error(self, error: Exception) -> ExportError:
        """A failure without an answer; the batch may have arrived unless there was no connection at all."""
        import urllib3

        text = f"{self._shown}: {type(error).__name__}: {str(error).replace(self.endpoint, self._shown)}"
        found = urllib3.exceptions
        # ProxyError: there was no way through the proxy. LocationValueError: the proxy's address is none.
        nowhere = found.NewConnectionError, found.ConnectTimeoutError, found.ProxyError, found.LocationValueError
        unsent = isinstance(error, nowhere)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            unsent = True
            text += f"; {untrusted(self._trust)}"
        failure = ExportError(text, retryable=True, ambiguous=not unsent)
        failure.__cause__ = error
        return failure

    def _connections(self) -> Any:
        """What opens a request on the thread's own connection; a forked child never writes into its parent's.

        Without a proxy that is the pool itself: its manager would take the URL apart for every request.
        """
        if self._pool is None or self._pool_pid != os.getpid() or getattr(self._here, "pool", None) is not self._pool:
            import urllib3

            from fasttrace.export import answer

            options: dict[str, Any] = {"num_pools": 1, "maxsize": 1, **self._certificates}
            proxy, credentials = proxy_for(self.endpoint)
            if proxy:
                headers = urllib3.make_headers(proxy_basic_auth=credentials) if credentials else {}
                self._pool = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
                self._pool.pool_classes_by_scheme = answer.POOLS
                self._open, self._target = self._pool.urlopen, self.endpoint
                self._host_pool = None
            else:
                self._pool = urllib3.PoolManager(**options)
                self._pool.pool_classes_by_scheme = answer.POOLS
                self._host_pool = self._pool.connection_from_url(self.endpoint)
                self._open = self._host_pool.urlopen
                self._target = urllib3.util.parse_url(self.endpoint).request_uri
            self._here.pool = self._pool
            self._pool_pid = os.getpid()
        return self._open

    def close(self) -> None:
        """End a wait between two tries and close the connection."""
        if self._retries.close() and self._pool is not None and self._pool_pid == os.getpid():
            self._idle.close()
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


def pem_files(certificates: Mapping[str, str | None]) -> dict[str, str]:
    """The files that are given. Raises ConfigurationError for one that is not there."""
    given = {name: path for name, path in certificates.items() if path}
    for path in given.values():
        if not os.path.isfile(path):
            raise ConfigurationError(f"{path!r} is not a file: name a PEM file with certificates")
    return given


def untrusted(variable: str) -> str:
    """What to do about a certificate that nobody known has signed."""
    return f"set {variable} to a PEM file with the certificate of the authority that signed the receiver's"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by name or number: no proxy ever stands in between."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _read(response: Any, deadline: float) -> bytes:
    """An answer's body, up to one byte more than it may have; TimeoutError when it does not end in time."""
    if response.length_remaining == 0:
        return bytes(response.read())  # the usual answer: nothing to wait for
    content, late = b"", False
    # What there is, as it comes: a read of so many bytes would wait as long as each of them comes in time.
    while len(content) <= MAX_RESPONSE_BYTES and (
        data := response.read1(MAX_RESPONSE_BYTES + 1 - len(content), decode_content=True)
    ):
        content += data
        if response.length_remaining == 0:
            break  # all of it, however late
        if late:
            raise TimeoutError("the answer did not end in time")
        late = time.monotonic() > deadline  # the end of a body in chunks may be there, too
    return content


def proxy_for(url: str) -> tuple[str, str]:
    """The proxy that the environment names for a URL, never for the loopback, and its ``user:password``, or ""."""
    from urllib.parse import unquote, urlsplit
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass_environment(host):
        return "", ""
    proxy: str = getproxies_environment().get(parts.scheme, "")
    if not proxy:
        return "", ""
    scheme, _, rest = proxy.rpartition("://")
    credentials, _, address = rest.rpartition("@")
    return f"{scheme or 'http'}://{address}", unquote(credentials)
