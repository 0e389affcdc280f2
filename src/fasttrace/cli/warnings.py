"""What a command says beside its output."""

from __future__ import annotations

import os
import sys
import time
from typing import Protocol

from fasttrace.local.health import Losses
from fasttrace.local.text import clean, plural

# A look at the files of all processes.
LOSSES_EVERY_SECONDS = 1.0


class _Readable(Protocol):
    @property
    def unreadable(self) -> int: ...
    @property
    def label(self) -> str: ...


def warn_of_unreadable(store: _Readable) -> None:
    """Say on standard error that something in the spool is not what it should be."""
    if store.unreadable:
        batches = plural(store.unreadable, "batch", "batches")
        print(f"fasttrace: {batches} in {store.label} could not be read and were left out", file=sys.stderr)


class LossesTold:
    """Says on standard error that spans were lost, and again whenever it is more of them."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = directory
        self._told = 0
        self._next = 0.0

    def tell(self) -> None:
        """Look, at most once a second, and say what is new."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOSSES_EVERY_SECONDS
        losses = Losses(self._directory)
        if losses.spans > self._told:
            text = clean(losses.sentence())
            print(f"fasttrace: {text}; `fasttrace doctor` says what helps", file=sys.stderr, flush=True)
        self._told = losses.spans
