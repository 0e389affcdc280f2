"""A minute of load against a receiver that misbehaves in every way: each span arrives, waits on disk, or is counted.

The receiver is a process of its own (``receiver.py``), the sender another one, which ends halfway through and leaves
what it could not deliver to a second one. In the end the receiver is healthy, and its log, what is left on disk and
the senders' accounts must agree span by span. Twice arrives only what had an unknown outcome, and that is counted.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from common import Report, options, reserved_port, spans_of

import fasttrace
from fasttrace.export import OTLPExporter, segments

SECONDS = 60
THREADS = 4
TIMEOUT_SECONDS = 0.5
PATIENCE_SECONDS = 120
HERE = Path(__file__).parent


def send(endpoint: str, directory: str, seconds: str, seed: str, result: str) -> None:
    """A sender: load from several threads, the end or the delivery of all that waits, and a file with what it knows."""
    provider = fasttrace.TracerProvider(
        exporter=OTLPExporter(endpoint, timeout=TIMEOUT_SECONDS),
        undelivered_dir=directory,
        schedule_delay=0.05,
        max_batch_spans=200,
        service_name="chaos",
    )
    started: list[list[str]] = [[] for _ in range(THREADS)]
    end = time.monotonic() + float(seconds)

    def load(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        tracer = provider.get_tracer(f"thread {number}")
        while time.monotonic() < end:
            for _ in range(rng.randrange(1, 20)):
                with tracer.start_as_current_span("request", attributes={"size": "x" * rng.randrange(200)}) as span:
                    child = tracer.start_span("query")
                    child.end()
                started[number] += [format(span.span_id, "016x"), format(child.span_id, "016x")]
            if rng.random() < 0.03:
                provider.flush(0.2)
            time.sleep(rng.uniform(0, 0.02))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if sys.stdin.readline() == "healthy\n":
        patience = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < patience and not (provider.flush(5) and not list(Path(directory).glob("*/*.spool"))):
            time.sleep(0.1)
    provider.shutdown(5)
    found = {"stats": provider.stats(), "started": [span_id for part in started for span_id in part]}
    Path(result).write_text(json.dumps(found), encoding="ascii")


class Sender:
    """A process that sends."""

    def __init__(self, folder: Path, name: str, endpoint: str, seconds: float, seed: int) -> None:
        self.result = folder / f"{name}.json"
        arguments = [endpoint, str(folder / "undelivered"), str(seconds), f"{seed} {name}", str(self.result)]
        command = [sys.executable, __file__, "send", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def end(self, line: str) -> dict[str, Any]:
        """Tell it what to do after its load, and wait for its end."""
        self.process.communicate(line, timeout=SECONDS + 2 * PATIENCE_SECONDS)
        assert self.process.returncode == 0, f"the sender ended with {self.process.returncode}"
        found: dict[str, Any] = json.loads(self.result.read_text(encoding="ascii"))
        return found


def run(report: Report, folder: Path, seconds: float, seed: int) -> None:
    with reserved_port() as probe:
        port = probe.getsockname()[1]
    log = folder / "receiver.json"
    receiver = subprocess.Popen(
        [sys.executable, str(HERE / "receiver.py"), str(port), str(seed), str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert receiver.stdin is not None
    assert receiver.stdout is not None
    try:
        assert receiver.stdout.readline() == "ready\n", "the receiver did not start"
        endpoint = f"http://127.0.0.1:{port}/v1/traces"
        first = Sender(folder, "first", endpoint, seconds / 2, seed).end("go on\n")
        second = Sender(folder, "second", endpoint, seconds / 2, seed)
        time.sleep(seconds / 2)
        receiver.stdin.write("healthy\n")
        receiver.stdin.flush()
        senders = [first, second.end("healthy\n")]
        receiver.communicate("end\n", timeout=PATIENCE_SECONDS)
    finally:
        receiver.kill()
        receiver.wait()
    judge(report, senders, json.loads(log.read_text(encoding="ascii")), folder / "undelivered")


def judge(report: Report, senders: list[dict[str, Any]], log: dict[str, Any], undelivered: Path) -> None:
    for kind, count in sorted(log["answers"].items()):
        report.figure(f"receiver: {kind}", count)
    for name, sender in zip(("first: ", "second: "), senders, strict=True):
        report.balance(sender["stats"], name)
    stats = [sender["stats"] for sender in senders]
    started = Counter(span_id for sender in senders for span_id in sender["started"])
    kept = {span_id for entry in log["arrived"] if entry["kept"] for span_id in entry["ids"]}
    waiting = {
        span.span_id.hex()
        for path in undelivered.glob("*/*.spool")
        for request, _ in segments.read(path, delivered=False)
        for span in spans_of(request)
    }
    missing = set(started) - kept - waiting
    dropped = sum(sum(item["dropped"].values()) + item["replay_dropped"] for item in stats)
    ambiguous = sum(item["retried_ambiguous"] for item in stats)
    report.figure("spans started", len(started))
    report.figure("spans that the second sent for the first", stats[1]["replayed"])
    report.figure("spans left on disk", len(waiting))
    report.figure("spans that neither arrived nor wait", len(missing))
    report.figure("spans counted as dropped", dropped)
    report.holds("every id is unique", len(started) == sum(started.values()) == sum(item["started"] for item in stats))
    report.holds("nothing arrived that was not started", kept <= set(started))
    report.holds("every span arrived, waits on disk, or is counted as dropped", len(missing) <= dropped)
    # What a receiver kept without a word may be dropped afterwards, and one that keeps nothing may say that it does.
    report.holds(
        "nothing is counted as dropped that arrived, but for unknown outcomes", dropped - len(missing) <= ambiguous
    )
    report.holds("once the receiver is healthy nothing is left on disk", not waiting and not stats[1]["spooled"])
    read: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for entry in log["arrived"]:
        read.update(entry["ids"])
        if entry["known"]:
            known.update(entry["ids"])
    twice = sum(read.values()) - len(read)
    report.figure("spans that arrived once more", twice)
    report.figure("retried_ambiguous", ambiguous)
    # Not by the order in which it was read: a receiver that was held up reads late what its sender has given up.
    report.holds("nothing arrives twice to its sender's knowledge", all(count == 1 for count in known.values()))
    report.holds("what arrives again is counted as retried_ambiguous", twice <= ambiguous)


def main() -> None:
    if sys.argv[1:2] == ["send"]:
        send(*sys.argv[2:])
        return
    arguments = options(__doc__.split("\n", 1)[0])
    report = Report("chaos", arguments)
    with tempfile.TemporaryDirectory() as folder:
        run(report, Path(folder), max(4.0, SECONDS * arguments.scale), arguments.seed)
    report.end()


if __name__ == "__main__":
    main()
