"""What an exporter is, and what it gets: a batch of finished spans as bytes."""

from __future__ import annotations

from fasttrace._core import InstrumentationScope, SpanData, decode, otlp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    class Exporter(Protocol):
        """Any object with these three methods."""

        def export(self, batch: Batch) -> int | None:
            """Deliver a batch; None, or how many spans the receiver refused. Raises when it was not delivered."""
            ...

        def flush(self, timeout: float) -> bool:
            """Deliver what is held back, within ``timeout`` seconds; True when nothing is left."""
            ...

        def shutdown(self, timeout: float) -> None:
            """Let go of files and connections, within ``timeout`` seconds."""
            ...


class Batch:
    """Finished spans: ``len()`` counts them, iterating gives ``SpanData``, ``otlp`` is the request's bytes.

    ``nbytes`` is the size of the records in the queue, ``deadline`` the ``time.monotonic()`` by which the
    caller wants the export to be over, or None.
    """

    def __init__(
        self,
        records: bytes,
        resource_attributes: dict[str, Any],
        resource_bytes: bytes,
        scopes: list[InstrumentationScope],
        encoded_scopes: list[tuple[bytes, str]],
    ) -> None:
        self.records = records
        self.resource_attributes = resource_attributes
        self.scopes = scopes
        self.deadline: float | None = None
        self._resource_bytes = resource_bytes
        self._encoded_scopes = encoded_scopes
        self._otlp: bytes | None = None
        self._spans: list[SpanData] | None = None
        self._count: int | None = None

    @property
    def nbytes(self) -> int:
        """The size of the records: a little more than that of their OTLP."""
        return len(self.records)

    @property
    def otlp(self) -> bytes:
        """The batch as an OTLP ``ExportTraceServiceRequest``."""
        if self._otlp is None:
            self._otlp = otlp.assemble(self.records, self._resource_bytes, self._encoded_scopes)
        return self._otlp

    def halves(self) -> tuple[Batch, Batch]:
        """The first and the second half of the spans, for a receiver to whom the whole is too large."""
        middle = 0
        for _ in range(len(self) // 2):
            middle += int.from_bytes(self.records[middle + 4 : middle + 8], "little")
        parts = []
        for records in (self.records[:middle], self.records[middle:]):
            part = Batch(records, self.resource_attributes, self._resource_bytes, self.scopes, self._encoded_scopes)
            part.deadline = self.deadline
            parts.append(part)
        return parts[0], parts[1]

    def __len__(self) -> int:
        if self._count is None:
            self._count = otlp.count_records(self.records)
        return self._count

    def __iter__(self) -> Iterator[SpanData]:
        if self._spans is None:
            self._spans = decode.decode_request(self.otlp)
        return iter(self._spans)
