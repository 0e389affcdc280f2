"""The traces whose spans have ended, held until it is known which of them are exported.

Every trace in the table is in one of three orders: undecided (by last activity), dropped (in the order in which they
were), remembered (kept and gone, by last use); one that waits for the end of its grace is in ``_due``, too. Only
undecided and dropped traces hold records.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from fasttrace._core._python.judge import Judge
from fasttrace._core._python.otlp import count_records, encode_attributes
from fasttrace._core.layout import (
    DEFAULT_GRACE_NS,
    DEFAULT_REMEMBERED_TRACES,
    DEFAULT_STORE_BYTES,
    DEFAULT_TRACE_BYTES,
    RECORD_FLAG_LOCAL_ROOT,
    RECORD_FLAG_SAMPLED,
    RECORD_HEADER,
    STORE_ENTRY_BYTES,
    STORE_RECORD_BYTES,
    STORE_REMEMBERED_SHARE,
    TAIL_HEAD,
    TAIL_RECALL,
)
from fasttrace._core.storing import (
    KEEP_REASON,
    check_mask,
    check_number,
    names_of_bits,
    plain_rules,
    trace_id_bytes,
)

__all__ = ["Store"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

UNDECIDED, KEPT, DROPPED, GONE = range(4)
_LAST_NS = (1 << 64) - 1


class _Trace:
    """One trace of the table."""

    __slots__ = (
        "active_ns",
        "begin_ns",
        "bits",
        "due_ns",
        "end_ns",
        "evicted",
        "held_bytes",
        "id",
        "records",
        "state",
        "truncated",
    )

    def __init__(self, trace_id: bytes) -> None:
        self.id = trace_id
        self.state = UNDECIDED
        self.bits = 0
        self.records: list[bytes] = []
        self.held_bytes = 0
        self.due_ns = 0
        self.active_ns = 0
        # Of all records seen, by the wall clock.
        self.begin_ns = _LAST_NS
        self.end_ns = 0
        self.truncated = False
        self.evicted = False  # before it was decided


class Store:
    """Module ``store``. The traces whose spans have ended, held until it is known which of them are exported.

    ``Store(*, max_bytes=32 MiB, max_trace_bytes=2 MiB, grace_ns=10**9, remember=32_768, rules=(), reasons=None)``. For
    one thread at a time: the caller holds a lock of his own for every call and every look at a figure. Every step
    depends on the records and on ``now_ns`` (``time.monotonic_ns``; one that is smaller than the last counts as the
    last), never on a clock or on the order of a hash table.

    A trace is *undecided*, *kept*, *dropped* (held all the same, for a recall) or *gone* (dropped, and evicted). A
    record with a bit set (the tail bits of its header, or ``SAMPLED``, which is ``TAIL_HEAD``) keeps its trace at
    once, whatever it was: the records that are held come first, in order. Later ones follow at once. A local root
    without one is judged by the rules of the store, if its trace is undecided or dropped, and sets those bits that
    match; if none does, an undecided trace is dropped by the first ``tick`` that is ``grace_ns`` later, counted from
    its last local root. Late records of a dropped trace join it and leave its place as it is; those of one that is
    gone are sampled out, or ``trace_evicted`` as it was.

    ``rules``: ``("rare", bit, count, window_ns)`` keeps the first ``count`` local roots of a route hash in each
    window, ``now_ns // window_ns``; ``("percentile", bit, parts_per_million)`` those for which, of all local roots of
    their route so far, themselves included and at least 100, at most the rest of the million is in their
    ``duration_bucket`` or above (all counts of a route are halved when they reach 4,096); ``("baseline", bit,
    threshold)`` those whose id's low 56 bits are at or above the threshold. Each local root is an observation to all
    of them, whatever its trace is. 1,024 routes are told apart (by ``rare`` in each window); the rest share one place.
    A rule that is none of these is a ValueError.

    ``reasons`` are 32 names, or None, of the bits. Local roots get the attribute ``fasttrace.keep_reason`` when they
    are kept, with the name of the lowest bit that their trace has by then: it is appended to the record.

    A trace counts 160 bytes as long as it is known, a record its length and 32. Over ``max_bytes`` the dropped go
    first, in the order in which they were dropped, and are sampled out; then the undecided, by last activity, counted
    as ``trace_evicted``. The kept and gone are remembered by last use: at most ``remember``, and at most as many as
    fit a quarter of ``max_bytes``. A record that would bring what its trace holds over ``max_trace_bytes`` is not
    held and counted as ``trace_evicted``; its bits count, and so does the end of a local root. Kept records that wait
    for ``take`` are outside these bounds.
    """

    __slots__ = (
        "_dropped",
        "_due",
        "_evicted_traces",
        "_grace_ns",
        "_held_bytes",
        "_held_spans",
        "_judge",
        "_kept",
        "_kept_bytes",
        "_kept_traces",
        "_max_bytes",
        "_max_trace_bytes",
        "_now_ns",
        "_plain_rules",
        "_remember",
        "_remembered",
        "_sampled_out",
        "_suffixes",
        "_trace_evicted",
        "_traces",
        "_truncated_traces",
        "_undecided",
    )

    def __init__(
        self,
        *,
        max_bytes: int = DEFAULT_STORE_BYTES,
        max_trace_bytes: int = DEFAULT_TRACE_BYTES,
        grace_ns: int = DEFAULT_GRACE_NS,
        remember: int = DEFAULT_REMEMBERED_TRACES,
        rules: Iterable[tuple[Any, ...]] = (),
        reasons: tuple[str | None, ...] | None = None,
    ) -> None:
        self._max_bytes = check_number("max_bytes", max_bytes, 1)
        self._max_trace_bytes = check_number("max_trace_bytes", max_trace_bytes, 1)
        self._grace_ns = check_number("grace_ns", grace_ns, 0)
        # What is remembered is evicted last: without a share of its own it would fill a small store.
        room = max_bytes // STORE_REMEMBERED_SHARE // STORE_ENTRY_BYTES
        self._remember = min(check_number("remember", remember, 0), room)
        self._plain_rules = plain_rules(rules)
        self._suffixes = [
            b"" if name is None else encode_attributes({KEEP_REASON: name}, 9) for name in names_of_bits(reasons)
        ]
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: forget everything, and leave what the parent's thread may have been changing alone."""
        self._traces: dict[bytes, _Trace] = {}
        self._undecided: OrderedDict[bytes, _Trace] = OrderedDict()
        self._dropped: OrderedDict[bytes, _Trace] = OrderedDict()
        self._remembered: OrderedDict[bytes, _Trace] = OrderedDict()
        self._due: OrderedDict[bytes, _Trace] = OrderedDict()
        self._kept: deque[bytes] = deque()
        self._judge = Judge(self._plain_rules)
        self._now_ns = self._held_spans = self._held_bytes = self._kept_bytes = 0
        self._sampled_out = self._trace_evicted = self._evicted_traces = self._truncated_traces = 0
        self._kept_traces = [0] * 32

    @property
    def held_spans(self) -> int:
        return self._held_spans

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def kept_spans(self) -> int:
        return len(self._kept)

    @property
    def kept_bytes(self) -> int:
        return self._kept_bytes

    @property
    def next_due_ns(self) -> int:
        return next(iter(self._due.values())).due_ns if self._due else 0

    def stats(self) -> dict[str, Any]:
        """Figures: traces, spans and bytes by where they are, and what was lost.

        ``traces``, ``undecided``, ``dropped`` and ``remembered`` are traces, ``held_*`` and ``kept_*`` spans and bytes.
        Cumulative: ``sampled_out`` and ``trace_evicted`` spans; ``evicted_traces`` (undecided ones) and
        ``truncated_traces``; ``kept_traces``, a dict from bits to traces whose lowest it was when they were kept.
        ``oldest_dropped_ns`` is when the oldest dropped trace that is held got its last record, 0 without one.
        """
        return {
            "traces": len(self._traces),
            "undecided": len(self._undecided),
            "dropped": len(self._dropped),
            "remembered": len(self._remembered),
            "held_spans": self._held_spans,
            "held_bytes": self._held_bytes,
            "kept_spans": len(self._kept),
            "kept_bytes": self._kept_bytes,
            "sampled_out": self._sampled_out,
            "trace_evicted": self._trace_evicted,
            "evicted_traces": self._evicted_traces,
            "truncated_traces": self._truncated_traces,
            "kept_traces": {bit: count for bit, count in enumerate(self._kept_traces) if count},
            "oldest_dropped_ns": next(iter(self._dropped.values())).active_ns if self._dropped else 0,
        }

    # --- records in, records out ---

    def add(self, records: bytes, now_ns: int) -> None:
        """Whole records, as ``Ring.take`` gives them; ValueError, and nothing added, for anything else.

        A record for which there is no memory is counted as ``trace_evicted``.
        """
        count_records(records)
        self._advance(now_ns)
        position = 0
        while position < len(records):
            end = position + int.from_bytes(records[position + 4 : position + 8], "little")
            self._add_one(records[position:end])
            position = end

    def take(self, max_spans: int, max_bytes: int) -> bytes:
        """Kept records, oldest first, at most so many and so many bytes (but at least one); b"" when there are none."""
        taken: list[bytes] = []
        total = 0
        while self._kept and len(taken) < max_spans:
            length = len(self._kept[0])
            if taken and total + length > max_bytes:
                break
            taken.append(self._kept.popleft())
            total += length
        self._kept_bytes -= total
        return b"".join(taken)

    def _add_one(self, record: bytes) -> None:
        _, _, flags, length, _, _, bits, route, trace_id, _, begin_ns, duration_ns = RECORD_HEADER.unpack_from(record)
        local_root = flags & RECORD_FLAG_LOCAL_ROOT
        if flags & RECORD_FLAG_SAMPLED:
            bits |= TAIL_HEAD
        judged = self._judge.bits(route, trace_id, duration_ns, self._now_ns) if local_root else 0
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = self._undecided[trace_id] = _Trace(trace_id)
        trace.active_ns = self._now_ns
        trace.begin_ns = min(trace.begin_ns, begin_ns)
        trace.end_ns = max(trace.end_ns, min(begin_ns + duration_ns, _LAST_NS))
        if trace.state == UNDECIDED or trace.state == DROPPED:
            bits |= judged
        if trace.state == KEPT:
            trace.bits |= bits
        elif bits:
            self._keep(trace, bits)
        if trace.state == KEPT:
            self._remembered.move_to_end(trace_id)
            self._queue(trace, record)
        elif trace.state == GONE:
            self._remembered.move_to_end(trace_id)
            if trace.evicted:
                self._trace_evicted += 1
            else:
                self._sampled_out += 1
        else:
            self._hold(trace, record, length + STORE_RECORD_BYTES)
            if trace.state == UNDECIDED:
                self._undecided.move_to_end(trace_id)
                if local_root:
                    trace.due_ns = self._now_ns + self._grace_ns
                    self._due[trace_id] = trace
                    self._due.move_to_end(trace_id)
        self._shrink()

    def _hold(self, trace: _Trace, record: bytes, nbytes: int) -> None:
        if trace.held_bytes + nbytes > self._max_trace_bytes:
            self._trace_evicted += 1
            self._truncated_traces += not trace.truncated
            trace.truncated = True
            return
        trace.records.append(record)
        trace.held_bytes += nbytes
        self._held_spans += 1
        self._held_bytes += nbytes

    def _queue(self, trace: _Trace, record: bytes) -> None:
        if record[3] & RECORD_FLAG_LOCAL_ROOT and (suffix := self._suffixes[_lowest(trace.bits)]):
            record = record[:4] + (len(record) + len(suffix)).to_bytes(4, "little") + record[8:] + suffix
        self._kept.append(record)
        self._kept_bytes += len(record)

    # --- decisions ---

    def tick(self, now_ns: int) -> None:
        """Drop the traces whose grace is over; ``next_due_ns`` is when there will be one, 0 if none waits."""
        self._advance(now_ns)
        while self._due and next(iter(self._due.values())).due_ns <= self._now_ns:
            self._drop(next(iter(self._due.values())))

    def settle(self, now_ns: int) -> None:
        """End the grace: drop all traces that wait for it."""
        self._advance(now_ns)
        for trace in list(self._due.values()):
            self._drop(trace)

    def close(self, now_ns: int) -> None:
        """The end of the process: drop whatever is not kept; what was held is sampled out."""
        self.settle(now_ns)
        for trace in [*self._dropped.values(), *self._undecided.values()]:
            self._sampled_out += self._evict(trace)
        self._shrink()

    def recall(self, trace_id: int, bit_mask: int = TAIL_RECALL, neighbours_ns: int = -1) -> int:
        """Keep a trace for these bits; how many spans are kept now that were not, 0 for one that is not known.

        With ``neighbours_ns`` of 0 or more also all held traces whose records' wall-clock interval overlaps that of
        its records, widened by so much at both ends: first those dropped, as they were dropped, then the undecided by
        last activity. ValueError for an id, bits or a time out of range.
        """
        trace = self._traces.get(trace_id_bytes(trace_id))
        check_mask(bit_mask)
        check_number("neighbours_ns", neighbours_ns, -1)
        if trace is None:
            return 0
        spans = self._keep(trace, bit_mask) if trace.state != KEPT else 0
        if neighbours_ns >= 0:
            begin_ns, end_ns = trace.begin_ns - neighbours_ns, trace.end_ns + neighbours_ns
            for other in self._held():
                if begin_ns <= other.end_ns and other.begin_ns <= end_ns:
                    spans += self._keep(other, bit_mask)
        self._shrink()
        return spans

    def recall_recent(self, since_ns: int, bit_mask: int = TAIL_RECALL) -> int:
        """Keep all held traces whose last record came at or after ``since_ns``, in the same order as neighbours."""
        check_mask(bit_mask)
        spans = sum([self._keep(trace, bit_mask) for trace in self._held() if trace.active_ns >= since_ns])
        self._shrink()
        return spans

    def _advance(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)

    def _held(self) -> list[_Trace]:
        return [*self._dropped.values(), *self._undecided.values()]

    def _drop(self, trace: _Trace) -> None:
        del self._due[trace.id], self._undecided[trace.id]
        trace.state = DROPPED
        self._dropped[trace.id] = trace

    def _keep(self, trace: _Trace, bits: int) -> int:
        """The number of spans that are kept now and were not."""
        trace.bits = bits
        self._kept_traces[_lowest(bits)] += 1
        records = trace.records
        self._decide(trace, KEPT)
        for record in records:
            self._queue(trace, record)
        return len(records)

    def _evict(self, trace: _Trace) -> int:
        """How many spans are lost."""
        spans = len(trace.records)
        self._decide(trace, GONE)
        return spans

    def _decide(self, trace: _Trace, state: int) -> None:
        """From now on it holds nothing and is only remembered."""
        self._held_spans -= len(trace.records)
        self._held_bytes -= trace.held_bytes
        trace.records = []
        trace.held_bytes = 0
        for order in (self._undecided, self._dropped, self._due, self._remembered):
            order.pop(trace.id, None)
        trace.state = state
        self._remembered[trace.id] = trace

    def _shrink(self) -> None:
        """Back under the caps: what is remembered has one of its own, then the dropped go first, the undecided last."""
        while True:
            if len(self._remembered) > self._remember:
                del self._traces[self._remembered.popitem(last=False)[0]]
            elif self._held_bytes + STORE_ENTRY_BYTES * len(self._traces) <= self._max_bytes:
                return
            elif self._dropped:
                self._sampled_out += self._evict(next(iter(self._dropped.values())))
            else:
                # What is remembered alone is never over the cap: one is here.
                trace = next(iter(self._undecided.values()))
                trace.evicted = True
                self._trace_evicted += self._evict(trace)
                self._evicted_traces += 1


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
