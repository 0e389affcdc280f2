"""What the stress programs share: their options, the accounts, how they report."""

from __future__ import annotations

import argparse
import random
import socket
import sys
from collections.abc import Iterator
from typing import Any

PARTS = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")


def options(description: str, **flags: str) -> argparse.Namespace:
    """``--scale``: the share of the full figures; ``--seed``: of all that is random, printed to be given again.

    ``flags`` are a program's own switches, each with its help.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full figures (default: 1)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    for name, text in flags.items():
        parser.add_argument("--" + name.replace("_", "-"), action="store_true", help=text)
    return parser.parse_args()


class Report:
    """Prints figures as they come, remembers what did not hold."""

    def __init__(self, title: str, arguments: argparse.Namespace) -> None:
        import fasttrace

        self.failed: list[str] = []
        print(f"{title}: {fasttrace.implementation()[0]}, scale {arguments.scale:g}, seed {arguments.seed}", flush=True)

    def figure(self, name: str, value: Any) -> None:
        """One line of the report."""
        print(f"  {name:<52} {value:>14,}" if isinstance(value, int) else f"  {name:<52} {value:>14}", flush=True)

    def holds(self, promise: str, kept: bool) -> None:
        """One promise, and whether it was kept."""
        print(f"  {'ok  ' if kept else 'FAIL'}  {promise}", flush=True)
        if not kept:
            self.failed.append(promise)

    def balance(self, stats: dict[str, Any], whose: str = "") -> None:
        """started = active + abandoned + queued + held + spooled + exported + sampled_out + dropped."""
        dropped = {reason: count for reason, count in stats["dropped"].items() if count}
        total = sum(stats[part] for part in PARTS) + sum(dropped.values())
        for part in PARTS:
            if stats[part]:
                self.figure(whose + part, stats[part])
        for reason, count in dropped.items():
            self.figure(f"{whose}dropped: {reason}", count)
        kept = stats["started"] == total
        self.holds(f"{whose}the accounts balance: {stats['started']:,} started, {total:,} accounted for", kept)

    def end(self) -> None:
        """Leave with 1 if anything did not hold."""
        sys.exit(1 if self.failed else 0)


def reserved_port() -> socket.socket:
    """A socket with a port of its own on the loopback that refuses connections until ``listen`` is called."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


def spans_of(request: bytes) -> Iterator[Any]:
    """The spans of a request, read by the official classes."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for resource_spans in ExportTraceServiceRequest.FromString(request).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            yield from scope_spans.spans
