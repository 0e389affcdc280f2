"""Between the ring and the batches when there are tail rules: traces wait in the store for their verdict.

What leaves the ring is either kept, and then still counts as queued until it is sent, or held by the store, whose
memory has bounds of its own. The caller holds the pipeline's ``_state`` for every call.
"""

from __future__ import annotations

import time

from fasttrace._core import Store, otlp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace._core import Recorder, Ring
    from fasttrace.sampling.tail import Plan

# What is moved at once: a step without the GIL in the compiled core.
MOVED_SPANS = 4096
MOVED_BYTES = 1024 * 1024


class Held:
    """A ring and the store behind it. ``reasons`` are the names of the bits of a trace."""

    def __init__(self, ring: Ring, store: Store, reasons: tuple[str | None, ...]) -> None:
        self._ring = ring
        self._store = store
        self._reasons = reasons
        self._counted_spans = self._counted_bytes = 0

    def pump(self) -> None:
        """Move what has ended to the store and decide what is due; stops while enough waits to be sent."""
        ring, store = self._ring, self._store
        while store.kept_spans < ring.max_spans:
            records = ring.take(MOVED_SPANS, MOVED_BYTES)
            if not records:
                break
            store.add(records, time.monotonic_ns())
            self._count_kept(otlp.count_records(records), len(records))
        store.tick(time.monotonic_ns())
        self._count_kept()

    def _count_kept(self, moved_spans: int = 0, moved_bytes: int = 0) -> None:
        """What is kept counts as queued from now on, what is held of what was moved no longer."""
        store = self._store
        spans, size = store.kept_spans - self._counted_spans, store.kept_bytes - self._counted_bytes
        self._counted_spans += spans
        self._counted_bytes += size
        # In one step, or others would see room that there is not.
        self._ring.release(moved_spans - spans, moved_bytes - size)

    def take(self, max_spans: int, max_bytes: int) -> bytes:
        """The oldest kept records, as ``Ring.take`` gives them."""
        self.pump()
        records: bytes = self._store.take(max_spans, max_bytes)
        self._counted_spans, self._counted_bytes = self._store.kept_spans, self._store.kept_bytes
        return records

    def end_grace(self, *, for_good: bool) -> None:
        """Decide now for all traces whose local root has ended; ``for_good``: for all, and forget what is dropped."""
        self.pump()
        if for_good:
            self._store.close(time.monotonic_ns())
        else:
            self._store.settle(time.monotonic_ns())
        self._count_kept()

    @property
    def due(self) -> bool:
        """Whether some trace's grace is running."""
        return self._store.next_due_ns != 0

    def recall(self, step: Callable[[Store], int]) -> int:
        """Keep what a step on the store keeps; how many spans those are."""
        self.pump()
        kept = step(self._store)
        self._count_kept()
        return kept

    def after_fork_in_child(self) -> None:
        """What is held is the parent's."""
        self._store.reset_after_fork()
        self._counted_spans = self._counted_bytes = 0

    def stats(self) -> dict[str, Any]:
        """The store's part of ``fasttrace.stats``."""
        figures = self._store.stats()
        oldest = figures["oldest_dropped_ns"]
        return {
            "held": figures["held_spans"],
            "held_bytes": figures["held_bytes"],
            "held_traces": figures["undecided"] + figures["dropped"],
            "recall_seconds": (time.monotonic_ns() - oldest) / 1e9 if oldest else 0.0,
            "sampled_out": figures["sampled_out"],
            "trace_evicted": figures["trace_evicted"],
            "truncated_traces": figures["truncated_traces"],
            "kept_traces": {
                self._reasons[bit] or str(bit): number for bit, number in sorted(figures["kept_traces"].items())
            },
        }


def hold(recorder: Recorder, plan: Plan) -> Held:
    """The store of traces that the tail rules may keep; from now on the recorder records all of them."""
    recorder.tail_rules = plan.core_rules
    recorder.record_unsampled = True
    return Held(recorder.ring, Store(rules=plan.store_rules, reasons=plan.reasons), plan.reasons)
