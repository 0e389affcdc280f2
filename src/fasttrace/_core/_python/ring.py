"""The bounded queue between the spans that end and the thread that sends them."""

from __future__ import annotations

from _thread import RLock, allocate_lock
from collections import deque

from fasttrace._core.layout import (
    DEFAULT_QUEUE_BYTES,
    DEFAULT_QUEUE_SPANS,
    MAX_RECORD_BYTES,
    RING_BYTES,
    check_record,
)

__all__ = ["Ring"]


class Ring:
    """Module ``ring``. The bounded queue of records between the spans that end and the thread that sends.

    ``Ring(max_spans=10_000, max_bytes=16 MiB, ring_bytes=1 MiB)``. Depth counts what was pushed and not
    yet released. Many threads may push; the consuming calls are for one thread at a time.
    """

    __slots__ = (
        "_depth_lock",
        "_queued_bytes",
        "_queued_spans",
        "_records",
        "_ring_bytes",
        "_sequence",
        "_signalled",
        "_staged_bytes",
        "_wake_lock",
        "max_bytes",
        "max_spans",
    )

    def __init__(
        self,
        max_spans: int = DEFAULT_QUEUE_SPANS,
        max_bytes: int = DEFAULT_QUEUE_BYTES,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        if max_spans < 1 or max_bytes < 1:
            raise ValueError(f"max_spans={max_spans!r}, max_bytes={max_bytes!r}: both must be at least 1")
        if ring_bytes < 1024 or ring_bytes & (ring_bytes - 1):
            raise ValueError(f"ring_bytes={ring_bytes!r}: a power of two of at least 1024")
        self.max_spans: int = max_spans
        self.max_bytes: int = max_bytes
        self._ring_bytes = ring_bytes
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: forget everything, take new locks; what was queued belongs to the parent."""
        self._records: deque[bytes] = deque()
        self._sequence = 0
        self._queued_spans = 0
        self._queued_bytes = 0
        self._staged_bytes = 0
        # Keeps the depth and the sequence true when threads push at once. Re-entrant: a collection may start inside,
        # and a finaliser may end a span on this very thread.
        self._depth_lock = RLock()
        self._signalled = False
        self._wake_lock = allocate_lock()
        self._wake_lock.acquire()

    @property
    def depth_spans(self) -> int:
        return self._queued_spans

    @property
    def depth_bytes(self) -> int:
        return self._queued_bytes

    @property
    def staged_bytes(self) -> int:
        return self._staged_bytes

    def push(self, record: bytes) -> str | None:
        """Append one record, header included. None when taken, else the reason it was dropped for.

        ``queue_full`` beyond either bound (the newest is dropped), ``too_large`` above 4 MiB. Sets the
        record's sequence number. Never blocks.
        """
        check_record(record)
        length = len(record)
        if length > MAX_RECORD_BYTES:
            return "too_large"
        with self._depth_lock:
            if self._queued_spans >= self.max_spans or self._queued_bytes + length > self.max_bytes:
                return "queue_full"
            self._queued_spans += 1
            self._queued_bytes += length
            self._staged_bytes += length
            self._records.append(record[:12] + self._sequence.to_bytes(4, "little") + record[16:])
            self._sequence = self._sequence + 1 & 0xFFFFFFFF
        if self._staged_bytes > self._ring_bytes // 2:
            self.wake()
        return None

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for ``wake`` or a ring that is half full; False on the timeout.

        Moves what is staged to the pending list before it returns; the compiled one does so without
        the GIL.
        """
        seconds = max(0.0, min(float(timeout), 1e6))
        woken = self._wake_lock.acquire(timeout=seconds) if seconds else self._wake_lock.acquire(blocking=False)
        if woken:
            self._signalled = False
        self._staged_bytes = 0
        return woken

    def wake(self) -> None:
        """End the current or the next ``wait``."""
        # Only the step from False to True releases the lock, which therefore is a binary semaphore.
        with self._depth_lock:
            if not self._signalled:
                self._signalled = True
                self._wake_lock.release()

    def take(self, max_spans: int, max_bytes: int) -> bytes:
        """The oldest records, whole, at most so many and so many bytes (but at least one); b"" when empty."""
        records = self._records
        taken: list[bytes] = []
        total = 0
        while records and len(taken) < max_spans:
            length = len(records[0])
            if taken and total + length > max_bytes:
                break
            taken.append(records.popleft())
            total += length
        self._staged_bytes = 0
        return b"".join(taken)

    def release(self, spans: int, nbytes: int) -> None:
        """Records of so many spans and bytes have been sent or dropped: the depth goes down."""
        with self._depth_lock:
            self._queued_spans -= spans
            self._queued_bytes -= nbytes
