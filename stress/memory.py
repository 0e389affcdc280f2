"""Ten million spans, and every way in which one can go wrong: memory stays flat, by counts of allocations.

Each path runs so many rounds to warm up, then twice the same number again. The blocks that Python has allocated
(``sys.getallocatedblocks``) and the bytes that malloc has given out (glibc's ``mallinfo2``) must not differ between
the two by more than a small constant, which does not grow with the rounds.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from common import Report, options

import fasttrace
from fasttrace.export import Batch, NullExporter

SPANS = 10_000_000
CHUNKS = 10
# Spans in a path of errors, at full scale.
ROUNDS = 100_000
FLUSH_EVERY = 2_000
# What dictionaries and free lists may differ by; 100,000 spans that lost a byte each would not pass.
SLACK_BLOCKS = 100
SLACK_BYTES = 16 * 1024
TRIES = 4
PAIR = struct.Struct("<qq")
ATTRIBUTES = {"http.request.method": "GET", "http.route": "/orders/{id}", "customer": 4711, "premium": True}


class MallInfo2(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


try:
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallInfo2
except (AttributeError, OSError):
    mallinfo2 = None


def allocated() -> tuple[int, int]:
    """Blocks that Python has allocated, bytes that malloc has given out."""
    for _ in range(3):
        gc.collect()
    if mallinfo2 is None:
        return sys.getallocatedblocks(), 0
    info = mallinfo2()
    return sys.getallocatedblocks(), info.uordblks + info.hblkhd


class Failing:
    """An exporter that always raises."""

    def export(self, batch: Batch) -> None:
        raise RuntimeError(f"no luck with {len(batch)} spans")

    def flush(self, timeout: float) -> bool:
        return True

    def shutdown(self, timeout: float) -> None:
        pass


class Reading(Failing):
    """An exporter that decodes every span."""

    def export(self, batch: Batch) -> None:
        for _ in batch:
            pass


class Blocked(Failing):
    """An exporter that waits until it is let go."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def export(self, batch: Batch) -> None:
        self.released.wait()


