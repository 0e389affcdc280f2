"""Tries again with backoff, within a deadline: what every exporter that talks to a receiver shares.

The rules are OTLP's (opentelemetry-proto, docs/specification.md, "Failures", "Throttling").
"""

from __future__ import annotations

import os
import time

from fasttrace import _threads
from fasttrace.errors import ExportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fasttrace.export.base import Attempt, Batch

LARGE_BODY_BYTES = 256 * 1024
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 5.0
# How often a wait between two tries looks whether there is still time for it.
LOOK_SECONDS = 0.1


class Retries:
    """The tries of one sender, until it is closed."""

    def __init__(self) -> None:
        # Held while the sender is open: waiting between tries is waiting for it, and close releases it.
        self._closing = _threads.original("allocate_lock")()
        self._closing.acquire()
        self.closed: bool = False

    def until_delivered(self, send: Callable[[], bytes | ExportError], part: Batch, deadline: float) -> bytes:
        """Call ``send`` until it gives an answer's bytes, as long as its errors and ``deadline`` allow.

        ``deadline`` is on ``time.monotonic()``. Raises the last error. Spans that are sent again though they may have
        arrived are counted in the attempt of ``part``.
        """
        tries = 0
        while True:
            answer = send()
            if isinstance(answer, bytes):
                return answer
            # 0 is our own word, for a call that was given up for a fork: senders pass on no receiver's "at once".
            pause = 0.0 if answer.retry_after == 0 else max(_pause(tries), answer.retry_after or 0.0)
            if not answer.retryable or time.monotonic() + pause >= deadline or not self._wait(pause, part.attempt):
                raise answer
            tries += 1
            if answer.ambiguous:
                part.attempt.retried_ambiguous += len(part)

    def _wait(self, pause: float, attempt: Attempt) -> bool:
        """Wait before the next try; False when there should be none."""
        end = time.monotonic() + pause
        while not self.closed and not attempt.urgent():
            left = end - time.monotonic()
            if left <= 0:
                return True
            if self._closing.acquire(timeout=min(left, LOOK_SECONDS)):
                self._closing.release()
        return False

    def close(self) -> bool:
        """End a wait between two tries; False when that was done before."""
        if self.closed:
            return False
        self.closed = True
        self._closing.release()
        return True


def _pause(tries: int) -> float:
    """Exponential backoff with full jitter."""
    # Tries that were asked for at once come to any number, and 2.0**1024 is an error.
    longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(tries, 16))
    return longest * int.from_bytes(os.urandom(4), "big") / 2**32
