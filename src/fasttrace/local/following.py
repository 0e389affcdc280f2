"""Traces as they come: read from the spool's end, handed out when they are whole."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from fasttrace.local.search import NUMERIC, WITHIN, Query, Term, test_of
from fasttrace.local.store import Store, Summary

# Every process exports at its own pace: this long after its last span, a trace with a root counts as whole.
SETTLE_SECONDS = 0.7
# One whose root does not come is shown all the same.
PATIENCE_SECONDS = 10.0
MAX_REMEMBERED = 10_000


class _Open:
    """A trace that is not whole yet: when its last span came, and whether one of them is what was searched for."""

    __slots__ = ("heard", "matches", "summary")

    def __init__(self, trace_id: str) -> None:
        self.summary = Summary(trace_id)
        self.heard = 0.0
        self.matches = False


class Following:
    """Traces that a search finds, each once, as soon as it is whole.

    What of a trace comes later than that is left out. ``clock`` gives seconds that only go forward.
    """

    def __init__(self, store: Store, query: Query, clock: Callable[[], float] = time.monotonic) -> None:
        self._tail = store.tail()
        self._query = query
        self._clock = clock
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._given: OrderedDict[str, None] = OrderedDict()

    def poll(self) -> list[Summary]:
        """The traces that have become whole since, in order of their start."""
        now = self._clock()
        for span in self._tail.read():
            if span.trace_id in self._given:
                continue
            trace = self._open.get(span.trace_id)
            if trace is None:
                trace = self._open[span.trace_id] = _Open(span.trace_id)
            trace.heard = now
            trace.summary.add(span)
            trace.matches = trace.matches or self._query.matches(span)
        ready = [trace for trace in self._open.values() if self._is_whole(trace, now)]
        # More than can be remembered are given out as they are.
        ready += list(self._open.values())[: max(0, len(self._open) - len(ready) - MAX_REMEMBERED)]
        for trace in ready:
            self._open.pop(trace.summary.trace_id, None)
            self._given[trace.summary.trace_id] = None
        while len(self._given) > MAX_REMEMBERED:
            self._given.popitem(last=False)
        found = {trace.summary.trace_id: trace.summary for trace in ready if trace.matches}
        return sorted(
            (summary for summary in found.values() if holds(self._query, summary)), key=lambda one: one.start_ns
        )

    def _is_whole(self, trace: _Open, now: float) -> bool:
        return now - trace.heard >= (SETTLE_SECONDS if trace.summary.complete else PATIENCE_SECONDS)


def holds(query: Query, summary: Summary) -> bool:
    """Whether what a search asks of whole traces holds for one; what it does not know of a trace does not count."""
    return all(_holds(term, summary) != term.negated for term in query.terms if term.of_trace)


def _holds(term: Term, summary: Summary) -> bool:
    # What comes now is new.
    numbers = {
        "age": 0,
        "trace.start": summary.start_ns,
        "trace.dur": summary.duration_ns,
        "trace.spans": summary.spans,
        "trace.errors": summary.errors,
    }
    if term.field in numbers:
        value = numbers[term.field]
        if term.number is not None and (term.operator in NUMERIC or term.operator == WITHIN):
            return term.holds(value)
        return test_of(term)(str(value))
    if term.field == "trace.name":
        return test_of(term)(summary.name)
    if term.field == "trace.service":
        return test_of(term)(summary.service)
    return not term.negated
