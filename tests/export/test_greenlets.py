"""gevent and eventlet, patched or not: the background thread is a thread, and never holds up the hub."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos, answer
from collector import Collector, take
from succeeding import succeed

PROGRAM = """
import sys
library, patched, order, exporter, endpoint, asked, ticked = sys.argv[1:]
if order == "fasttrace first":
    import fasttrace
if library == "gevent":
    if patched == "patched":
        from gevent import monkey
        monkey.patch_all()
    import gevent
    spawn, join, sleep = gevent.spawn, lambda greenlets: gevent.joinall(greenlets, raise_error=True), gevent.sleep
else:
    import eventlet
    if patched == "patched":
        eventlet.monkey_patch()
    spawn, sleep = eventlet.spawn, eventlet.sleep
    def join(greenlets):
        for greenlet in greenlets:
            greenlet.wait()
import os
import fasttrace
import fasttrace.export

exporter = getattr(fasttrace.export, exporter)(endpoint, timeout=20)
fasttrace.configure(exporter=exporter, schedule_delay=0.01, max_queue_spans=100_000)
tracer = fasttrace.get_tracer("test")
ticks, stop = 0, False

def ticker():
    global ticks
    while not stop:
        sleep(0.01)
        if os.path.exists(asked):  # the request is under way, and answered once the hub has been seen to run
            ticks += 1
            if ticks == 5:
                open(ticked, "w").close()

def work():
    for _ in range(30):
        with tracer.start_as_current_span("outer") as outer:
            sleep(0.001)
            with tracer.start_as_current_span("inner") as inner:
                assert inner.parent_span_id == outer.span_id and inner.trace_id == outer.trace_id
                sleep(0)

ticking = spawn(ticker)
join([spawn(work) for _ in range(20)])
while not os.path.exists(ticked):
    sleep(0.01)
stop = True
join([ticking])
assert fasttrace.flush(20)
stats = fasttrace.stats()
print(stats["started"], stats["exported"])
"""


class Hub:
    """Whether the hub of a program has run while its request was under way, told by two files."""

    def __init__(self, folder: Path) -> None:
        self.asked, self.ticked = folder / "asked", folder / "ticked"

    def wait(self) -> None:
        self.asked.touch()
        deadline = time.monotonic() + 15
        while not self.ticked.exists() and time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


@pytest.mark.parametrize("order", ["fasttrace first", "fasttrace last"])
@pytest.mark.parametrize("patched", ["patched", "unpatched"])
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_greenlets_are_traced_and_the_hub_runs_while_a_collector_is_slow(
    chaos: Chaos, hub: Hub, library: str, patched: str, order: str
) -> None:
    if find_spec(library) is None:  # not imported here: they hook forks
        pytest.skip("not installed")

    def slow(handler: Any) -> None:
        hub.wait()
        answer(200)(handler)

    chaos.script = [slow, answer(200)]
    check(hub, library, patched, order, "OTLPExporter", chaos.endpoint)


@pytest.mark.parametrize("patched", ["patched", "unpatched"])
def test_grpcs_calls_hold_up_no_hub_either(hub: Hub, patched: str) -> None:
    pytest.importorskip("gevent")

    def slow(collector: Collector, context: Any) -> Any:
        hub.wait()
        return take(collector, context)

    collector = Collector()
    collector.script = [slow, take]
    try:
        check(hub, "gevent", patched, "fasttrace first", "OTLPGrpcExporter", collector.endpoint)
    finally:
        collector.stop()


def check(hub: Hub, *arguments: str) -> None:
    run = succeed([sys.executable, "-c", PROGRAM, *arguments, str(hub.asked), str(hub.ticked)])
    assert run.stdout.split() == ["1200", "1200"]
