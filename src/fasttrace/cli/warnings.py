"""What a command says beside its output."""

from __future__ import annotations

import sys
from typing import Protocol

from fasttrace.local.text import plural


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
