"""What fasttrace adds to ``os.fork()``, in the parent and in the child: ``python bench/fork.py [--check] [--quick]``.

From the call of ``os.fork()`` to its return; for the child also to the end of the first span in it. The process exports
by OTLP/HTTP to a receiver outside of it, and is forked while its thread sleeps ("idle"), while spans wait to be sent
("waiting"), and in the middle of a request ("sending"). CPU time of the thread that forks, and of the child; beside it
what passes by the monotonic clock, which both share, and which other processes' work adds to. What a process without
fasttrace takes is subtracted, round by round: the median, and how the rest is spread.

``--check`` exits with 1 when a median of the compiled one's CPU time is above 1 ms.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from children import added, measure
from promises import IMPLEMENTATIONS, Promises, choose, heading, table

SPANS = {"idle": 0, "waiting": 100, "sending": 2_000}
SIDES = ("parent", "child", "child, its first span")
CLOCKS = {"CPU": time.thread_time_ns, "wall": time.monotonic_ns}
CASES = [f"{situation}: {side}: {clock}" for situation in SPANS for side in SIDES for clock in CLOCKS]
PROMISED_MS = 1.0
# A time, not a ratio: in CI, where anything may run beside it, twice as much is no finding yet.
QUICK_MS = 2 * PROMISED_MS


def fork(side: str, clock: str, first_span: Any) -> int:
    """Nanoseconds from the call to its return on one side."""
    now = CLOCKS[clock]
    read_end, write_end = os.pipe()
    begin = now()
    child = os.fork()
    end = now()
    if child == 0:
        if side == SIDES[2]:
            first_span()
            end = now()
        os.write(write_end, end.to_bytes(8, "little"))
        os._exit(0)
    os.waitpid(child, 0)
    if side != "parent":
        end = int.from_bytes(os.read(read_end, 8), "little")
        begin = 0 if clock == "CPU" else begin  # the child's thread begins with none
    os.close(read_end)
    os.close(write_end)
    return end - begin


def child(name: str, endpoint: str) -> None:
    """Answer with the nanoseconds of one fork for each case that is asked for."""
    choose(name)

    def nothing() -> None:
        pass

    first_span, flush = nothing, nothing
    if name in IMPLEMENTATIONS:
        import fasttrace
        from fasttrace.export import OTLPExporter

        provider = fasttrace.TracerProvider(exporter=OTLPExporter(endpoint))
        start = provider.get_tracer("bench").start_as_current_span

        def first_span() -> None:
            with start("GET /orders/{id}"):
                pass

        def flush() -> None:
            assert provider.flush(60)

    for line in sys.stdin:
        situation, side, clock = line.rstrip("\n").split(": ")
        first_span()
        flush()
        for _ in range(SPANS[situation]):
            first_span()
        print(fork(side, clock, first_span), flush=True)


def milliseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.2f}"


def main() -> int:
    promises = Promises(__doc__, rounds=("forks of each", 200, 20))
    if promises.child:
        child(*promises.child)
        return 0
    if not hasattr(os, "fork"):
        print("skipped, needs os.fork")
        return 0
    subjects = ("without", *IMPLEMENTATIONS)
    found = measure(__file__, dict.fromkeys(CASES, subjects), promises.rounds)
    print(heading())
    rows = []
    for case, samples in found.items():
        samples["bare"] = samples["without"]
        for name in IMPLEMENTATIONS:
            own = sorted(added(samples, name))
            middle = statistics.median(own)
            tenths = statistics.quantiles(own, n=10)
            spread = [milliseconds(at) for at in (tenths[0], middle, tenths[8], own[-1])]
            rows.append((case, name, milliseconds(statistics.median(samples["without"])), *spread))
            if case.endswith("CPU") and name == "cython":
                promises.at_most(f"{case}, {name}", middle / 1e6, QUICK_MS if promises.quick else PROMISED_MS, " ms")
    print()
    table(("", "", "without, ms", "added, ms: 10 % below", "half", "90 %", "all"), rows)
    return promises.exit_code()


if __name__ == "__main__":
    sys.exit(main())
