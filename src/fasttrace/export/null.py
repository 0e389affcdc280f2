"""Nowhere, after everything else has been done."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.export.base import Batch


class NullExporter:
    """Throws batches away; recording, encoding and queueing are as for any other."""

    def export(self, batch: Batch) -> None:
        """Do nothing."""

    def flush(self, timeout: float) -> bool:
        """Nothing is held back."""
        return True

    def shutdown(self, timeout: float) -> None:
        """Nothing to let go of."""
