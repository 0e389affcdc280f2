"""Figures of requests that are counted together: how many, how long, how many failed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.local.index import Entry

Key = TypeVar("Key", bound=Hashable)


def percentile(ordered: Sequence[int], share: float) -> int | None:
    """The nearest-rank percentile of values in order; None of nothing."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def percentiles(ordered: Sequence[int]) -> dict[str, int | None]:
    """``p50``, ``p95`` and ``p99`` of values in order."""
    return {f"p{share}": percentile(ordered, share / 100) for share in (50, 95, 99)}


class Group:
    """Entry spans that are counted together."""

    __slots__ = ("durations", "errors", "own_ns")

    def __init__(self) -> None:
        self.durations: list[int] = []
        self.errors: int = 0
        self.own_ns: int = 0

    def add(self, entry: Entry) -> None:
        """Count one more."""
        self.durations.append(entry.duration_ns)
        self.errors += entry.error
        self.own_ns += entry.own_ns

    def figures(self) -> dict[str, Any]:
        """``count``, ``errors``, percentiles, the sums of durations (``total_ns``) and of own times (``self_ns``)."""
        self.durations.sort()
        return {
            "count": len(self.durations),
            "errors": self.errors,
            **percentiles(self.durations),
            "total_ns": sum(self.durations),
            "self_ns": self.own_ns,
        }


def grouped(entries: Iterable[Entry], key: Callable[[Entry], Key | None]) -> dict[Key, Group]:
    """Entry spans by what ``key`` gives of each; those of which it gives None are left out."""
    groups: dict[Key, Group] = {}
    for entry in entries:
        name = key(entry)
        if name is not None:
            groups.setdefault(name, Group()).add(entry)
    return groups
