"""Batches that a receiver finds too large: halved until it takes them, and the size remembered."""

from __future__ import annotations

from fasttrace.errors import ExportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fasttrace.export.base import Batch


class Parts:
    """Sends a batch whole, or in parts that the receiver takes.

    ``max_bytes`` is one less than the smallest request, in bytes of OTLP, that was refused; None before a refusal.
    """

    def __init__(self) -> None:
        self.max_bytes: int | None = None

    def deliver(self, batch: Batch, send: Callable[[Batch], int]) -> int:
        """Send all of it and give how many spans were rejected.

        ``send`` gets a part, gives the rejected spans and raises ExportError, with ``too_large`` for a
        refusal by size. A part that is too large by itself does not keep the others back; after another failure the
        rest is not tried. At the end one ExportError says how many spans did arrive, and which parts did not.
        """
        delivered = rejected = 0
        failure: ExportError | None = None
        waiting = [batch]
        while waiting:
            part = waiting.pop(0)
            size = len(part.otlp)
            if self.max_bytes is not None and size > self.max_bytes and len(part) > 1:
                waiting[:0] = part.halves()
                continue
            try:
                rejected += send(part)
            except ExportError as error:
                if error.too_large and len(part) > 1:
                    self.max_bytes = size - 1
                    waiting[:0] = part.halves()
                    continue
                failure = error
                if not error.too_large:
                    waiting.insert(0, part)
                    break
            else:
                delivered += len(part)
        if failure is None:
            return rejected
        failure.delivered_spans, failure.rejected_spans, failure.undelivered = delivered, rejected, waiting
        raise failure
