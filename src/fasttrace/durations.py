"""How long requests took, for all servers of the process: by method, route and status, whether sampled or not.

OpenTelemetry semantic conventions, "HTTP metrics", ``http.server.request.duration``, and its bounds of buckets.
"""

from __future__ import annotations

import _thread
from bisect import bisect_left

from fasttrace._core import ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BOUNDS", "MAX_SERIES", "record", "series"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# Beyond so many combinations, which only routes with values in them can make, the rest shares one.
MAX_SERIES = 2000

# Of one combination: the sum of seconds, then the requests of each bucket, the last of which has no bound.
_Series = list[float]
_Key = tuple[str, str, int]

_table: dict[_Key, _Series] = {}
_overflow: _Series = []
_generation = ids.fork_generation()
# Keeps every addition whole. Reentrant: what a collection or a signal ends in between may be a request, too.
_lock = _thread.RLock()


def record(method: str, route: str, status: int, seconds: float) -> None:
    """Add one request: "" for a route that is not known, 0 for one that was not answered."""
    if _generation != ids.fork_generation():
        _after_fork()
    key = (method, route, status)
    bucket = 1 + bisect_left(BOUNDS, seconds)
    found = _table.get(key)
    with _lock:
        if found is None:
            found = _place(key)
        found[bucket] += 1
        found[0] += seconds


def series() -> Iterator[tuple[_Key | None, list[int], float]]:
    """Key, requests by bucket, sum of seconds of each combination; None is the key of what did not fit."""
    if _generation != ids.fork_generation():
        _after_fork()
    with _lock:
        found: list[tuple[_Key | None, _Series]] = [(key, list(values)) for key, values in sorted(_table.items())]
        if _overflow:
            found.append((None, list(_overflow)))
    for key, values in found:
        yield key, [int(count) for count in values[1:]], values[0]


def clear() -> None:
    """Forget all."""
    with _lock:
        _table.clear()
        _overflow.clear()


def _place(key: _Key) -> _Series:
    blank = [0.0] * (2 + len(BOUNDS))
    if key in _table or len(_table) < MAX_SERIES:
        return _table.setdefault(key, blank)
    if not _overflow:
        _overflow.extend(blank)
    return _overflow


def _after_fork() -> None:
    """A forked child counts for itself; a thread of its parent's may have had the lock."""
    global _generation, _lock
    _lock = _thread.RLock()
    _generation = ids.fork_generation()
    clear()
