"""SIGKILL at 500 random moments: what was written is there, once, readable, and the next process delivers it.

Half of the processes write to the spool, half to the folder of undelivered spans since their collector is away. Each
says over a pipe which spans are confirmed, that is written. Of the second half, what is left is delivered by further
processes, every other of which is killed, too.
"""

from __future__ import annotations

import http.server
import logging
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from common import Report, options, reserved_port, spans_of

import fasttrace
from fasttrace.export import OTLPExporter, SpoolExporter, segments
from fasttrace.local.store import Store

KILLS = 500
PATIENCE_SECONDS = 60
# So large that a kill may hit in the middle of a write.
LARGE_BYTES = 20_000
NUMBER = struct.Struct("<q")


# --- the processes that are killed


def record(kind: str, target: str, directory: str, seed: str) -> None:
    """Record for ever; after each burst that is written, say how many spans are."""
    exporter = SpoolExporter(directory, segment_bytes=200_000) if kind == "spool" else OTLPExporter(target, timeout=0.2)
    provider = fasttrace.TracerProvider(exporter=exporter, undelivered_dir=directory, schedule_delay=0.005)
    tracer = provider.get_tracer("killed")
    rng = random.Random(seed)
    number = 0
    os.write(1, NUMBER.pack(number))
    while True:
        padding = "x" * rng.choice((10, 10, LARGE_BYTES))
        for _ in range(rng.randrange(1, 60)):
            tracer.start_span(str(number), attributes={"padding": padding}).end()
            number += 1
        provider.flush(10)
        stats = provider.stats()
        if stats["exported"] + stats["spooled"] == number:
            os.write(1, NUMBER.pack(number))


def deliver(target: str, directory: str) -> None:
    """Deliver what others left, and say so."""
    provider = fasttrace.TracerProvider(exporter=OTLPExporter(target), undelivered_dir=directory, schedule_delay=0.005)
    provider.get_tracer("deliverer").start_span("new").end()
    os.write(1, NUMBER.pack(0))
    while list(Path(directory).glob("*/*.spool")):
        time.sleep(0.005)
    provider.shutdown(PATIENCE_SECONDS)


class Process:
    """One of them, and what it says."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert len(self.process.stdout.read(NUMBER.size)) == NUMBER.size, "the process did not start"

    def kill_after(self, seconds: float) -> int:
        """SIGKILL after so many seconds; the last number that it said."""
        assert self.process.stdout is not None
        time.sleep(seconds)
        self.process.send_signal(signal.SIGKILL)
        said = bytes(NUMBER.size) + self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        return int(NUMBER.unpack_from(said, len(said) // NUMBER.size * NUMBER.size - NUMBER.size)[0])

    def end(self) -> int:
        """Wait for its own end."""
        assert self.process.stdout is not None
        self.process.stdout.close()
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


# --- what they left


def left_in(directory: Path) -> tuple[list[str], int]:
    """The names of the spans on disk as the official classes read them, and how many segments have a torn tail."""
    names: list[str] = []
    torn = 0
    for path in directory.rglob("*.spool"):
        end = 0
        for request, end in segments.read(path):  # noqa: B007
            names += [span.name for span in spans_of(request)]
        torn += end != path.stat().st_size
    return names, torn


class Collector:
    """Takes OTLP on a socket that was there before, and keeps the names of each request."""

    def __init__(self, listener: socket.socket) -> None:
        collector = self
        self.requests: list[list[str]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.requests.append([span.name for span in spans_of(body)])
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # whoever was killed has left its connection

        listener.listen(16)
        self.server = Server(listener.getsockname(), Handler, bind_and_activate=False)
        self.server.socket.close()
        self.server.socket = listener
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def wait_for(self, count: int) -> None:
        """Until so many requests have arrived, or no more come."""
        patience = time.monotonic() + 1
        while len(self.requests) < count and time.monotonic() < patience:
            time.sleep(0.0002)

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Tally:
    """What was found, over all rounds."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.broken: dict[str, list[str]] = {}

    def must(self, promise: str, kept: bool, what: str) -> None:
        """A promise of one round; ``what`` to look at if it was not kept."""
        broken = self.broken.setdefault(promise, [])
        if not kept:
            broken.append(what)

    def check(self, where: str, directory: Path, confirmed: int) -> list[str]:
        """What a killed process left: all that was confirmed, nothing twice, readable by everybody."""
        names, torn = left_in(directory)
        what = f"{where} confirmed {confirmed}, found {len(names)} ({len(set(names))} different)"
        self.must("what was confirmed is there", set(names) >= {str(number) for number in range(confirmed)}, what)
        self.must("nothing is there twice", len(names) == len(set(names)), what)
        readable = [folder for folder in directory.rglob("*") if folder.is_dir()] or [directory]
        read = sum(sum(1 for _ in Store(folder).spans()) for folder in readable)
        self.must("the local store reads as much as the official classes", read == len(names), f"{what}, read {read}")
        self.counts["spans recorded and found on disk"] += len(names)
        self.counts["segments with a torn tail"] += torn
        self.counts["kills before anything was confirmed"] += not confirmed
        return names