class Hostile:
    """A value whose text can't be had."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


# --- what is done in each round


def success(tracer: fasttrace.Tracer, number: int) -> None:
    tracer.start_span("GET /orders/{id}", attributes=ATTRIBUTES).end()


def nested(tracer: fasttrace.Tracer, number: int) -> None:
    with tracer.start_as_current_span("outer", kind=fasttrace.SpanKind.SERVER) as outer:
        outer.set_attributes({"number": number, "list": [number, 2, 3], "deep": {"a": [{"b": b"c"}]}})
        with tracer.start_as_current_span("inner") as inner:
            inner.add_event("event", {"n": number})
            inner.add_link(outer, {"why": "parent"})
            inner.update_name(f"renamed {number}")
        fasttrace.inject({})


def exceptions(tracer: fasttrace.Tracer, number: int) -> None:
    try:
        with tracer.start_as_current_span("raises"):
            raise ValueError(f"number {number}")
    except ValueError:
        pass


def hostile_values(tracer: fasttrace.Tracer, number: int) -> None:
    attributes: Any = {
        "bad": Hostile(),
        "surrogate": "\ud800",
        "large": 1 << 80,
        7: "key",
        "": "empty",
        "object": object(),
    }
    with tracer.start_as_current_span("hostile\ud800", attributes=attributes) as span:
        span.set_attribute("again", Hostile())
        span.add_event("\ud800", {"x": Hostile()})
        span.set_status(fasttrace.StatusCode.ERROR, "\ud800")


def too_large(tracer: fasttrace.Tracer, number: int) -> None:
    if number % 500 == 0:
        tracer.start_span("large", attributes={"x": "x" * (5 << 20)}).end()


def beyond_limits(tracer: fasttrace.Tracer, number: int) -> None:
    if number % 10 == 0:
        span = tracer.start_span("many", attributes={f"key {n}": n for n in range(140)})
        for n in range(140):
            span.add_event("event", {"n": n})
            span.add_link(fasttrace.SpanContext(n + 1, n + 1))
        span.end()


def abandoned(tracer: fasttrace.Tracer, number: int) -> None:
    span = tracer.start_span("abandoned", attributes=ATTRIBUTES)
    span.add_event("never sent")


def cycles(tracer: fasttrace.Tracer, number: int) -> None:
    holder: dict[str, Any] = {}
    span = tracer.start_span("cycle")
    holder["span"] = span
    holder["function"] = tracer.start_as_current_span("decorated")(lambda: holder)
    if number % 2:
        span.end()


def decorated(tracer: fasttrace.Tracer, number: int) -> None:
    @tracer.start_as_current_span("generator")
    def numbers() -> Any:
        yield 1
        yield 2

    for _ in numbers():
        break  # closed in the middle


def headers(tracer: fasttrace.Tracer, number: int) -> None:
    context = fasttrace.extract(
        {"traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01", "tracestate": "a=1,b=2", "baggage": f"n={number}"}
    )
    with tracer.start_as_current_span("server", context=context):
        fasttrace.inject({})
    fasttrace.extract({"traceparent": "00-zz", "tracestate": "=", "baggage": "=;="})


def in_tasks(tracer: fasttrace.Tracer, number: int) -> None:
    if number % 50:
        return

    async def work() -> None:
        with tracer.start_as_current_span("task"):
            await asyncio.sleep(0)

    async def main() -> None:
        cancelled = asyncio.ensure_future(work())
        await asyncio.gather(work(), work())
        cancelled.cancel()

    asyncio.run(main())


def in_threads(tracer: fasttrace.Tracer, number: int) -> None:
    if number % 50 == 0:
        thread = threading.Thread(target=nested, args=(tracer, number))
        thread.start()
        thread.join()


class Path:
    """A provider and what is done with it."""

    def __init__(self, name: str, body: Callable[[fasttrace.Tracer, int], None], exporter: Any = None, **settings: Any):
        self.name = name
        self.body = body
        self.exporter = exporter
        self.settings = settings

    def open(self) -> tuple[fasttrace.TracerProvider, fasttrace.Tracer]:
        exporter = self.exporter() if self.exporter else NullExporter()
        provider = fasttrace.TracerProvider(exporter=exporter, service_name="memory", **self.settings)
        return provider, provider.get_tracer("memory")

    def work(self, provider: fasttrace.TracerProvider, tracer: fasttrace.Tracer, rounds: int) -> None:
        """So many rounds, and all that they queued is gone."""
        body = self.body
        blocked = provider.exporter if isinstance(provider.exporter, Blocked) else None
        for begin in range(0, rounds, FLUSH_EVERY):
            for number in range(begin, min(rounds, begin + FLUSH_EVERY)):
                body(tracer, number)
            if blocked is None:
                provider.flush(60)
        if blocked is not None:
            blocked.released.set()
            provider.flush(60)
            blocked.released.clear()


PATHS = [
    Path("nested spans with events and links", nested),
    Path("spans that are decoded", nested, Reading),
    Path("an exporter that raises", nested, Failing),
    Path("a queue that is full", success, Blocked, max_queue_spans=500),
    Path("exceptions in spans", exceptions),
    Path("values that can't be encoded", hostile_values),
    Path("spans that are too large", too_large),
    Path("attributes, events and links beyond the limits", beyond_limits),
    Path("spans that never end", abandoned),
    Path("cycles through spans", cycles),
    Path("generators closed in the middle", decorated),
    Path("headers, good and bad", headers),
    Path("unsampled spans", nested, sampler="always_off"),
    Path("tasks", in_tasks),
    Path("threads that come and go", in_threads),
]


def measure(path: Path, rounds: int) -> tuple[int, int]:
    """What differs between N and 2N rounds, in blocks and bytes, after N to warm up.

    Measured again when it is too much: what asyncio keeps for itself settles, a leak does not.
    """
    provider, tracer = path.open()
    path.work(provider, tracer, rounds)
    seen = allocated()
    grown = (0, 0)
    for _ in range(TRIES):
        path.work(provider, tracer, rounds)
        before, seen = seen, allocated()
        grown = seen[0] - before[0], seen[1] - before[1]
        if grown[0] <= SLACK_BLOCKS and grown[1] <= SLACK_BYTES:
            break
    provider.shutdown(10)
    return grown


def in_child(path: Path, rounds: int) -> tuple[int, int]:
    """The same in a child forked from a process that traces."""
    provider, tracer = path.open()
    path.work(provider, tracer, 100)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            path.work(provider, tracer, rounds)
            first = allocated()
            path.work(provider, tracer, rounds)
            second = allocated()
            os.write(write_end, PAIR.pack(second[0] - first[0], second[1] - first[1]))
            code = 0
        finally:
            os._exit(code)
    os.close(write_end)
    found = os.read(read_end, PAIR.size)
    os.close(read_end)
    os.waitpid(child, 0)
    provider.shutdown(10)
    blocks, size = PAIR.unpack(found)
    return blocks, size


def forks(rounds: int) -> tuple[int, int]:
    """What many forks leave behind in the parent."""
    path = PATHS[0]
    provider, tracer = path.open()

    def some() -> None:
        for _ in range(rounds):
            path.work(provider, tracer, 20)
            child = os.fork()
            if child == 0:
                nested(tracer, 0)
                os._exit(0)
            os.waitpid(child, 0)
        path.work(provider, tracer, 20)

    some()
    first = allocated()
    some()
    second = allocated()
    provider.shutdown(10)
    return second[0] - first[0], second[1] - first[1]


def many(report: Report, spans: int) -> None:
    """Spans in chunks; what differs between the ends of the second chunk and the last."""
    path = Path("success", success)
    provider, tracer = path.open()
    seen = []
    begin = time.perf_counter()
    for _ in range(CHUNKS):
        path.work(provider, tracer, spans // CHUNKS)
        seen.append(allocated())
    seconds = time.perf_counter() - begin
    stats = provider.stats()
    provider.shutdown(10)
    report.figure("spans", stats["exported"])
    report.figure("seconds, exported and counted", round(seconds, 1))
    report.figure("nanoseconds per span", int(seconds / max(1, stats["exported"]) * 1e9))
    report.balance(stats)
    flat(report, f"{stats['exported']:,} spans", (seen[-1][0] - seen[1][0], seen[-1][1] - seen[1][1]))


def flat(report: Report, name: str, grown: tuple[int, int]) -> None:
    blocks, size = grown
    kept = blocks <= SLACK_BLOCKS and size <= SLACK_BYTES
    report.holds(f"{name}: {blocks:+,} blocks, {size:+,} bytes of malloc", kept)


def main() -> None:
    arguments = options(__doc__.split("\n", 1)[0])
    logging.getLogger("fasttrace").setLevel(logging.CRITICAL)
    report = Report("memory", arguments)
    if mallinfo2 is None:
        print("  no mallinfo2: only Python's own blocks are counted")
    rounds = max(1_000, int(ROUNDS * arguments.scale))
    for path in PATHS:
        flat(report, path.name, measure(path, rounds))
    if hasattr(os, "fork"):
        flat(report, "a forked child", in_child(PATHS[0], rounds))
        flat(report, "forks", forks(max(20, rounds // 500)))
    many(report, max(20_000, int(SPANS * arguments.scale)))
    report.end()


if __name__ == "__main__":
    main()
