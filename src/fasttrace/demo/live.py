"""One line per request, as soon as its spans have been exported: printed from the spool, like everything else."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict
from datetime import datetime
from typing import Self

from fasttrace._core.types import SpanData
from fasttrace.demo import SERVICES
from fasttrace.demo.load import Answer
from fasttrace.demo.service import SCHEDULE_DELAY_SECONDS
from fasttrace.local.facts import service_of
from fasttrace.local.listing import render_summary
from fasttrace.local.store import Store, Summary
from fasttrace.local.terminal import ERROR, QUIET, pen_for, print_lines
from fasttrace.local.text import format_duration

# Every service exports at its own pace: after two rounds a trace is whole, unless the machine is starved.
SETTLE_SECONDS = 2.5 * SCHEDULE_DELAY_SECONDS
PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.1
NAME_WIDTH = 14
# Spans of other programs may come through the same spool: only the latest are remembered.
MAX_REMEMBERED = 5_000


class _Arriving:
    """What has come of one trace."""

    def __init__(self, trace_id: str) -> None:
        self.summary = Summary(trace_id)
        self._services: set[str] = set()
        self._spans: set[str] = {""}
        self._parents: set[str] = set()

    def add(self, span: SpanData) -> None:
        self.summary.add(span)
        self._services.add(service_of(span.resource))
        self._spans.add(span.span_id)
        self._parents.add(span.parent_span_id)

    def is_whole(self, *, everywhere: bool) -> bool:
        """Whether no span is missing between others, and, if it has been ``everywhere``, none of the services."""
        there = self._services >= set(SERVICES) or not everywhere
        return there and self.summary.complete and self._parents <= self._spans


class Live:
    """Prints the answers it is given, in their order, each with the path of its trace.

    Use as ``async with``; at the end what is still waiting for its spans is waited for.
    """

    def __init__(self, store: Store) -> None:
        self._tail = store.tail()
        self._pen = pen_for(sys.stdout)
        self._waiting: list[Answer] = []
        self._arriving: OrderedDict[str, _Arriving] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self.slowest: list[Summary] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            while self._waiting:
                await asyncio.sleep(POLL_SECONDS)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, answer: Answer) -> None:
        """Print this answer when its spans are there, or without them after some seconds."""
        self._waiting.append(answer)

    async def _follow(self) -> None:
        while True:
            self._read()
            while self._waiting and self._ready(self._waiting[0]):
                self._print(self._waiting.pop(0))
            await asyncio.sleep(POLL_SECONDS)

    def _read(self) -> None:
        for span in self._tail.read():
            found = self._arriving.get(span.trace_id)
            if found is None:
                found = self._arriving[span.trace_id] = _Arriving(span.trace_id)
                if len(self._arriving) > MAX_REMEMBERED:
                    self._arriving.popitem(last=False)
            found.add(span)

    def _ready(self, answer: Answer) -> bool:
        age = time.time() - answer.ended
        found = self._arriving.get(answer.trace_id)
        whole = found is not None and found.is_whole(everywhere=not answer.failed)
        return age > PATIENCE_SECONDS or (age > SETTLE_SECONDS and whole)

    def _print(self, answer: Answer) -> None:
        found = self._arriving.pop(answer.trace_id, None)
        if found is not None:
            summary = found.summary
            print_lines([render_summary(summary, self._pen, NAME_WIDTH)])
            self.slowest = sorted([*self.slowest, summary], key=lambda one: -one.duration_ns)[:10]
            return
        when = datetime.fromtimestamp(answer.ended).strftime("%H:%M:%S")
        status = str(answer.status or "-")
        why = answer.error or "its spans have not been exported"
        line = (
            (f"{when}  ", QUIET),
            (f"{status:>5}  ", ERROR if answer.failed else ""),
            (f"{format_duration(answer.duration_ns):>7}  ", "bold"),
            (self._pen.fit(f"{'POST /checkout':<{NAME_WIDTH}}  {why}", self._pen.width - 24), QUIET),
        )
        print_lines([self._pen.line(*line)])
