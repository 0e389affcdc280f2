"""What a span costs after many, beside many, with many attributes and variables: ``python bench/scale.py [--check]``.

Thread CPU time of one span, with what it takes to bring it to an encoded request; each kind of growth by itself:

* after 1,000 spans of this process, 10,000, and so on (``--spans 100000000`` for the whole way of a long night);
* while 1, 100, 10,000 others are open;
* for each of its attributes, of which it has 1 to 128;
* with 0, 20, 100 other context variables set, as frameworks do.

The samples of a round are taken one after the other, in random order where that is possible; a ratio is the median of
the rounds' own. The first kind is beside the C floor, since the machine may be another one after hours; and the last,
since the interpreter's own price of a context variable grows with their number.

``--check`` exits with 1 when a cost is not flat, or, for attributes, not linear.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextvars import Context, ContextVar
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from promises import IMPLEMENTATIONS, Core, Promises, compiled, heading, ratio, table

CALLS = {"cython": 1_000, "python": 100}
OPEN = (1, 100, 10_000)
ATTRIBUTES = (1, 4, 16, 64, 128)
VARIABLES = (0, 20, 100)
# What the largest may cost more than the smallest: caches get cold, nothing else may grow.
FLAT = 1.3
# And an attribute among 128 more than one among 4.
LINEAR = 1.5
BLOCK = 5_000


def sample(call: Callable[[], Any], calls: int, drain: Callable[[], Any]) -> float:
    """Thread CPU nanoseconds of a call."""
    drain()
    repeat = range(calls)
    begin = time.thread_time_ns()
    for _ in repeat:
        call()
    drain()
    return (time.thread_time_ns() - begin) / calls


def one_span(core: Core) -> Callable[[], None]:
    start = core.tracer.start_as_current_span

    def call() -> None:
        with start("GET /orders/{id}") as span:
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", "/orders/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("retried", False)

    return call


def of_the_floor(core: Core, name: str) -> float:
    """A span, as a multiple of what the least that it could be costs at this moment."""
    make = compiled("c_floor").Floor

    def floor() -> None:
        with make("operation"):
            pass

    return sample(one_span(core), CALLS[name], core.drain) / sample(floor, CALLS[name], lambda: None)


def after_many(name: str, spans: int) -> dict[str, list[float]]:
    """Beside the floor's cost at the same time, after so many spans."""
    core = Core(name)
    call = one_span(core)
    found = {}
    made, decade = 0, 1_000
    of_the_floor(core, name)
    while decade <= spans:
        while made < decade:
            for _ in range(min(BLOCK, decade - made)):
                call()
            made += min(BLOCK, decade - made)
            core.drain()
        found[f"{decade:,}"] = [of_the_floor(core, name) for _ in range(15)]
        decade *= 10
    return found


def in_rounds(points: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Samples of each point, by its name."""
    found: dict[str, list[float]] = {point: [] for point in points}
    for turn in range(rounds + 1):
        for point in random.sample(list(points), len(points)):
            gc.collect(0)
            value = points[point]()
            if turn:  # the first one warms up
                found[point].append(value)
    return found


def beside_open(name: str, rounds: int) -> dict[str, list[float]]:
    core = Core(name)
    call = one_span(core)

    def point(count: int) -> float:
        others = [core.tracer.start_span("open") for _ in range(count)]
        nanoseconds = sample(call, CALLS[name], lambda: None)
        for span in others:
            span.end()
        core.drain()
        return nanoseconds

    return in_rounds({f"{count:,}": lambda count=count: point(count) for count in OPEN}, rounds)


def by_attributes(name: str, rounds: int) -> dict[str, list[float]]:
    """For one attribute, without what the span costs that has none."""
    core = Core(name)
    start = core.tracer.start_span
    keys = [f"app.attribute.{number}" for number in range(max(ATTRIBUTES))]

    def point(count: int) -> float:
        wanted = keys[:count]

        def call() -> None:
            span = start("attributes")
            for key in wanted:
                span.set_attribute(key, "value")
            span.end()

        calls = max(10, CALLS[name] // count)
        bare = sample(lambda: start("attributes").end(), calls, core.drain)
        return (sample(call, calls, core.drain) - bare) / count

    return in_rounds({f"{count}": lambda count=count: point(count) for count in ATTRIBUTES}, rounds)


def beside_variables(name: str, rounds: int) -> dict[str, list[float]]:
    core = Core(name)
    others: list[ContextVar[int]] = [ContextVar(f"other {number}") for number in range(max(VARIABLES))]

    def point(count: int) -> float:
        for variable in others[:count]:
            variable.set(count)
        return of_the_floor(core, name)

    return in_rounds({f"{count}": lambda count=count: Context().run(point, count) for count in VARIABLES}, rounds)


def main() -> int:
    promises = Promises(
        __doc__,
        rounds=("samples of each", 40, 12),
        spans=("the most spans in one process", 10_000_000, 1_000_000),
    )
    print(heading())
    for name in IMPLEMENTATIONS:
        spans = promises.spans if name == "cython" else promises.spans // 10
        kinds = {
            "spans so far (of the floor)": (after_many(name, spans), FLAT),
            "open spans": (beside_open(name, promises.rounds), FLAT),
            "other context variables (of the floor)": (beside_variables(name, promises.rounds), FLAT),
            "attributes, for each": (by_attributes(name, promises.rounds), LINEAR),
        }
        for kind, (found, bound) in kinds.items():
            points = list(found)
            first = points[1] if kind.startswith("attributes") else points[0]
            unit, digits = ("x", 2) if "floor" in kind else (" ns", 0)
            medians = [f"{statistics.median(found[point]):,.{digits}f}{unit}" for point in points]
            table((f"{name}: {kind}", *points), [("", *medians)])
            promises.at_most(
                f"{name}: {kind}, {points[-1]} / {first}", ratio(found[points[-1]], found[first]), bound, "x"
            )
            print()
    return promises.exit_code()


if __name__ == "__main__":
    sys.exit(main())
