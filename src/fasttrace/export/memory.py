"""Spans kept in memory, for tests."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace._core import SpanData
    from fasttrace.export.base import Batch


class MemoryExporter:
    """Keeps what it gets in ``spans``, decoded, until ``clear()``. Unbounded: for tests."""

    def __init__(self) -> None:
        self.spans: list[SpanData] = []

    def export(self, batch: Batch) -> None:
        """Keep the spans of a batch."""
        self.spans.extend(batch)

    def clear(self) -> None:
        """Forget them."""
        self.spans = []

    def flush(self, timeout: float) -> bool:
        """Nothing is held back."""
        return True

    def shutdown(self, timeout: float) -> None:
        """The spans stay readable."""
