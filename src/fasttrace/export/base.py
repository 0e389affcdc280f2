"""What an exporter is, and what it gets: a batch of finished spans as bytes."""

from __future__ import annotations

from fasttrace._core import decode, otlp
from fasttrace.export import request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from fasttrace._core import SpanData

    class Exporter(Protocol):
        """Any object with these three methods.

        With an attribute ``destination``, text that tells where its spans go, what it can't deliver waits on
        disk and is delivered later, by this process or the next one with the same destination. A method ``prepare()``
        is called before the first batch of a process; it imports what will be needed, and forks wait for it.
        ``fasttrace doctor`` connects to its ``endpoint``, a URL or host:port, and calls its ``probe(timeout)``, which
        raises ExportError when the receiver does not take a request without spans; it shows its ``header_names``.
        """

        def export(self, batch: Batch) -> int | None:
            """Deliver a batch; None, or how many spans the receiver refused. Raises when it was not delivered.

            An ExportError says whether it is worth another try.
            """
            ...

        def flush(self, timeout: float) -> bool:
            """Deliver what is held back, within ``timeout`` seconds; True when nothing is left."""
            ...

        def shutdown(self, timeout: float) -> None:
            """Let go of files and connections, within ``timeout`` seconds."""
            ...


def masked(url: str) -> str:
    """A URL without what may be secret in it: user name and password, query and fragment."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    authority = rest[: min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))]
    _, at, host = authority.rpartition("@")
    port = host.rpartition("]")[2].partition(":")[2]
    if not at and "@" in rest and port and not port.isdigit():
        # A password with a slash or a question mark in it: no URL, but a secret.
        return f"{scheme}{separator}***@{masked(rest.rpartition('@')[2])}"
    path = rest[len(authority) :]
    shown = path[: min((path.find(mark) for mark in "?#" if mark in path), default=len(path))]
    secret = path[len(shown) : len(shown) + 1]
    return f"{scheme}{separator}{'***@' if at else ''}{host}{shown}{secret + '***' if secret else ''}"


def address(exporter: object) -> str | None:
    """Where an exporter's spans go, for people to read: its endpoint, folder or file; None for neither."""
    try:
        endpoint = getattr(exporter, "endpoint", None)
        if isinstance(endpoint, str):
            return masked(endpoint)
        path = getattr(exporter, "directory", None) or getattr(exporter, "path", None)
        return path if isinstance(path, str) else None
    except Exception:  # a property of the user's
        return None


def _never() -> bool:
    return False


class Attempt:
    """One call of ``export``, shared by the parts of its batch.

    ``deadline``: the ``time.monotonic()`` by which it should be over, or None. ``urgent()``: whether to give up
    rather than wait for another try. ``retried_ambiguous``: spans that were sent again though they may have arrived.
    """

    __slots__ = ("deadline", "retried_ambiguous", "urgent")

    def __init__(self, deadline: float | None = None, urgent: Callable[[], bool] = _never) -> None:
        self.deadline: float | None = deadline
        self.urgent: Callable[[], bool] = urgent
        self.retried_ambiguous: int = 0


class Batch:
    """Finished spans: ``len()`` counts them, iterating gives ``SpanData``, ``otlp`` is the request's bytes.

    ``Batch(otlp)`` for bytes of one's own.
    """

    def __init__(self, otlp: bytes | None, spans: int | None = None) -> None:
        self.attempt: Attempt = Attempt()
        self._otlp = otlp
        self._count = spans
        self._spans: list[SpanData] | None = None

    @property
    def deadline(self) -> float | None:
        """The ``time.monotonic()`` by which the export should be over, or None."""
        return self.attempt.deadline

    @property
    def otlp(self) -> bytes:
        """The batch as an OTLP ``ExportTraceServiceRequest``."""
        if self._otlp is None:
            self._otlp = self._assemble()
        return self._otlp

    def _assemble(self) -> bytes:
        raise NotImplementedError

    def halves(self) -> tuple[Batch, Batch]:
        """The first and the second half of the spans, for a receiver to whom the whole is too large."""
        first = len(self) // 2
        bodies = request.split(self.otlp, first)
        parts = Batch(bodies[0], first), Batch(bodies[1], len(self) - first)
        for part in parts:
            part.attempt = self.attempt
        return parts

    def __len__(self) -> int:
        if self._count is None:
            self._count = request.count_spans(self.otlp)
        return self._count

    def __iter__(self) -> Iterator[SpanData]:
        if self._spans is None:
            self._spans = decode.decode_request(self.otlp)
        return iter(self._spans)


class RecordBatch(Batch):
    """Records as the queue holds them; their OTLP is put together when it is asked for."""

    def __init__(
        self,
        records: bytes,
        resource_bytes: bytes,
        encoded_scopes: list[tuple[bytes, str]],
        schema_url: str = "",
    ) -> None:
        super().__init__(None)
        self.records = records
        self._resource_bytes = resource_bytes
        self._encoded_scopes = encoded_scopes
        self._schema_url = schema_url

    def _assemble(self) -> bytes:
        return otlp.assemble(self.records, self._resource_bytes, self._encoded_scopes, b"", self._schema_url)

    def __len__(self) -> int:
        if self._count is None:
            self._count = otlp.count_records(self.records)
        return self._count
