"""The demo from start to end: services, load, the slowest trace, and why it is slow."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import httpx

from fasttrace._version import __version__
from fasttrace.demo import READY_PATH
from fasttrace.demo.copying import receiver
from fasttrace.demo.live import Live
from fasttrace.demo.load import Answer, wave
from fasttrace.demo.page import Page
from fasttrace.demo.processes import DemoError, Shop
from fasttrace.errors import ExportError, SpoolError
from fasttrace.export import SpoolExporter
from fasttrace.export.base import masked
from fasttrace.local.diagnosis import diagnose
from fasttrace.local.index import Index
from fasttrace.local.model import Trace, group_traces
from fasttrace.local.render import render_diagnosis, render_trace
from fasttrace.local.store import Store
from fasttrace.local.terminal import QUIET, Pen, pen_for, print_lines
from fasttrace.local.text import format_duration, plural

READY_SECONDS = 30.0
PROBE_SECONDS = 5.0
# An idle laptop should stay quiet: after the verdict the waves go on, slower and with pauses.
RATE_AFTER_VERDICT = 10.0
BETWEEN_WAVES_SECONDS = 3.0


class Demo:
    """One run of the demo.

    ``spool`` is a directory or None for the default, ``requests`` how many are sent before the
    verdict, ``concurrency`` how many are in flight at the peak, ``rate`` the most per second or None,
    ``port`` the gateway's or 0 for any, ``endpoint`` the base URL of an OTLP/HTTP receiver that gets the spans, too, or
    None, ``exit_after`` whether to end after the verdict, ``serve`` whether to show the page meanwhile.
    """

    def __init__(
        self,
        *,
        spool: str | None = None,
        requests: int = 60,
        concurrency: int = 32,
        rate: float | None = None,
        port: int = 0,
        endpoint: str | None = None,
        exit_after: bool = False,
        serve: bool = False,
    ) -> None:
        self.store: Store = Store(spool)
        self.requests = requests
        self.concurrency = concurrency
        self.rate = rate
        self.port = port
        self.endpoint = endpoint
        self.exit_after = exit_after
        self.serve = serve
        self.answers: list[Answer] = []
        self.started: float = time.monotonic()
        self._option = "" if spool is None else f" --spool {shlex.quote(spool)}"
        self._pen: Pen = pen_for(sys.stdout)
        self._page = ""
        self._verdict_given = False
        self._signal = 0

    def run(self) -> int:
        """Run to the end, Ctrl-C or SIGTERM, and return the exit code; the services are stopped in every case."""
        _must_be_writable(self.store)
        if self.endpoint is not None:
            _must_answer(self.endpoint)
        shop = Shop(self.store.directory.resolve(), self.port, self.endpoint)
        self._say(f"fasttrace {__version__} · a shop of {plural(len(shop.ports), 'service')} on this machine", "bold")
        copies = f" and {masked(self.endpoint)}" if self.endpoint is not None else ""
        self._say(f"gateway at {shop.url('gateway')}/checkout · spans go to {self.store.label}{copies}")
        with ExitStack() as stack:
            if self.serve:
                self._page = stack.enter_context(Page(shop.spool)).url
                self._say(f"the page is at {self._page}", "")
            asyncio.run(self._until_signal(shop))
        self._summary()
        if self._signal == signal.SIGINT and self._verdict_given:
            return 0
        return 128 + self._signal if self._signal else 0

    async def _until_signal(self, shop: Shop) -> None:
        task = asyncio.create_task(self._run(shop))

        def stop(number: int) -> None:
            self._signal = self._signal or number
            task.cancel()

        restore = _handle_signals(asyncio.get_running_loop(), stop)
        try:
            with shop:
                await task
        except asyncio.CancelledError:
            if not self._signal:
                raise
        finally:
            restore()

    async def _run(self, shop: Shop) -> None:
        await _until_ready(shop)
        self._say(
            f"sending {plural(self.requests, 'request')}, more and more at once, {self.concurrency} at the peak\n"
        )
        await self._wave(shop, self.rate)
        self._verdict_given = True
        if self.exit_after:
            return
        self._say(f"\nThe shop stays open: requests go on at {shop.url('gateway')}/checkout. Ctrl-C ends it.\n")
        while True:
            await asyncio.sleep(BETWEEN_WAVES_SECONDS)
            await self._wave(shop, min(self.rate or RATE_AFTER_VERDICT, RATE_AFTER_VERDICT))

    async def _wave(self, shop: Shop, rate: float | None) -> None:
        first = len(self.answers)
        async with Live(self.store) as live:
            async for answer in wave(shop.url("gateway"), self.requests, self.concurrency, rate, first):
                self.answers.append(answer)
                live.add(answer)
                if answer.status == 0:
                    shop.check()
        if not self._verdict_given:
            self._verdict([summary.trace_id for summary in live.slowest])

    def _verdict(self, trace_ids: list[str]) -> None:
        """The slowest trace and the cause, both from the bytes in the spool."""
        with Index(self.store.directory) as index:
            index.refresh()
            traces = [Trace(spans) for spans in group_traces(index.spans(set(trace_ids))).values()]
        if not traces:
            raise DemoError(f"no spans have arrived in {self.store.label}: nothing can be shown")
        slowest = max(traces, key=lambda trace: trace.duration_ns)
        pen = self._pen
        self._say(f"\nThe slowest of {plural(self.requests, 'request')}:\n", "bold")
        print_lines([*render_trace(slowest, pen), pen.line(), *render_diagnosis(diagnose(traces), pen)])
        self._next(slowest.trace_id)

    def _next(self, trace_id: str) -> None:
        show = f"show {trace_id[:8]}"
        meanings = {show: "this waterfall again", "ls --slow": "the slowest traces", "ls --errors": "the failed ones",
                    "top": "what takes the time", "map": "who calls whom"}  # fmt: skip
        if not self._page:
            meanings["serve --open"] = "all of it in the browser"
        self._say("\nNext:")
        width = max(len(command) for command in meanings)
        for command, meaning in meanings.items():
            text = f"  fasttrace {command}{self._option}"
            print_lines([self._pen.line((text, ""), (f"{'':<{width - len(command)}}  {meaning}", QUIET))])
        if self._page:
            self._say(f"  {self._page}#/trace/{trace_id}", "")

    def _summary(self) -> None:
        if not self.answers:
            self._say("\nAll services stopped.")
            return
        durations = sorted(answer.duration_ns for answer in self.answers)
        failed = sum(answer.failed for answer in self.answers)
        seconds = format_duration(int((time.monotonic() - self.started) * 1e9))
        self._say(
            f"\n{plural(len(durations), 'request')} in {seconds}, {failed} failed; half within "
            f"{format_duration(durations[len(durations) // 2])}, 95 % within "
            f"{format_duration(durations[len(durations) * 95 // 100])}, slowest {format_duration(durations[-1])}. "
            "All services stopped."
        )

    def _say(self, text: str, style: str = QUIET) -> None:
        print_lines([self._pen.line((line, style)) for line in text.split("\n")])


def _handle_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[int], None]) -> Callable[[], None]:
    """Call ``stop(number)`` on Ctrl-C and SIGTERM; returns what undoes it."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda received, _frame: loop.call_soon_threadsafe(stop, received))

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


async def _until_ready(shop: Shop) -> None:
    """Wait until every service answers; any answer will do."""
    deadline = time.monotonic() + READY_SECONDS
    async with httpx.AsyncClient(timeout=2.0) as client:
        for name in shop.ports:
            while True:
                shop.check()
                try:
                    await client.get(shop.url(name) + READY_PATH)
                    break
                except httpx.TransportError:
                    if time.monotonic() > deadline:
                        raise DemoError(
                            f"the {name} service did not answer within {READY_SECONDS:.0f} s: is the machine very busy?"
                        ) from None
                    await asyncio.sleep(0.05)


def _must_answer(endpoint: str) -> None:
    exporter = receiver(endpoint)
    try:
        exporter.probe(PROBE_SECONDS)
    except ExportError as error:
        raise DemoError(
            f"no spans can be sent ({error}): start an OTLP/HTTP receiver there, or leave --endpoint out"
        ) from None
    finally:
        exporter.shutdown(0)


def _must_be_writable(store: Store) -> None:
    try:
        SpoolExporter(store.directory).check()
    except SpoolError as error:
        reason = getattr(error.__context__, "strerror", None) or "unknown reason"
        raise DemoError(f"the spool {store.label} can't be written ({reason}): name another with --spool DIR") from None
