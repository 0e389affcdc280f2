"""Threads that race for all that the core shares: ids, queue, spans, exceptions, samplers, tail rules, headers, forks.

What it proves it proves where there is no GIL; with one it runs, too, and proves less. Every section counts what must
come out, so that a lost update, a torn record or an id drawn twice is seen, and a broken object ends the process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from common import Report, options

import fasttrace
from fasttrace import Context, InstrumentationScope, SpanContext
from fasttrace._core import IMPL, Recorder, Ring, Store, Tracer, decode, headers, ids, layout, otlp

THREADS = 8
ROUNDS = 20_000


def together(work: Callable[[int], None], threads: int = THREADS) -> None:
    """The same work in so many threads that start at once; an exception in one of them ends the program."""
    barrier = threading.Barrier(threads)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]


class Race:
    """A recorder and a tracer, and a consumer that takes what they make while the threads run."""

    def __init__(self, max_spans: int = 1 << 40) -> None:
        self.ring = Ring(max_spans, 1 << 40)
        self.recorder = Recorder(self.ring)
        self.recorder.consumer_running = True
        self.scope = InstrumentationScope("race")
        self.tracer = Tracer(self.scope, self.recorder)
        self.taken: list[bytes] = []
        self._stop = False
        self._thread = threading.Thread(target=self._consume)
        self._thread.start()

    def _consume(self) -> None:
        while not self._stop:
            self.ring.wait(0.001)
            self._take()

    def _take(self) -> None:
        while records := self.ring.take(512, 1 << 20):
            self.ring.release(otlp.count_records(records), len(records))
            self.taken.append(records)

    def end(self) -> None:
        self._stop = True
        self.ring.wake()
        self._thread.join()
        self._take()

    def spans(self) -> list[Any]:
        """Every span that came out, decoded."""
        scopes = [(otlp.encode_scope(scope), "") for scope in self.recorder.scopes]
        return [span for records in self.taken for span in decode.decode_request(otlp.assemble(records, b"", scopes))]


def race_ids(report: Report, rounds: int) -> None:
    drawn: list[list[int]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        for _ in range(rounds):
            drawn[number].append(ids.generate_trace_id())
            drawn[number].append(ids.generate_span_id())

    together(work)
    numbers = [item for part in drawn for item in part]
    report.holds(f"ids: {len(numbers):,} drawn, none twice", len(set(numbers)) == len(numbers) and 0 not in numbers)


def race_queue(report: Report, rounds: int) -> None:
    race = Race(max_spans=5_000)
    accepted = [0] * THREADS

    def work(number: int) -> None:
        body = bytes([number]) * 100
        for index in range(rounds):
            size = 64 + 36 + index % 64
            record = layout.RECORD_HEADER.pack(
                layout.RECORD_MAGIC, layout.RECORD_KIND_SPAN, 0, size, number, 0, 0, 0, bytes(16), bytes(8), index, 0
            )
            if race.ring.push(record + body[: size - 64]) is None:
                accepted[number] += 1

    together(work)
    race.end()
    last = [-1] * THREADS
    seen = [0] * THREADS
    whole = True
    for records in race.taken:
        position = 0
        while position < len(records):
            fields = layout.RECORD_HEADER.unpack_from(records, position)
            length, number, index = fields[3], fields[4], fields[10]
            whole &= records[position + 64 : position + length] == bytes([number]) * (length - 64)
            whole &= index > last[number] and length == 64 + 36 + index % 64
            last[number] = index
            seen[number] += 1
            position += length
    report.holds(f"queue: {sum(seen):,} records whole and, of each thread, in order", whole and seen == accepted)
    report.holds("queue: its depth is zero at the end", (race.ring.depth_spans, race.ring.depth_bytes) == (0, 0))


def race_spans(report: Report, rounds: int) -> None:
    race = Race()
    stop = False

    def look() -> None:
        while not stop:
            for span in race.recorder.active_spans():
                assert span.name.startswith("span")
                assert span.attributes.get("key", "value") == "value"
            race.recorder.counters()
            gc.collect()

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    handed: list[list[Any]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        tracer = race.tracer
        for index in range(rounds):
            with tracer.start_as_current_span(f"span {number}", attributes={"key": "value"}) as outer:
                outer.set_attribute("index", index)
                with tracer.start_as_current_span("span inside") as inner:
                    inner.add_event("event", {"index": index})
            if index % 7 == 0:
                tracer.start_span("span left alone")
            if index % 5 == 0:
                handed[(number + 1) % THREADS].append(tracer.start_span("span handed over"))
            if len(handed[number]) > 10:
                handed[number].pop().end()

    together(work)
    stop = True
    for watcher in watchers:
        watcher.join()
    for spans in handed:
        while spans:
            spans.pop().end()
    gc.collect()
    race.end()
    counters = race.recorder.counters()
    left_alone = THREADS * len(range(0, rounds, 7))
    ended = THREADS * (2 * rounds + len(range(0, rounds, 5)))
    report.holds(
        f"spans: {counters['started']:,} started, each in one account",
        (counters["started"], counters["abandoned"], counters["active"]) == (left_alone + ended, left_alone, 0),
    )
    spans = race.spans()
    report.holds(
        "spans: all that ended came out, none twice", len({span.span_id for span in spans}) == ended == len(spans)
    )
    names = {span.span_id: span for span in spans}
    insides = [span for span in spans if span.name == "span inside"]
    report.holds(
        "spans: every child has its parent and its event",
        all(span.parent_span_id in names and len(span.events) == 1 for span in insides),
    )


def race_shared_spans(report: Report, rounds: int) -> None:
    race = Race()
    rounds //= 20
    shared: list[Any] = [race.tracer.start_as_current_span("shared") for _ in range(rounds)]

    def work(number: int) -> None:
        for index in range(rounds):
            span = shared[index]
            with contextlib.ExitStack() as stack:
                if number == 0:
                    stack.enter_context(span)
                for turn in range(20):
                    span.set_attribute(f"key {(number * 20 + turn) % 50}", f"value {turn}" * 3)
                    span.update_name(f"name {number} {turn}" * 2)
                    span.add_event(f"event {number}", {"turn": turn})
                    span.add_link(SpanContext(1, 1), {"turn": turn})
                    span.set_status(2, f"description {number} {turn}")
                    assert span.name and str(span) and span.status is not None
                    assert all(value.startswith("value") for value in span.attributes.values())
                if number != 0:
                    span.end()

    together(work)
    race.end()
    counters = race.recorder.counters()
    spans = race.spans()
    report.holds(
        f"shared spans: {rounds:,} begun once and ended once by {THREADS} threads",
        counters["started"] == len(spans) == len({span.span_id for span in spans}) and counters["active"] == 0,
    )
    report.holds(
        "shared spans: what came out is whole",
        all(value == f"value {value[6:].split('v')[0]}" * 3 for span in spans for value in span.attributes.values())
        and all(len(span.attributes) <= 50 for span in spans),
    )


def race_exceptions(report: Report, rounds: int) -> None:
    """From more places than are remembered, with messages that are replaced by those of others."""
    race = Race()
    rounds //= 10
    names: dict[str, Any] = {}
    exec("".join(f"def fail_{place}(text): raise ValueError(text)\n" for place in range(300)), names)

    def work(number: int) -> None:
        for index in range(rounds):
            place = index % 5 if index % 3 else (index * 7 + number) % 300
            text = f"{place} {number if index % 4 else 'all'}"
            with contextlib.suppress(ValueError), race.tracer.start_as_current_span(text):
                names[f"fail_{place}"](text)

    together(work)
    race.end()
    spans = race.spans()
    report.holds(
        f"exceptions: {len(spans):,} told, each as it was raised",
        len(spans) == THREADS * rounds
        and all(
            span.status.description == f"ValueError: {span.name}"
            and span.events[0].attributes["exception.message"] == span.name
            and span.events[0]
            .attributes["exception.stacktrace"]
            .endswith(f"in fail_{span.name.split()[0]}\nValueError: {span.name}\n")
            for span in spans
        ),
    )


def race_samplers(report: Report, rounds: int) -> None:
    """Decisions are taken while thresholds, members of tracestate and whoever is asked are replaced."""
    race = Race()
    recorder = race.recorder
    recorder.observe = True
    stop = False
    members = {f"th:{value:x}" for value in range(1, 16)}
    expired: list[int] = []

    def change() -> None:
        value = 0
        while not stop:
            value = value % 15 + 1
            recorder.ot_members = (f"th:{value:x}",) * 5
            root = (value % 2) << 56 if value % 3 else layout.THRESHOLD_ASK
            recorder.thresholds = (root, 0, 0, 0, 1 << 56)
            recorder.decide = lambda *_: (2, {"asked": True}, "own=1")
            recorder.on_expire = lambda: expired.append(1)
            recorder.expires_ns = 1
            recorder.window()

    watcher = threading.Thread(target=change)
    watcher.start()

    def work(number: int) -> None:
        for _ in range(rounds):
            with race.tracer.start_as_current_span("root") as root, race.tracer.start_as_current_span("child"):
                state = root.trace_state.to_header()
                assert state in ("", "own=1") or state.removeprefix("ot=") in members, state

    together(work)
    stop = True
    watcher.join()
    race.end()
    counters, window = recorder.counters(), recorder.window()
    spans = race.spans()
    report.holds(
        f"samplers: {len(spans):,} spans sampled, each start in one account",
        counters["started"] == 2 * THREADS * rounds == counters["sampled_out"] + len(spans)
        and counters["active"] == counters["sampler_errors"] == 0,
    )
    report.holds(
        f"samplers: {window['requests']:,} local roots observed, each once",
        THREADS * rounds == window["requests"] == sum(window["durations"]) and window["errors"] == 0,
    )
    report.holds(f"samplers: {len(expired):,} times over", len(expired) > 0)


def race_tail(report: Report, rounds: int) -> None:
    """Threads end spans of shared traces, each of which meets a rule; no bit is lost, and traces are kept whole."""
    rounds //= 4
    race = Race()
    recorder = race.recorder
    recorder.thresholds = (1 << 56,) * 5
    recorder.record_unsampled = True
    recorder.tail_rules = [("attribute", 1 + number, f"thread {number}", None, None, None) for number in range(THREADS)]
    roots = [race.tracer.start_span(f"root {index}") for index in range(rounds)]
    quiet = [race.tracer.start_span("quiet") for _ in range(rounds)]

    def work(number: int) -> None:
        attributes = {f"thread {number}": 1}
        for index in range(rounds):
            race.tracer.start_span("child", roots[index], attributes=attributes).end()
            race.tracer.start_span("child", quiet[index]).end()
            headers.inject_w3c({}, roots[index])
            assert roots[index].sampled and not quiet[index].sampled

    together(work)
    for root in (*roots, *quiet):
        root.end()
    race.end()
    store = Store(max_bytes=1 << 30, grace_ns=0)
    for records in race.taken:
        store.add(records, 1)
    store.tick(2)
    kept = b""
    while records := store.take(512, 1 << 20):
        kept += records
    spans = [span for records in [kept] for span in decode.decode_request(otlp.assemble(records, b"", [(b"", "")]))]
    report.holds(
        f"tail: {rounds:,} traces kept whole, as many left out",
        sum(span.name == "child" for span in spans) == THREADS * rounds == len(spans) - rounds
        and store.held_spans == (THREADS + 1) * rounds,
    )
    position, bits = 0, []
    while position < len(kept):
        fields = layout.RECORD_HEADER.unpack_from(kept, position)
        if fields[2] & layout.RECORD_FLAG_LOCAL_ROOT:
            bits.append(fields[6])
        position += fields[3]
    report.holds("tail: every rule that was met is on its root", set(bits) == {(1 << THREADS + 1) - 2})


def race_headers(report: Report, rounds: int) -> None:
    carrier: dict[str, str] = {"host": "x", "accept": "*/*"}
    pairs: list[tuple[bytes, bytes]] = [(b"host", b"x")]
    good = True

    def work(number: int) -> None:
        nonlocal good
        mine = f"00-{number + 1:032x}-{number + 1:016x}-01"
        for index in range(rounds):
            if number % 2:
                carrier[f"x-{number}-{index % 97}"] = mine
                carrier["traceparent"] = mine
                carrier.pop(f"x-{number}-{(index + 50) % 97}", None)
                pairs.append((b"traceparent", mine.encode()))
                if len(pairs) > 40:
                    del pairs[:20]
            else:
                for found in (headers.extract_w3c(carrier, Context()), headers.extract_w3c(pairs, Context())):
                    context = None if found is None else found.span_context
                    good = good and (context is None or 1 <= context.trace_id == context.span_id <= THREADS)
                out: dict[str, str] = {}
                with fasttrace.use(Context(SpanContext(number + 1, 7, trace_flags=1))):
                    headers.inject_w3c(out)
                good = good and out["traceparent"] == f"00-{number + 1:032x}-{7:016x}-01"

    together(work)
    report.holds("headers: what was read is what somebody wrote", good)


def race_codec(report: Report, rounds: int) -> None:
    rounds //= 10
    attributes: dict[str, Any] = {f"key {number}": number for number in range(20)}
    good = True

    def work(number: int) -> None:
        nonlocal good
        for index in range(rounds):
            if number % 2:
                attributes[f"key {index % 40}"] = index
                attributes.pop(f"key {(index + 20) % 40}", None)
            else:
                resource = otlp.encode_attributes(attributes)
                scope = otlp.encode_scope(InstrumentationScope("scope", "1", "", {"number": number}))
                request = otlp.assemble(race.taken[0], resource, [(scope, "")])
                spans = decode.decode_request(request)
                good = good and len(spans) == 3 and spans[0].scope.attributes == {"number": number}

    race = Race()
    for _ in range(3):
        race.tracer.start_span("span").end()
    race.end()
    race.taken = [b"".join(race.taken)]
    together(work)
    report.holds("codec: requests made and read at once are whole", good)


def race_tracers(report: Report, rounds: int) -> None:
    provider = fasttrace.TracerProvider(exporter="none", service_name="race", schedule_delay=0.01)

    def work(number: int) -> None:
        for index in range(rounds // 20):
            tracer = provider.get_tracer(f"scope {index % 50}")
            with tracer.start_as_current_span("span"):
                pass
            if index % 50 == number:
                provider.flush(10)
                provider.stats()

    together(work)
    report.holds("tracers: one scope for each name", len(provider.recorder.scopes) == min(50, rounds // 20))
    report.holds("tracers: all is delivered", provider.flush(60))
    report.balance(provider.stats())
    provider.shutdown(5)


def race_forks(report: Report, rounds: int) -> None:
    """A child is forked while threads record: it starts from nothing, and records with threads of its own."""
    provider = fasttrace.TracerProvider(exporter="none", service_name="race", schedule_delay=0.01)
    tracer = provider.get_tracer("race")
    stop = False

    def record() -> None:
        while not stop:
            with tracer.start_as_current_span("span", attributes={"key": "value"}) as span:
                span.add_event("event")
            fail()

    def fail() -> None:
        with contextlib.suppress(ValueError), tracer.start_as_current_span("span"):
            raise ValueError("known")

    recorders = [threading.Thread(target=record) for _ in range(4)]
    for thread in recorders:
        thread.start()
    good = True
    for _ in range(max(3, rounds // 1000)):
        child = os.fork()
        if child == 0:
            code = 1
            # Without a GIL CPython copies what another thread has locked: who waits for that for ever should say so.
            faulthandler.dump_traceback_later(60, exit=True)
            with contextlib.suppress(BaseException):
                together(lambda number: [fail() for _ in range(100)] and None, 4)
                stats = provider.stats()
                flushed = provider.flush(20)
                code = 0 if flushed and stats["started"] == 400 and stats["active"] == 0 else 2
            os._exit(code)
        good = good and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop = True
    for thread in recorders:
        thread.join()
    report.holds("forks: every child counted its own spans and delivered them", good)
    report.holds("forks: the parent delivered its own", provider.flush(60))
    report.balance(provider.stats())
    provider.shutdown(5)


def main() -> None:
    arguments = options(__doc__.split("\n", 1)[0])
    report = Report("race", arguments)
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"  {THREADS} threads, {'with' if gil else 'without'} a GIL", flush=True)
    rounds = max(200, int(ROUNDS * arguments.scale * (1 if IMPL == "cython" else 0.1)))
    for race in (
        race_ids,
        race_queue,
        race_spans,
        race_shared_spans,
        race_exceptions,
        race_samplers,
        race_tail,
        race_headers,
        race_codec,
        race_tracers,
        race_forks,
    ):
        race(report, rounds)
    report.end()


if __name__ == "__main__":
    main()
