"""Tail rules on real providers: whole traces are kept or left out, and every span is accounted for."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fasttrace
from fasttrace import process
from fasttrace._core.types import SpanData
from fasttrace.export import MemoryExporter
from fasttrace.sampling import Probability, tail

SECOND = 10**9
RULES = [tail.latency(seconds=2.0), tail.error(), tail.http_5xx(), tail.exception(), tail.baseline(0.0)]
Make = Callable[..., fasttrace.TracerProvider]


@pytest.fixture
def make() -> Iterator[Make]:
    """Providers with an exporter into memory; at the end each has a place for every span that it began."""
    made: list[fasttrace.TracerProvider] = []

    def one(**arguments: Any) -> fasttrace.TracerProvider:
        arguments = {"tail": RULES, "exporter": MemoryExporter(), "schedule_delay": 0.05, **arguments}
        made.append(fasttrace.TracerProvider(control_file="none", **arguments))
        return made[-1]

    yield one
    for provider in made:
        assert provider.shutdown(20)
        stats = provider.stats()
        places = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")
        assert stats["started"] == sum(stats[key] for key in places) + sum(stats["dropped"].values()), stats
        assert (stats["queued"], stats["held"], stats["queued_bytes"]) == (0, 0, 0), stats


def exported(provider: fasttrace.TracerProvider) -> list[SpanData]:
    assert provider.flush(20)
    spans: list[SpanData] = provider.exporter.spans  # type: ignore[attr-defined]
    return spans


def names(provider: fasttrace.TracerProvider) -> list[str]:
    return sorted(span.name for span in exported(provider))


def reasons(provider: fasttrace.TracerProvider) -> dict[str, Any]:
    return {
        span.name: span.attributes["fasttrace.keep_reason"]
        for span in exported(provider)
        if "fasttrace.keep_reason" in span.attributes
    }


def slow(tracer: Any, name: str, context: Any = None) -> None:
    """A span that takes two seconds, as far as its record says."""
    span = tracer.start_span(name, context)
    span.end(span.start_time_ns + 2 * SECOND)


def test_a_trace_with_one_slow_span_is_kept_whole_and_its_neighbours_are_not(make: Make) -> None:
    provider = make()
    tracer = provider.get_tracer("test")
    for number in range(5):
        with tracer.start_as_current_span(f"root {number}"):
            tracer.start_span(f"early {number}").end()
            with tracer.start_as_current_span(f"middle {number}"):
                if number == 3:
                    slow(tracer, "slow")
            tracer.start_span(f"late {number}").end()
    assert names(provider) == ["early 3", "late 3", "middle 3", "root 3", "slow"]
    assert reasons(provider) == {"root 3": "latency"}
    assert len({span.trace_id for span in provider.exporter.spans}) == 1  # type: ignore[attr-defined]
    stats = provider.stats()
    assert (stats["held"], stats["exported"], stats["kept_traces"]) == (16, 5, {"latency": 1})
    assert not any("ot=th" in str(span.trace_state) for span in provider.exporter.spans)  # type: ignore[attr-defined]


def test_spans_that_end_after_their_local_root_are_kept_with_it(make: Make) -> None:
    provider = make()
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("root") as root:
        kept_child = tracer.start_span("still running")
        slow(tracer, "slow")
    with tracer.start_as_current_span("other") as other:
        other_child = tracer.start_span("other's")
    assert names(provider) == ["root", "slow"]
    kept_child.end()
    other_child.end()
    tracer.start_span("much later", root).end()
    tracer.start_span("other's, much later", other).end()
    assert names(provider) == ["much later", "root", "slow", "still running"]


def test_a_late_span_may_save_a_trace_that_was_left_out(make: Make) -> None:
    provider = make()
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("root") as root:
        tracer.start_span("child").end()
    assert names(provider) == []
    slow(tracer, "background work", root)
    assert names(provider) == ["background work", "child", "root"]
    assert reasons(provider) == {"root": "latency"}


def test_threads_and_tasks_of_a_trace_are_kept_with_it(make: Make) -> None:
    provider = make()
    tracer = provider.get_tracer("test")

    async def task(number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            await asyncio.sleep(0.001 * number)
            if number == 2:
                slow(tracer, "slow")

    async def request() -> None:
        with tracer.start_as_current_span("root") as root:

            def work(number: int) -> None:
                with tracer.start_as_current_span(f"thread {number}", root):
                    tracer.start_span(f"in thread {number}").end()

            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            await asyncio.gather(*[task(number) for number in range(4)])
            for thread in threads:
                thread.join()

    async def neighbours() -> None:
        async def quiet() -> None:
            with tracer.start_as_current_span("neighbour"):
                await asyncio.sleep(0.001)

        await asyncio.gather(request(), *[quiet() for _ in range(10)])

    asyncio.run(neighbours())
    found = names(provider)
    assert len(found) == 1 + 1 + 4 + 4 + 4
    assert "neighbour" not in found


@pytest.mark.parametrize("flags", [0, 1])
def test_a_service_behind_another_keeps_its_part(make: Make, flags: int) -> None:
    """The head of the caller said no, or it said yes, which is a promise."""
    provider = make()
    tracer = provider.get_tracer("test")
    for number in range(3):
        parent = fasttrace.Context(fasttrace.SpanContext(100 + number, 7, True, flags))
        with tracer.start_as_current_span(f"server {number}", parent):
            tracer.start_span("inside").end()
            if number == 1:
                slow(tracer, "slow")
    kept = {"server 1"} if not flags else {"server 0", "server 1", "server 2"}
    assert {name for name in names(provider) if name.startswith("server")} == kept
    assert len(exported(provider)) == (3 if not flags else 7)
    expected = {"server 1": "latency"}
    if flags:
        expected |= {"server 0": "baseline", "server 2": "baseline"}
    assert reasons(provider) == expected


def test_every_rule_keeps_for_its_own_reason(make: Make) -> None:
    rules = [*RULES, tail.attribute("user.tier", value="gold", name="gold"), tail.rare(count=1, seconds=3600)]
    provider = make(tail=rules)
    tracer = provider.get_tracer("test")

    def request(name: str, **attributes: Any) -> Any:
        return tracer.start_as_current_span(name, attributes={"http.route": "/known", **attributes})

    with request("first of its route"):
        pass
    with request("unremarkable"):
        pass
    with request("error") as span:
        span.set_status(fasttrace.StatusCode.ERROR)
    with request("5xx") as span:
        span.set_attribute("http.response.status_code", 502)
    with request("handled"):
        tracer.start_span("child").record_exception(ValueError("x"))
    with request("gold", **{"user.tier": "gold"}):
        pass
    with request("by hand"):
        span = fasttrace.current_span()
        assert fasttrace.keep_trace("support ticket 4711")
    found = {span.name: span for span in exported(provider)}
    assert reasons(provider) == {
        "first of its route": "rare",
        "error": "error",
        "5xx": "http_5xx",
        "handled": "exception",
        "gold": "gold",
        "by hand": "keep_trace",
    }
    assert found["by hand"].attributes["fasttrace.keep_note"] == "support ticket 4711"
    assert provider.stats()["kept_traces"] == dict.fromkeys(
        ("keep_trace", "error", "http_5xx", "exception", "gold", "rare"), 1
    )


def test_the_slowest_of_a_route_are_kept(make: Make) -> None:
    provider = make(tail=[tail.percentile(0.99)])
    tracer = provider.get_tracer("test")
    for number in range(300):
        span = tracer.start_span(f"request {number}", attributes={"http.route": "/orders"})
        span.end(span.start_time_ns + (SECOND if number == 250 else 1_000_000))
    assert names(provider) == ["request 250"]
    assert reasons(provider) == {"request 250": "percentile"}


def test_the_baseline_is_the_heads_without_a_sampler_and_a_rule_beside_one(make: Make) -> None:
    for arguments in ({}, {"sampler": "always_off"}):
        provider = make(tail=[tail.baseline(0.25)], **arguments)
        tracer = provider.get_tracer("test")
        for _ in range(2000):
            tracer.start_span("root").end()
        spans = exported(provider)
        assert 380 < len(spans) < 620  # 500 expected, deviation 19
        assert all(int(span.trace_id, 16) & (1 << 56) - 1 >= 3 << 54 for span in spans)
        assert set(reasons(provider).values()) == {"baseline"}


def test_without_a_baseline_only_what_the_rules_keep_is_exported(make: Make) -> None:
    provider = make(tail=[tail.error()])
    assert provider.stats()["sampling"]["ratio"] == 0
    provider.get_tracer("test").start_span("root").end()
    assert names(provider) == []


def test_what_was_left_out_can_be_recalled_with_its_neighbours(make: Make) -> None:
    provider = make()
    tracer = provider.get_tracer("test")
    begin = time.time_ns()
    ids = []
    for number in range(6):
        span = tracer.start_span(f"root {number}", start_time=begin + number * 10 * SECOND)
        ids.append(span.trace_id)
        tracer.start_span(f"child {number}", span, start_time=begin + number * 10 * SECOND).end(
            begin + (number * 10 + 1) * SECOND
        )
        span.end(begin + (number * 10 + 1) * SECOND)
    assert names(provider) == []
    assert provider.recall(f"{ids[0]:032x}") == 2
    assert names(provider) == ["child 0", "root 0"]
    assert provider.recall(ids[3], neighbours=10) == 6
    assert names(provider) == [f"{kind} {number}" for kind in ("child", "root") for number in (0, 2, 3, 4)]
    assert set(reasons(provider).values()) == {"recall"}
    assert provider.recall(ids[0]) == provider.recall(12345) == 0
    assert provider.recall_recent(3600) == 4
    assert provider.stats()["recall_seconds"] == 0


@pytest.mark.parametrize("trace_id", ["", "xyz", 0, -1, 1 << 128, True, None, 1.5, "0" * 32])
def test_what_is_no_trace_id_can_not_be_recalled(make: Make, trace_id: Any) -> None:
    with pytest.raises(fasttrace.ConfigurationError, match="trace_id="):
        make().recall(trace_id)
    with pytest.raises(fasttrace.ConfigurationError, match="neighbours="):
        make().recall(5, neighbours=-1)


def test_recall_and_keep_trace_do_without_tail_rules(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = make(tail=None, sampler="always_off")
    monkeypatch.setattr(process, "_provider", provider)
    tracer = provider.get_tracer("test")
    assert fasttrace.keep_trace() is False
    with tracer.start_as_current_span("root") as root:
        assert fasttrace.recall(root.trace_id) == 0
        assert fasttrace.keep_trace("note") is False
        assert root.sampled
    sampled = make(tail=None)
    with sampled.get_tracer("test").start_as_current_span("root"):
        assert fasttrace.keep_trace("note") is True
    assert exported(sampled)[0].attributes == {"fasttrace.keep_note": "note"}


def test_a_trace_can_be_kept_after_its_span_has_ended(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = make()
    monkeypatch.setattr(process, "_provider", provider)
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("root") as root:
        root.end()
        assert fasttrace.keep_trace()
    assert reasons(provider) == {"root": "keep_trace"}


def test_decisions_come_by_themselves_within_the_grace(make: Make) -> None:
    """No flush: the background thread decides, exports, and goes to sleep."""
    provider = make()
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("kept"):
        slow(tracer, "slow")
    tracer.start_span("left out").end()
    deadline = time.monotonic() + 60
    while len(provider.exporter.spans) < 2 or provider.pipeline.held.due:  # type: ignore[attr-defined, union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stats = provider.stats()
    assert (stats["exported"], stats["held"], stats["queued"]) == (2, 1, 0)
    while provider.recorder.consumer_running:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    tracer.start_span("woken").end()
    assert names(provider) == ["kept", "slow"]


def test_the_end_decides_for_all_that_is_held(make: Make) -> None:
    provider = make(schedule_delay=60)
    tracer = provider.get_tracer("test")
    open_root = tracer.start_span("never ends")
    tracer.start_span("child of it", open_root).end()
    slow(tracer, "slow child of it", open_root)
    tracer.start_span("left out").end()
    tracer.start_span("child of another", tracer.start_span("abandoned")).end()
    assert provider.shutdown(20)
    spans = provider.exporter.spans  # type: ignore[attr-defined]
    assert sorted(span.name for span in spans) == ["child of it", "slow child of it"]
    stats = provider.stats()
    assert (stats["held"], stats["sampled_out"], stats["active"], stats["abandoned"]) == (0, 2, 1, 1)
    open_root.end()
    assert provider.stats()["dropped"]["after_shutdown"] == 1


def test_a_forked_child_neither_sends_nor_counts_what_its_parent_holds(make: Make) -> None:
    provider = make(schedule_delay=60)
    tracer = provider.get_tracer("test")
    root = tracer.start_span("parent's")
    tracer.start_span("child of parent's", root).end()
    provider.pipeline.recall(lambda store: 0)  # into the store
    assert provider.stats()["held"] == 1
    child = os.fork()
    if not child:
        try:
            stats = provider.stats()
            assert (stats["held"], stats["started"], stats["queued"]) == (0, 0, 0)
            slow(tracer, "in the child", fasttrace.Context(fasttrace.SpanContext(root.trace_id, 9, True)))
            assert provider.flush(20)
            assert [span.name for span in provider.exporter.spans] == ["in the child"]  # type: ignore[attr-defined]
            stats = provider.stats()
            assert (stats["held"], stats["exported"], stats["started"]) == (0, 1, 1)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    slow(tracer, "slow", root)
    root.end()
    assert names(provider) == ["child of parent's", "parent's", "slow"]


def test_memory_stays_bounded_and_every_eviction_is_counted(make: Make) -> None:
    """Spans of traces whose local roots never end, twice what the store holds."""
    provider = make()
    tracer = provider.get_tracer("test")
    text = "x" * 8192
    roots = [tracer.start_span(f"open {number}") for number in range(1000)]
    for turn in range(8):
        for root in roots:
            tracer.start_span("child", root, attributes={"text": text}).end()
            if provider.recorder.ring.depth_bytes > 4 << 20:
                provider.pipeline.recall(lambda store: 0)
        assert provider.stats()["held_bytes"] <= 32 << 20, turn
    provider.pipeline.recall(lambda store: 0)
    stats = provider.stats()
    assert stats["dropped"]["trace_evicted"] > 3000
    assert stats["held"] + stats["dropped"]["trace_evicted"] == 8000
    assert stats["sampled_out"] == 0
    assert stats["dropped"]["queue_full"] == 0
    for root in roots:
        root.end()


def test_kept_spans_that_wait_count_as_queued_and_throttle(make: Make) -> None:
    release = threading.Event()

    class Blocked(MemoryExporter):
        def export(self, batch: Any) -> None:
            release.wait(30)
            super().export(batch)

    provider = make(exporter=Blocked(), max_queue_spans=1000, max_batch_spans=100)
    tracer = provider.get_tracer("test")
    for _ in range(3000):
        slow(tracer, "kept")
    stats = provider.stats()
    assert stats["queued"] <= 1000
    assert stats["queued"] + stats["held"] + stats["dropped"]["queue_full"] + stats["exported"] == 3000
    assert stats["dropped"]["queue_full"] > 0
    release.set()
    assert provider.flush(30)
    assert provider.stats()["queued"] == 0


def test_a_signal_recalls_the_last_seconds(make: Make) -> None:
    from fasttrace.sampling.signals import recall_on_signal

    provider = make()
    tracer = provider.get_tracer("test")
    before = signal.getsignal(signal.SIGUSR2)
    try:
        recall_on_signal("SIGUSR2", 60.0)
        tracer.start_span("odd").end()
        assert names(provider) == []
        os.kill(os.getpid(), signal.SIGUSR2)
        deadline = time.monotonic() + 60
        while not provider.exporter.spans:  # type: ignore[attr-defined]
            assert time.monotonic() < deadline
            tracer.start_span("later").end()  # the thread looks while there is something to do
            time.sleep(0.05)
        assert reasons(provider)["odd"] == "recall"
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_presets_bring_their_rules_and_give_way_to_the_users(make: Make) -> None:
    production = make(tail=None, sampler="production")
    tracer = production.get_tracer("test")
    for _ in range(50):
        tracer.start_span("plain").end()
    slow(tracer, "slow")
    assert "slow" in names(production)
    assert len(exported(production)) < 20
    development = make(tail=None, sampler="auto")
    development.get_tracer("test").start_span("plain").end()
    assert names(development) == ["plain"]
    auto = make(tail=None, sampler="auto", resource={"deployment.environment.name": "production"})
    assert auto.pipeline.held is not None
    own = make(tail=[tail.error()], sampler="production")
    slow(own.get_tracer("test"), "slow")
    assert "error" in str(own.recorder.tail_rules)
    assert len(own.recorder.tail_rules) == 1


def test_a_boost_reaches_real_spans_and_is_seen_in_the_figures(make: Make) -> None:
    sampler = Probability(0.0)
    provider = make(tail=None, sampler=sampler)
    tracer = provider.get_tracer("test")
    tracer.start_span("before").end()
    sampler.boost(1.0, 60)
    tracer.start_span("boosted").end()
    assert provider.stats()["sampling"]["boost"]["ratio"] == 1.0
    sampler.end_boost()
    tracer.start_span("after").end()
    sampler.boost(1.0, 0.05)
    time.sleep(0.06)
    tracer.start_span("after the time").end()
    assert names(provider) == ["boosted"]
    assert str(exported(provider)[0].trace_state) == "ot=th:0"


def test_an_incident_among_requests_that_are_left_out_raises_the_ratio(make: Make) -> None:
    from fasttrace.sampling import Incident

    incident = Incident(error_ratio=0.5, min_requests=10, window=5.0, seconds=60.0)
    provider = make(tail=None, sampler=0.0, incident=incident)
    tracer = provider.get_tracer("test")
    deadline = time.monotonic() + 60
    while not provider.exporter.spans:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline, provider.stats()
        for _ in range(20):
            with tracer.start_as_current_span("request") as span:
                span.set_status(fasttrace.StatusCode.ERROR)
        time.sleep(0.1)
    assert provider.stats()["sampling"]["incidents"] == 1


@pytest.mark.parametrize("arguments", [
    {"tail": "latency=-1s"}, {"tail": "latencie"}, {"tail": [5]}, {"tail": [tail.latency]}, {"incident": 5},
    {"incident": [None]}, {"sampler": 1.5}, {"sampler": "sometimes"},
    {"tail": [tail.baseline(0.1), tail.baseline(0.2)]},
])  # fmt: skip
def test_what_can_not_be_is_refused_with_its_value(arguments: dict[str, Any]) -> None:
    with pytest.raises(fasttrace.ConfigurationError, match="=") as caught:
        fasttrace.TracerProvider(exporter="none", **arguments)
    assert next(iter(arguments)) in str(caught.value) or "baseline" in str(caught.value)


def test_rules_may_come_from_the_environment(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTTRACE_TAIL", "slow:latency=1s,error")
    provider = make(tail=None)
    slow(provider.get_tracer("test"), "root")
    assert reasons(provider) == {"root": "slow"}
