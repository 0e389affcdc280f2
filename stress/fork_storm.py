"""Forks under load: every span of every child arrives once, none under an id of another process.

At full scale 1,000 forks from several threads while others record and flush. Children make spans, some with children of
their own, and leave by os._exit after a shutdown, as the end of a program does it, or a flush; all write to one file of
JSON lines.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from typing import Any

from common import Report, options

import fasttrace
from fasttrace.context import Context, attach
from fasttrace.export import JSONLinesExporter

FORKS = 1000
FORKING_THREADS = 3
RECORDING_THREADS = 2
CHILD_SECONDS = 60


def spans_of(path: str) -> list[dict[str, Any]]:
    """Every span in the file, in order."""
    with open(path, encoding="utf-8") as file:
        return [
            span
            for line in file
            for resource_spans in json.loads(line)["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"]
            for span in scope_spans["spans"]
        ]


class Storm:
    """The parent's side: threads that fork and wait, threads that record, and what must arrive."""

    def __init__(self, path: str, forks: int, seed: int) -> None:
        self.path = path
        self.seed = seed
        self.left = list(range(forks))
        self.lock = threading.Lock()
        self.expected: Counter[str] = Counter()
        self.failed: list[str] = []
        self.stop = threading.Event()
        self.tracer = fasttrace.get_tracer("storm")

    def child(self, number: int, depth: int = 0) -> None:
        """Spans named after the process's number, perhaps a child of its own, and an end of one kind or the other."""
        chance = random.Random(self.seed * 1_000_003 + number)
        attach(Context())  # not below the span that the parent forked in: its traces are to be its own
        for _ in range(chance.randrange(1, 30)):
            with (
                self.tracer.start_as_current_span(f"child {number}"),
                self.tracer.start_as_current_span(f"inner {number}"),
            ):
                pass
        if depth == 0 and chance.random() < 0.2:
            pid = os.fork()
            if pid == 0:
                self.child(number + 1_000_000, 1)
            if os.waitstatus_to_exitcode(self.wait(pid)) != 0:
                os._exit(3)
        done = fasttrace.flush(20) if chance.random() < 0.5 else fasttrace.shutdown(20)
        stats = fasttrace.stats()
        os._exit(0 if done and stats["started"] == stats["exported"] and not sum(stats["dropped"].values()) else 4)

    def planned(self, number: int, depth: int = 0) -> Counter[str]:
        """The names that ``child`` makes."""
        chance = random.Random(self.seed * 1_000_003 + number)
        count = chance.randrange(1, 30)
        names = Counter({f"child {number}": count, f"inner {number}": count})
        if depth == 0 and chance.random() < 0.2:
            names += self.planned(number + 1_000_000, 1)
        return names

    @staticmethod
    def wait(pid: int) -> int:
        end = time.monotonic() + CHILD_SECONDS
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                return status
            if time.monotonic() > end:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                return 9
            time.sleep(0.002)

    def forking(self) -> None:
        while True:
            with self.lock:
                if not self.left:
                    return
                number = self.left.pop()
            with self.tracer.start_as_current_span("fork"):
                pid = os.fork()
                if pid == 0:
                    try:
                        self.child(number)
                    finally:
                        os._exit(5)
            code = os.waitstatus_to_exitcode(self.wait(pid))
            with self.lock:
                self.expected["fork"] += 1
                self.expected += self.planned(number)
                if code != 0:
                    self.failed.append(f"child {number} left with {code}")

    def recording(self) -> None:
        while not self.stop.is_set():
            with self.tracer.start_as_current_span("load"), self.tracer.start_as_current_span("load"):
                pass
            with self.lock:
                self.expected["load"] += 2
            time.sleep(0.001)

    def flushing(self) -> None:
        while not self.stop.is_set():
            fasttrace.flush(5)
            fasttrace.stats()
            time.sleep(0.005)

    def run(self) -> None:
        """To the end of all children and threads."""
        forking = [threading.Thread(target=self.forking) for _ in range(FORKING_THREADS)]
        others = [threading.Thread(target=self.recording) for _ in range(RECORDING_THREADS)]
        others.append(threading.Thread(target=self.flushing))
        for thread in forking + others:
            thread.start()
        for thread in forking:
            thread.join()
        self.stop.set()
        for thread in others:
            thread.join()


def main() -> None:
    arguments = options(__doc__.split("\n", 1)[0])
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)
    report = Report("fork storm", arguments)
    forks = max(10, int(FORKS * arguments.scale))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "spans.jsonl")
        fasttrace.configure(exporter=JSONLinesExporter(path), schedule_delay=0.005, service_name="storm")
        storm = Storm(path, forks, arguments.seed)
        begin = time.monotonic()
        storm.run()
        report.figure("forks", forks)
        report.figure("forks per second", int(forks / (time.monotonic() - begin)))
        report.holds("all that waited in the parent was delivered", fasttrace.flush(60))
        spans = spans_of(path)
        report.figure("spans", len(spans))
    for failure in storm.failed[:20]:
        print(f"  {failure}", file=sys.stderr)
    report.holds("every child came to its end and its accounts balance", not storm.failed)
    arrived = Counter(span["name"] for span in spans)
    report.holds("every span of every process arrived, once", arrived == storm.expected)
    report.holds("no span id came twice", len({span["spanId"] for span in spans}) == len(spans))
    owners: dict[str, set[str]] = {}
    for span in spans:
        owners.setdefault(span["traceId"], set()).add(span["name"].partition(" ")[2])
    report.holds("no trace id was made by two processes", all(len(owner) == 1 for owner in owners.values()))
    report.balance(fasttrace.stats())
    report.end()


if __name__ == "__main__":
    main()
