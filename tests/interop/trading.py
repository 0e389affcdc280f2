"""A trace of two services, many times: ``python trading.py front COUNT FILE`` writes what ``back FILE`` reads.

Each of the two records two spans of each trace. One trace in ten fails, in the back; one in twenty is slow; the spans' times
are made up. Ids go to FILE, a line for each trace: how it went, its id.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import fasttrace
from fasttrace import SpanKind, StatusCode

MILLISECOND_NS = 1_000_000


def kind_of(number: int) -> str:
    return "failed" if number % 10 == 3 else "slow" if number % 20 == 7 else "other"


def length_ns(kind: str) -> int:
    return (900 if kind == "slow" else 100) * MILLISECOND_NS


def front(count: int) -> Iterator[tuple[str, str]]:
    tracer = fasttrace.get_tracer("interop.front")
    for number in range(count):
        kind = kind_of(number)
        begun = time.time_ns() - 10**9
        root = tracer.start_span("POST /trade", kind=SpanKind.SERVER, start_time=begun)
        call = tracer.start_span("POST back", context=root, kind=SpanKind.CLIENT, start_time=begun + MILLISECOND_NS)
        print(kind, begun, fasttrace.inject({}, call)["traceparent"], flush=True)
        call.end(begun + length_ns(kind) - MILLISECOND_NS)
        root.end(begun + length_ns(kind))
        yield kind, root.trace_id_hex


def back() -> Iterator[tuple[str, str]]:
    tracer = fasttrace.get_tracer("interop.back")
    for line in sys.stdin:
        kind, begun, traceparent = line.split()
        start = int(begun) + 2 * MILLISECOND_NS
        parent: Any = fasttrace.extract({"traceparent": traceparent})
        server = tracer.start_span("POST back", context=parent, kind=SpanKind.SERVER, start_time=start)
        inner = tracer.start_span("work", context=server, start_time=start)
        if kind == "failed":
            inner.set_status(StatusCode.ERROR, "no")
        inner.end(start + MILLISECOND_NS)
        server.end(start + 2 * MILLISECOND_NS)
        yield kind, server.trace_id_hex


def main() -> None:
    role, *rest = sys.argv[1:]
    fasttrace.configure(service_name=role, schedule_delay=0.1)
    done = front(int(rest[0])) if role == "front" else back()
    with open(rest[-1], "w") as file:
        file.writelines(f"{kind} {trace_id}\n" for kind, trace_id in done)
    fasttrace.shutdown(timeout=30)
    stats = fasttrace.stats()
    lost = stats["spooled"] + sum(stats["dropped"].values())
    sys.exit(f"{lost} spans were not delivered: {stats['last_error']}" if lost else 0)


if __name__ == "__main__":
    main()
