"""Records made by hand, and a store whose accounts and bounds are checked after every call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fasttrace._core import layout

HEADER = layout.RECORD_HEADER
ROOT = layout.RECORD_FLAG_LOCAL_ROOT
SAMPLED = layout.RECORD_FLAG_SAMPLED
NAMES = tuple(f"bit {bit}" for bit in range(32))
SECOND = 1_000_000_000


def record(
    trace: int,
    number: int = 0,
    *,
    bits: int = 0,
    flags: int = 0,
    route: int = 0,
    start: int = 0,
    took: int = 0,
    size: int = 100,
) -> bytes:
    """One record; its number is the span id, its body a field that nobody knows."""
    ids = trace.to_bytes(16, "big"), number.to_bytes(8, "big")
    header = (layout.RECORD_MAGIC, layout.RECORD_KIND_SPAN, flags, size, 0, 0, bits, route, *ids, start, took)
    rest = size - HEADER.size - 5
    if rest < 0:
        return HEADER.pack(*header) + b"x" * (size - HEADER.size)
    # Field 127, a length in three bytes.
    return (
        HEADER.pack(*header) + b"\xfa\x07" + bytes([rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14]) + b"x" * rest
    )


def split(records: bytes) -> Iterator[bytes]:
    """One by one."""
    at = 0
    while at < len(records):
        end = at + HEADER.unpack_from(records, at)[3]
        yield records[at:end]
        at = end


def numbers(records: bytes) -> list[int]:
    """The numbers of records, in order."""
    return [int.from_bytes(one[40:48], "big") for one in split(records)]


class Stored:
    """A store of one implementation with a clock in hand."""

    def __init__(self, core: Any, **arguments: Any) -> None:
        self.core = core
        self.max_bytes = arguments.get("max_bytes", layout.DEFAULT_STORE_BYTES)
        self.remember = arguments.get("remember", layout.DEFAULT_REMEMBERED_TRACES)
        self.store = core.store.Store(**{"reasons": NAMES, **arguments})
        self.now = SECOND
        self.added = self.taken = 0

    def add(self, *records: bytes, after: int = 0) -> Stored:
        self.now += after
        self.store.add(b"".join(records), self.now)
        self.added += len(records)
        return self.check()

    def tick(self, after: int = 0) -> Stored:
        self.now += after
        self.store.tick(self.now)
        return self.check()

    def decide(self) -> Stored:
        """The grace is over."""
        return self.tick(layout.DEFAULT_GRACE_NS)

    def take(self, max_spans: int = 1_000_000, max_bytes: int = 1 << 40) -> bytes:
        records: bytes = self.store.take(max_spans, max_bytes)
        self.taken += len(list(split(records)))
        self.check()
        return records

    def kept(self) -> list[int]:
        """The numbers of all that waits to be taken."""
        return numbers(self.take())

    def reasons(self) -> list[str | None]:
        """What is written on all that waits to be taken."""
        found = []
        for one in split(self.take()):
            span = self.core.decode.decode_span(one[HEADER.size :])
            found.append(span.attributes.get("fasttrace.keep_reason"))
        return found

    def __getitem__(self, name: str) -> Any:
        return self.store.stats()[name]

    def check(self) -> Stored:
        """Nothing is lost without being counted, and nothing is over its bound."""
        stats = self.store.stats()
        lost = stats["sampled_out"] + stats["trace_evicted"]
        assert self.added == stats["held_spans"] + stats["kept_spans"] + self.taken + lost
        assert stats["held_bytes"] + layout.STORE_ENTRY_BYTES * stats["traces"] <= self.max_bytes
        assert stats["traces"] == stats["undecided"] + stats["dropped"] + stats["remembered"]
        assert stats["remembered"] <= self.remember
        for name in ("held_spans", "held_bytes", "kept_spans", "kept_bytes"):
            assert getattr(self.store, name) == stats[name]
        return self
