"""What goes from a spool by itself: the oldest segments beyond so many bytes or so old, and what the dead have left."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from fasttrace.export import segments, stats_file

MAX_AGE_SECONDS = 7 * 86400.0
# A segment without a byte in it may be one whose writer is about to lock it.
NEWBORN_SECONDS = 60.0
# How long the last word of a process stays, whatever became of its spans, and how many of them.
LAST_WORD_SECONDS = 3600.0
MAX_LAST_WORDS = 200


def prune(
    directory: str | os.PathLike[str], *, max_bytes: int | None = None, max_age: float | None = None, need: int = 0
) -> int:
    """Delete the oldest segments that nobody writes: beyond ``max_bytes``, or unchanged for ``max_age`` seconds.

    ``need`` bytes are about to be added. Returns how many segments went. What can't be deleted stays. Raises SpoolError
    for a folder that can't be read.
    """
    now = time.time()
    sizes = segments.sizes(directory)
    total = need + sum(size for _, size in sizes)
    kept: list[str] = []
    for path, size in sizes:
        deleted = False
        with suppress(OSError):
            unchanged = now - os.lstat(path).st_mtime
            too_old = max_age is not None and unchanged > max_age
            too_much = max_bytes is not None and total > max_bytes
            newborn = size == 0 and unchanged < NEWBORN_SECONDS
            if (too_old or too_much) and not newborn and not segments.is_owned(path):
                os.unlink(path)
                total -= size
                deleted = True
        if not deleted:
            kept.append(path)
    oldest = min((begun for path in kept if (begun := segments.begun(path)) is not None), default=now)
    _prune_last_words(directory, now, oldest, max_age)
    return len(sizes) - len(kept)


def _prune_last_words(directory: str | os.PathLike[str], now: float, oldest: float, max_age: float | None) -> None:
    """Delete what processes that are gone have said of spans that are gone, too."""
    found: list[tuple[float, str]] = []
    for path in stats_file.paths(directory):
        with suppress(OSError):
            found.append((os.lstat(path).st_mtime, path))
    found.sort(reverse=True)
    for place, (written, path) in enumerate(found):
        age = now - written
        torn = not path.endswith(stats_file.SUFFIX) and age > NEWBORN_SECONDS
        too_old = (max_age is not None and age > max_age) or (written < oldest and age > LAST_WORD_SECONDS)
        if (torn or too_old or place >= MAX_LAST_WORDS) and not stats_file.is_owned(path):
            with suppress(OSError):
                os.unlink(path)
