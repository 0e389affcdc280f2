"""What the core says of its own cost: which spans are timed, and what is in their time and what is not."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

from fasttrace._core.layout import THRESHOLD_NEVER, TIMED_EVERY, TIMED_FIRST

BURNT_NS = 30_000_000


def burn() -> None:
    """Take CPU time of this thread, a thousand times what a span takes."""
    end = time.thread_time_ns() + BURNT_NS
    while time.thread_time_ns() < end:
        pass


def expected(made: int) -> int:
    """How many of the spans that one thread has made are timed."""
    return (made - TIMED_FIRST + TIMED_EVERY) // TIMED_EVERY


def block(traced: Any) -> None:
    with traced.tracer.start_as_current_span("operation"):
        pass


def ended(traced: Any) -> None:
    traced.tracer.start_span("operation").end()


def unsampled(traced: Any) -> None:
    traced.recorder.thresholds = (THRESHOLD_NEVER,) * 5
    block(traced)


def below_an_unsampled_one(traced: Any) -> None:
    traced.recorder.thresholds = (THRESHOLD_NEVER,) * 5
    with traced.tracer.start_as_current_span("outer"):
        block(traced)


def decorated(traced: Any) -> None:
    if not hasattr(traced, "function"):
        traced.function = traced.tracer.start_as_current_span("operation")(lambda: None)
    traced.function()


def generator(traced: Any) -> None:
    if not hasattr(traced, "function"):

        @traced.tracer.start_as_current_span("operation")
        def numbers() -> Any:
            yield 1

        traced.function = numbers
    assert list(traced.function()) == [1]


def failing(traced: Any) -> None:
    with pytest.raises(KeyError), traced.tracer.start_as_current_span("operation"):
        raise KeyError


@pytest.mark.parametrize("make", [block, ended, unsampled, below_an_unsampled_one, decorated, generator, failing])
def test_one_in_251_spans_is_timed_whatever_made_it(traced: Any, make: Any) -> None:
    made = 0
    while made < 2 * TIMED_EVERY:
        make(traced)
        made = traced.recorder.counters()["started"] + hasattr(
            traced, "function"
        )  # a decorator's template is made, too
        assert traced.recorder.counters()["timed"] in (expected(made), expected(made - 1))
    counters = traced.recorder.counters()
    assert counters["timed"] == expected(made) > 1
    assert counters["timed_ns"] > 0


def test_no_pattern_of_spans_hides_some_of_them(traced: Any) -> None:
    """Requests of 2 to 8 spans: those that are timed stand at every place of a request."""
    for size in range(2, 9):
        places = {(TIMED_FIRST + TIMED_EVERY * step) % size for step in range(2 * size)}
        assert places == set(range(size))


def timed_span(traced: Any, **arguments: Any) -> Any:
    """A span that is timed, not begun yet."""
    for _ in range(TIMED_FIRST - 1):
        traced.tracer.start_as_current_span("not begun")
    return traced.tracer.start_as_current_span("timed", **arguments)


def test_what_the_application_does_inside_the_block_is_not_in_it(traced: Any) -> None:
    with timed_span(traced) as span:
        burn()
        span.set_attribute("key", "value")
    counters = traced.recorder.counters()
    assert (counters["timed"], counters["started"]) == (1, 1)
    assert 0 < counters["timed_ns"] < BURNT_NS


def test_what_other_threads_do_meanwhile_is_not_in_it(traced: Any) -> None:
    span = timed_span(traced)
    stop = threading.Event()
    other = threading.Thread(target=lambda: [burn() for _ in iter(stop.is_set, True)])
    other.start()
    try:
        with span:
            time.sleep(BURNT_NS / 1e9)
    finally:
        stop.set()
        other.join()
    assert 0 < traced.recorder.counters()["timed_ns"] < BURNT_NS


def test_what_a_processor_does_at_the_start_and_the_end_is_in_it(traced: Any) -> None:
    class Busy:
        def on_start(self, span: Any, parent: Any) -> None:
            burn()

        def on_ending(self, span: Any) -> None:
            burn()

        def on_end(self, span: Any) -> None:
            burn()

    traced.recorder.processor = Busy()
    with timed_span(traced):
        assert traced.recorder.counters()["timed_ns"] >= BURNT_NS * 0.9
    assert traced.recorder.counters()["timed_ns"] >= 3 * BURNT_NS * 0.9


def test_a_span_that_another_thread_ends_is_timed_in_both(traced: Any) -> None:
    class Busy:
        def on_start(self, span: Any, parent: Any) -> None:
            pass

        def on_ending(self, span: Any) -> None:
            pass

        def on_end(self, span: Any) -> None:
            burn()

    traced.recorder.processor = Busy()
    span = timed_span(traced)
    span.__enter__()
    thread = threading.Thread(target=span.end)
    thread.start()
    thread.join()
    span.__exit__(None, None, None)
    counters = traced.recorder.counters()
    assert counters["timed"] == 1
    assert BURNT_NS * 0.9 <= counters["timed_ns"] < 3 * BURNT_NS


def test_threads_count_together(traced: Any) -> None:
    threads = [threading.Thread(target=lambda: [block(traced) for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters = traced.recorder.counters()
    assert counters["started"] == 4000
    # With a GIL exactly; else each shard counts for itself, and may lose a step.
    assert abs(counters["timed"] - expected(4000)) <= 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_counts_from_nothing(traced: Any) -> None:
    with timed_span(traced):
        pass
    assert traced.recorder.counters()["timed"] == 1
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            first = traced.recorder.counters()
            for _ in range(TIMED_EVERY + TIMED_FIRST):
                block(traced)
            later = traced.recorder.counters()
            code = 0 if (first["timed"], first["timed_ns"]) == (0, 0) and later["timed"] == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
