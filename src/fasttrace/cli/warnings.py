"""What a command says beside its output."""

from __future__ import annotations

import sys

from fasttrace.local.store import Store
from fasttrace.local.text import plural


def warn_of_unreadable(store: Store) -> None:
    """Say on standard error that something in the spool is not what it should be."""
    if store.unreadable:
        batches = plural(store.unreadable, "batch", "batches")
        print(f"fasttrace: {batches} in {store.label} could not be read and were left out", file=sys.stderr)
