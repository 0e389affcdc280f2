# cython: freethreading_compatible=True
"""The traces whose spans have ended, held until it is known which of them are exported.

The work is ``store.h``; this gives it bytes and numbers. It has no lock: whoever calls holds one of his own for every
call and every look at a figure, since ``add``, ``take`` and the decisions let go of the GIL while they work.

Shared between threads: what is behind ``store``, by those who hold that lock. Raced by ``stress/race.py`` ("tail").
"""

from os import urandom

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fasttrace._core._cython.otlp import count_records, encode_attributes
from fasttrace._core.layout import (
    DEFAULT_GRACE_NS,
    DEFAULT_REMEMBERED_TRACES,
    DEFAULT_STORE_BYTES,
    DEFAULT_TRACE_BYTES,
    PERCENTILE_FIRST,
    PERCENTILE_HALVED_AT,
    STORE_ENTRY_BYTES,
    STORE_RECORD_BYTES,
    STORE_REMEMBERED_SHARE,
    STORE_ROUTES,
    TAIL_MAX_RULES,
    TAIL_RECALL,
)
from fasttrace._core.storing import (
    BASELINE,
    KEEP_REASON,
    PERCENTILE,
    RARE,
    check_mask,
    check_number,
    names_of_bits,
    plain_rules,
    trace_id_bytes,
)

__all__ = ["Store"]

cdef extern from "Python.h":
    Py_ssize_t PyBytes_GET_SIZE(object data)

assert (FT_STORE_ENTRY_BYTES, FT_STORE_RECORD_BYTES) == (STORE_ENTRY_BYTES, STORE_RECORD_BYTES)
assert FT_STORE_REMEMBERED_SHARE == STORE_REMEMBERED_SHARE
assert (FT_JUDGE_RULES, FT_JUDGE_ROUTES) == (TAIL_MAX_RULES, STORE_ROUTES)
assert (FT_JUDGE_FIRST, FT_JUDGE_HALVED_AT) == (PERCENTILE_FIRST, PERCENTILE_HALVED_AT)
assert (FT_RULE_RARE, FT_RULE_PERCENTILE, FT_RULE_BASELINE) == (RARE, PERCENTILE, BASELINE)
# What malloc adds, and a trace's share of the buckets.
assert sizeof(ft_trace) + 16 + 2 * sizeof(void *) <= FT_STORE_ENTRY_BYTES


