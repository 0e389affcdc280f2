"""Waits for a connection of a pool, as spans that ``fasttrace show`` counts as such (local/waits.py)."""

from __future__ import annotations

import time
from _thread import allocate_lock
from contextlib import contextmanager

from fasttrace._version import __version__
from fasttrace.integrations._database import note_error
from fasttrace.process import get_tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from fasttrace._core import Span

_NAME = "wait for db pool"
_WAITING = "_fasttrace_waiting"
# What is shorter was no wait for another's connection.
_LONG_NS = 1_000_000


class Waits:
    """Makes the spans of one library's pools. Attributes are asked for when a span records."""

    __slots__ = ("_lock", "_tracer")

    def __init__(self, scope: str) -> None:
        self._tracer = get_tracer(scope, __version__)
        # Keeps the number of those who wait true.
        self._lock = allocate_lock()

    @contextmanager
    def waiting(self, pool: Any, attributes: Callable[[Any], dict[str, Any]]) -> Iterator[None]:
        """A wait that begins now."""
        waiting = self._count(pool, 1)
        try:
            with self._tracer.start_as_current_span(
                _NAME, record_exception=False, set_status_on_exception=False
            ) as span:
                if span.is_recording():
                    _describe(span, pool, attributes, waiting)
                try:
                    yield
                except BaseException as error:
                    note_error(span, error)
                    raise
        finally:
            self._count(pool, -1)

    def waited(self, pool: Any, attributes: Callable[[Any], dict[str, Any]], began_ns: int) -> None:
        """A wait that has just ended."""
        with self._tracer.start_span(_NAME, start_time=began_ns) as span:
            if span.is_recording():
                _describe(span, pool, attributes, self._count(pool, 0) + 1)

    now_ns = staticmethod(time.time_ns)

    @staticmethod
    def too_long(began_ns: int) -> bool:
        """Whether what began then was a wait."""
        return time.time_ns() - began_ns > _LONG_NS

    def _count(self, pool: Any, change: int) -> int:
        with self._lock:
            waiting: int = vars(pool).get(_WAITING, 0) + change
            vars(pool)[_WAITING] = waiting
        return waiting


def _describe(span: Span, pool: Any, attributes: Callable[[Any], dict[str, Any]], waiting: int) -> None:
    try:
        span.set_attributes(attributes(pool))
    except Exception:  # a pool of another shape: whoever waits must not notice
        pass
    span.set_attribute("db.client.connection.pending_requests", waiting)