def kill_spool(tally: Tally, directory: Path, rng: random.Random) -> None:
    confirmed = Process("record", "spool", "-", str(directory), str(rng.random())).kill_after(rng.uniform(0, 0.1))
    tally.check("spool:", directory, confirmed)
    following = SpoolExporter(directory)
    (some,) = list(segments.requests(directory))[:1] or [b""]
    following.append(some)
    tally.must("the next process writes on", list(segments.requests(directory))[-1] == some, str(directory))
    following.shutdown(1)


def kill_undelivered(tally: Tally, directory: Path, rng: random.Random) -> None:
    with reserved_port() as listener:
        target = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"
        process = Process("record", "otlp", target, str(directory), str(rng.random()))
        names = tally.check("undelivered:", directory, process.kill_after(rng.uniform(0, 0.1)))
        collector = Collector(listener)
        killed = False
        try:
            if names and rng.random() < 0.5:
                sender = Process("deliver", target, str(directory))
                collector.wait_for(rng.randrange(1, 8))
                sender.kill_after(rng.uniform(0, 0.002))
                killed = True
            status = Process("deliver", target, str(directory)).end()
        finally:
            collector.stop()
    tally.must("the next process delivers and ends well", status == 0, f"status {status}")
    arrived = Counter(name for names in collector.requests for name in names if name != "new")
    what = f"on disk {len(names)}, arrived {len(arrived)} as {sum(arrived.values())}, a sender was killed: {killed}"
    tally.must("all that was left is delivered", set(arrived) == set(names), what)
    # Which request that was is not known here: every span that came twice must be in one and the same.
    twice = {name for name, count in arrived.items() if count > 1}
    requests = [set(request) for request in collector.requests if twice & set(request)]
    once = not twice or (killed and max(arrived.values()) == 2 and len(requests) == 2 and requests[0] == requests[1])
    tally.must("nothing arrives twice but the one request that was being sent", once, f"{what}, twice {len(twice)}")
    tally.counts["spans delivered by the next process"] += len(arrived)
    tally.counts["spans delivered twice"] += len(twice)
    tally.counts["kills in the middle of delivering"] += killed


# --- a segment cut at every byte


def cut_everywhere(tally: Tally, directory: Path, step: int) -> None:
    """A real segment, partly delivered, cut at every byte: readers give the whole frames before the cut."""
    provider = fasttrace.TracerProvider(exporter=SpoolExporter(directory), schedule_delay=60)
    tracer = provider.get_tracer("cut")
    for burst in range(1, 12):
        for number in range(burst):
            tracer.start_span(f"span {number}", attributes={"FTS1": b"FTS1" * number}).end()
        provider.flush(10)
    provider.shutdown(10)
    (path,) = segments.paths(directory)
    data = bytearray(Path(path).read_bytes())
    whole = list(segments.read(path))
    data[: len(segments.DELIVERED)] = segments.DELIVERED
    copy = directory / "copy.spool"
    for length in range(0, len(data) + 1, step):
        copy.write_bytes(data[:length])
        before = [item for item in whole if item[1] <= length]
        tally.must(
            "a segment cut at any byte gives the whole frames before the cut",
            list(segments.read(copy)) == before,
            f"at {length}",
        )
        tally.must(
            "and those that wait without the delivered ones",
            list(segments.read(copy, delivered=False)) == before[1:],
            f"at {length}",
        )
        tally.counts["cuts"] += 1


def main() -> None:
    logging.getLogger("fasttrace").setLevel(logging.ERROR)  # that the collector is away is the point
    if sys.argv[1:2] == ["record"]:
        record(*sys.argv[2:])
    if sys.argv[1:2] == ["deliver"]:
        deliver(*sys.argv[2:])
        return
    arguments = options(__doc__.split("\n", 1)[0])
    report = Report("kill", arguments)
    rng = random.Random(arguments.seed)
    tally = Tally()
    kills = max(10, int(KILLS * arguments.scale))
    for number in range(kills):
        with tempfile.TemporaryDirectory() as folder:
            (kill_spool, kill_undelivered)[number % 2](tally, Path(folder), rng)
    with tempfile.TemporaryDirectory() as folder:
        cut_everywhere(tally, Path(folder), 1 if arguments.scale >= 1 else 7)
    report.figure("processes killed while they recorded", kills)
    for name, count in tally.counts.items():
        report.figure(name, count)
    for promise, broken in tally.broken.items():
        report.holds(promise, not broken)
        for what in broken[:5]:
            print("        " + what)
    report.end()


if __name__ == "__main__":
    main()
