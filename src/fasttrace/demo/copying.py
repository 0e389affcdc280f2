"""Spans to the spool, which the demo reads, and a copy of them to a receiver."""

from __future__ import annotations

from fasttrace.export import OTLPExporter, SpoolExporter
from fasttrace.export.base import Batch


def receiver(endpoint: str) -> OTLPExporter:
    """What sends to the OTLP/HTTP receiver with this base URL. Raises ConfigurationError."""
    return OTLPExporter(f"{endpoint.rstrip('/')}/v1/traces")


class CopyingExporter:
    """Writes each batch to the spool first: whatever becomes of the copy, the demo has its spans."""

    def __init__(self, spool: SpoolExporter, copy: OTLPExporter) -> None:
        self.spool = spool
        self.copy = copy

    def export(self, batch: Batch) -> int | None:
        """How many spans the receiver refused. Raises ExportError when the copy did not arrive."""
        self.spool.export(batch)
        return self.copy.export(batch)

    def flush(self, timeout: float) -> bool:
        """Deliver what is held back, within ``timeout`` seconds; True when nothing is left."""
        return self.spool.flush(timeout) and self.copy.flush(timeout)

    def shutdown(self, timeout: float) -> None:
        """Let go of files and connections, within ``timeout`` seconds."""
        self.spool.shutdown(timeout)
        self.copy.shutdown(timeout)
