"""What waits, as batches: records of the ring, or of the traces that are kept, with their scopes and the resource.

The caller holds the pipeline's ``_state`` for every call but ``prepare``.
"""

from __future__ import annotations

from fasttrace import _log
from fasttrace._core import otlp
from fasttrace.export.base import RecordBatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace._core import Recorder
    from fasttrace.held import Held


class Batches:
    """The batches of one recorder, ``max_spans`` and ``max_bytes`` at most, one on its way at a time.

    ``resource()`` gives the resource's attributes, once in a process; ``schema_url`` is the resource's. ``in_flight``
    is the batch that the exporter has, or None; whoever lands it accounts for it.
    """

    def __init__(
        self,
        recorder: Recorder,
        held: Held | None,
        resource: Callable[[], dict[str, Any]],
        max_spans: int,
        max_bytes: int,
    ) -> None:
        self._recorder = recorder
        self._source = recorder.ring if held is None else held
        self._resource = resource
        self.max_spans: int = max_spans
        self.max_bytes: int = max_bytes
        self.schema_url: str = ""
        self.reset()

    def reset(self) -> None:
        """A process starts with nothing on its way; its resource is its own."""
        self.in_flight: RecordBatch | None = None
        self.service_name: str = ""  # as the resource has it, once it is known
        self._resource_bytes: bytes | None = None
        self._encoded_scopes: list[tuple[bytes, str]] = []

    def prepare(self) -> None:
        """Find the resource; a detector that fails costs its attributes, not the spans."""
        if self._resource_bytes is not None:
            return
        try:
            resource = self._resource()
            self.service_name = str(resource.get("service.name", ""))
            self._resource_bytes = otlp.encode_attributes(resource)
        except Exception as error:
            _log.warning("resource", "spans are sent without a resource: %s: %s", type(error).__name__, error)
            self._resource_bytes = b""

    def take(self) -> RecordBatch | None:
        """The next batch, which then is in flight; None when nothing waits. After ``prepare``."""
        if self.in_flight is not None:
            # Whoever took it was interrupted: nobody knows whether it arrived.
            self.in_flight.attempt.retried_ambiguous += len(self.in_flight)
            return self.in_flight
        records = self._source.take(self.max_spans, self.max_bytes)
        if not records:
            return None
        assert self._resource_bytes is not None
        scopes = self._recorder.scopes
        for scope in scopes[len(self._encoded_scopes) :]:
            self._encoded_scopes.append((otlp.encode_scope(scope), scope.schema_url))
        self.in_flight = RecordBatch(records, self._resource_bytes, self._encoded_scopes, self.schema_url)
        return self.in_flight

    def land(self, batch: RecordBatch) -> bool:
        """Take a batch out of flight; whether it is still the caller's to account for."""
        mine = self.in_flight is batch
        if mine:
            self.in_flight = None
        return mine
