"""One readable line for each span."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from fasttrace._core import SpanData
    from fasttrace.export.base import Batch


class ConsoleExporter:
    """Writes a line a span to a text stream, ``sys.stderr`` unless one is given."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream

    def export(self, batch: Batch) -> None:
        """Write the spans of a batch."""
        stream = sys.stderr if self._stream is None else self._stream
        stream.write("".join(line(span) + "\n" for span in batch))
        stream.flush()

    def flush(self, timeout: float) -> bool:
        """Every batch is flushed as it is written."""
        return True

    def shutdown(self, timeout: float) -> None:
        """The stream is the caller's."""


def line(span: SpanData) -> str:
    """Start, service, name, duration, ids, status and attributes of a span."""
    from datetime import UTC, datetime

    start = datetime.fromtimestamp(span.start_time_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
    parts = [
        start,
        str(span.resource.get("service.name", "?")),
        "".join(character if character.isprintable() else "?" for character in span.name),
        f"{span.duration_ns / 1e6:.2f}ms",
        f"{span.trace_id}/{span.span_id}",
    ]
    if span.status.status_code:
        parts.append(
            span.status.status_code.name + (f" ({span.status.description})" if span.status.description else "")
        )
    parts += [f"{key}={value!r}" for key, value in span.attributes.items()]
    return "  ".join(parts)