@cython.final
cdef class Store:
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

    def __cinit__(
        self,
        *,
        max_bytes=DEFAULT_STORE_BYTES,
        max_trace_bytes=DEFAULT_TRACE_BYTES,
        grace_ns=DEFAULT_GRACE_NS,
        remember=DEFAULT_REMEMBERED_TRACES,
        rules=(),
        reasons=None,
    ):
        self.options = (
            check_number("max_bytes", max_bytes, 1),
            check_number("max_trace_bytes", max_trace_bytes, 1),
            check_number("grace_ns", grace_ns, 0),
            check_number("remember", remember, 0),
        )
        self.rules = plain_rules(rules)
        self.suffixes = [
            b"" if name is None else encode_attributes({KEEP_REASON: name}, 9) for name in names_of_bits(reasons)
        ]
        self.reset_after_fork()

    def __dealloc__(self):
        if self.store != NULL:
            ft_store_free(self.store)

    def reset_after_fork(self):
        """In a forked child: forget everything, and leave what the parent's thread may have been changing alone."""
        max_bytes, max_trace_bytes, grace_ns, remember = self.options
        cdef uint64_t seed = int.from_bytes(urandom(8), "little")
        # The parent's thread may have been copied in the middle of a change: what it worked on is left behind.
        cdef ft_store *store = ft_store_new(max_bytes, max_trace_bytes, grace_ns, remember, seed)
        if store == NULL:
            raise MemoryError()
        self.store = store
        for bit, suffix in enumerate(self.suffixes):
            store.reasons[<int> bit] = <const uint8_t *> PyBytes_AS_STRING(suffix)
            store.reason_bytes[<int> bit] = PyBytes_GET_SIZE(suffix)
        for kind, bits, amount, window_ns in self.rules:
            if ft_judge_add(&store.judge, kind, bits, amount, window_ns):
                raise MemoryError()

    @property
    def held_spans(self):
        return self.store.held_spans

    @property
    def held_bytes(self):
        return self.store.held_bytes

    @property
    def kept_spans(self):
        return self.store.kept_spans

    @property
    def kept_bytes(self):
        return self.store.kept_bytes

    @property
    def next_due_ns(self):
        cdef ft_trace *trace = ft_store_next_due(self.store)
        return 0 if trace == NULL else trace.due_ns

    def stats(self):
        """Figures: traces, spans and bytes by where they are, and what was lost.

        ``traces``, ``undecided``, ``dropped`` and ``remembered`` are traces, ``held_*`` and ``kept_*`` spans and bytes.
        Cumulative: ``sampled_out`` and ``trace_evicted`` spans; ``evicted_traces`` (undecided ones) and
        ``truncated_traces``; ``kept_traces``, a dict from bits to traces whose lowest it was when they were kept.
        ``oldest_dropped_ns`` is when the oldest dropped trace that is held got its last record, 0 without one.
        """
        cdef ft_store *store = self.store
        cdef ft_trace *oldest = ft_store_oldest_dropped(store)
        cdef int bit
        return {
            "traces": ft_store_traces(store),
            "undecided": store.traces[<int> FT_UNDECIDED],
            "dropped": store.traces[<int> FT_DROPPED],
            "remembered": store.traces[<int> FT_KEPT] + store.traces[<int> FT_GONE],
            "held_spans": store.held_spans,
            "held_bytes": store.held_bytes,
            "kept_spans": store.kept_spans,
            "kept_bytes": store.kept_bytes,
            "sampled_out": store.sampled_out,
            "trace_evicted": store.trace_evicted,
            "evicted_traces": store.evicted_traces,
            "truncated_traces": store.truncated_traces,
            "kept_traces": {bit: store.kept_traces[bit] for bit in range(32) if store.kept_traces[bit]},
            "oldest_dropped_ns": 0 if oldest == NULL else oldest.active_ns,
        }

    def add(self, bytes records not None, int64_t now_ns):
        """Whole records, as ``Ring.take`` gives them; ValueError, and nothing added, for anything else.

        A record for which there is no memory is counted as ``trace_evicted``.
        """
        cdef ft_store *store = self.store
        cdef const uint8_t *data = <const uint8_t *> PyBytes_AS_STRING(records)
        cdef size_t size = PyBytes_GET_SIZE(records)
        count_records(records)
        with nogil:
            ft_store_add(store, data, size, now_ns)

    def take(self, max_spans, max_bytes):
        """Kept records, oldest first, at most so many and so many bytes (but at least one); b"" when there are none."""
        cdef ft_store *store = self.store
        cdef int64_t most_spans = max_spans, most_bytes = max_bytes, spans
        cdef size_t size
        with nogil:
            size = ft_store_measure(store, most_spans, most_bytes, &spans)
        if not spans:
            return b""
        records = PyBytes_FromStringAndSize(NULL, size)
        cdef uint8_t *at = <uint8_t *> PyBytes_AS_STRING(records)
        with nogil:
            ft_store_take(store, at, spans)
        return records

    def tick(self, int64_t now_ns):
        """Drop the traces whose grace is over; ``next_due_ns`` is when there will be one, 0 if none waits."""
        cdef ft_store *store = self.store
        with nogil:
            ft_store_tick(store, now_ns, 0)

    def settle(self, int64_t now_ns):
        """End the grace: drop all traces that wait for it."""
        cdef ft_store *store = self.store
        with nogil:
            ft_store_tick(store, now_ns, 1)

    def close(self, int64_t now_ns):
        """The end of the process: drop whatever is not kept; what was held is sampled out."""
        cdef ft_store *store = self.store
        with nogil:
            ft_store_close(store, now_ns)

    def recall(self, trace_id, bit_mask=TAIL_RECALL, neighbours_ns=-1):
        """Keep a trace for these bits; how many spans are kept now that were not, 0 for one that is not known.

        With ``neighbours_ns`` of 0 or more also all held traces whose records' wall-clock interval overlaps that of
        its records, widened by so much at both ends: first those dropped, as they were dropped, then the undecided by
        last activity. ValueError for an id, bits or a time out of range.
        """
        cdef ft_store *store = self.store
        cdef uint64_t spans
        id_bytes = trace_id_bytes(trace_id)
        cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(id_bytes)
        cdef uint32_t bits = check_mask(bit_mask)
        cdef int64_t around = check_number("neighbours_ns", neighbours_ns, -1)
        with nogil:
            spans = ft_store_recall(store, at, bits, around)
        return spans

    def recall_recent(self, int64_t since_ns, bit_mask=TAIL_RECALL):
        """Keep all held traces whose last record came at or after ``since_ns``, in the same order as neighbours."""
        cdef ft_store *store = self.store
        cdef uint32_t bits = check_mask(bit_mask)
        cdef uint64_t spans
        with nogil:
            spans = ft_store_recall_recent(store, bits, since_ns)
        return spans
