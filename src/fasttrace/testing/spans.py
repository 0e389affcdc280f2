"""What a capture has got: the spans, and the questions that tests ask of them."""

from __future__ import annotations

import time
from _thread import RLock, get_ident

from fasttrace._core import SpanKind, StatusCode, decode, otlp
from fasttrace._core.layout import SPAN_FLAG_HAS_IS_REMOTE
from fasttrace.testing import explain, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from fasttrace._core import Recorder, Span, SpanData

# What a question waits for spans that other threads have begun: a server's may end after its client has the answer.
SETTLE_SECONDS = 1.0
ENDING_SECONDS = 0.1
_ATTRIBUTES_FIELD = 9  # of OTLP's Span


class Begun:
    """A span that has begun in a capture, and its data once it has ended."""

    __slots__ = ("data", "given_up", "ids", "name", "parent_span_id", "recorder", "running", "thread")

    def __init__(self, span: Span, recorder: Recorder) -> None:
        self.data: SpanData | None = None
        self.name: str = span.name
        # Not the span itself: one that is dropped without an end must count as abandoned in a test, too.
        self.ids: tuple[int, int] = span.trace_id, span.span_id
        self.parent_span_id: int = span.parent_span_id
        self.recorder: Recorder = recorder
        self.thread: int = get_ident()
        self.running: bool = True
        self.given_up: bool = False


class Spans:
    """The spans of a capture: those that have ended, in the order in which they began.

    ``len()`` counts them, iterating gives ``SpanData``. Questions wait up to a second for spans that other threads have
    begun and not yet ended.
    """

    def __init__(self, outer: Spans | None = None) -> None:
        self.outer = outer
        self._begun: list[Begun] = []
        self._running: dict[tuple[int, int], Begun] = {}
        # Keeps the two in step; re-entrant, for a finaliser may end a span inside.
        self._lock = RLock()

    def _begin(self, span: Span, recorder: Recorder) -> None:
        begun = Begun(span, recorder)
        with self._lock:
            self._begun.append(begun)
            self._running[begun.ids] = begun

    def _end(self, span: Span, resource: dict[str, Any]) -> None:
        with self._lock:
            begun = self._running.pop((span.trace_id, span.span_id), None)
        if begun is not None:
            begun.data = _data(span, resource)
            begun.running = False

    def _settled(self) -> list[Begun]:
        """All that have begun, once those of other threads have ended, or a second has passed."""
        start = time.monotonic()
        here = get_ident()
        while True:
            with self._lock:
                running = list(self._running.values())
                begun = list(self._begun)
            active = {
                (span.trace_id, span.span_id)
                for recorder in {found.recorder for found in running}
                for span in recorder.active_spans()
            }
            waited = time.monotonic() - start
            waiting = False
            for found in running:
                found.running = found.ids in active
                if found.thread != here and not found.given_up:
                    # One that does not run was abandoned, or is just ending.
                    found.given_up = waited > (SETTLE_SECONDS if found.running else ENDING_SECONDS)
                    waiting = waiting or not found.given_up
            if not waiting:
                return begun
            time.sleep(0.002)

    def __iter__(self) -> Iterator[SpanData]:
        return iter([begun.data for begun in self._settled() if begun.data is not None])

    def __len__(self) -> int:
        return sum(begun.data is not None for begun in self._settled())

    def __repr__(self) -> str:
        return f"<{len(self._begun)} spans>"

    def all(
        self,
        name: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        *,
        kind: SpanKind | None = None,
        error: bool | None = None,
        **more: Any,
    ) -> list[SpanData]:
        """The spans of this name (``*`` stands for any text), with these attributes, of this kind, failed or not."""
        wanted = {**(attributes or {}), **more}
        return [span for span in self if _is_named(span, name) and _has(span, wanted, kind, error)]

    def one(
        self,
        name: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        *,
        kind: SpanKind | None = None,
        error: bool | None = None,
        **more: Any,
    ) -> SpanData:
        """The only span that is asked for, as in ``all``; else an AssertionError that says what there is."""
        __tracebackhide__ = True
        found = self.all(name, attributes, kind=kind, error=error, **more)
        if len(found) == 1:
            return found[0]
        wanted = {**(attributes or {}), **more}
        candidates = self.all(name)
        raise AssertionError(explain.not_one(name, wanted, kind, error, found, candidates, list(self), self.tree()))

    def max(
        self,
        name: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        *,
        count: int,
        kind: SpanKind | None = None,
        **more: Any,
    ) -> None:
        """Expect at most ``count`` such spans, as in ``all``; else an AssertionError with what repeats, and below what.

        ``spans.max("SELECT*", count=3)`` finds a query that is made once for each row of another.
        """
        __tracebackhide__ = True
        found = self.all(name, attributes, kind=kind, **more)
        if len(found) > count:
            raise AssertionError(explain.too_many(name, {**(attributes or {}), **more}, kind, count, found, list(self)))

    def tree(self, *attributes: str, ordered: bool = True) -> str:
        """The spans as a tree of names: no times and no ids, to be compared with a text.

        Failed spans are marked ``[error]``, those that have not ended ``[running]``; ``attributes`` are shown where
        they are set. Siblings stand in the order in which they began or, with ``ordered=False``, by their text: for
        threads, which begin in any order.
        """
        return tree.draw(self._settled(), attributes, ordered)

    def clear(self) -> None:
        """Forget the spans that have begun so far."""
        with self._lock:
            self._begun = []
            self._running = {}


def _data(span: Span, resource: dict[str, Any]) -> SpanData:
    """An ended span as exporters see it."""
    encoded, *dropped = span._encoded_parts
    data = decode.decode_span(otlp.encode_attributes(span.attributes, _ATTRIBUTES_FIELD) + encoded)
    data.name, data.kind, data.status, data.scope = span.name, span.kind, span.status, span.scope
    data.trace_id, data.span_id = span.trace_id_hex, span.span_id_hex
    data.parent_span_id = f"{span.parent_span_id:016x}" if span.parent_span_id else ""
    data.trace_state, data.flags = span.trace_state.to_header(), span.trace_flags | SPAN_FLAG_HAS_IS_REMOTE
    data.start_time_ns, data.end_time_ns = span.start_time_ns, span.end_time_ns or span.start_time_ns
    data.dropped_attributes_count, data.dropped_events_count, data.dropped_links_count = dropped
    data.resource = resource
    return data


def _is_named(span: SpanData, name: str | None) -> bool:
    if name is None or span.name == name:
        return True
    if "*" not in name:
        return False
    import re

    return re.fullmatch(".*".join(map(re.escape, name.split("*"))), span.name, re.DOTALL) is not None


def _has(span: SpanData, wanted: Mapping[str, Any], kind: SpanKind | None, error: bool | None) -> bool:
    if (kind is not None and span.kind != kind) or (
        error is not None and (span.status.status_code == StatusCode.ERROR) != error
    ):
        return False
    return all(key in span.attributes and explain.same(value, span.attributes[key]) for key, value in wanted.items())
