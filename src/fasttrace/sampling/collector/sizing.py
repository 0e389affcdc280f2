"""How many Collectors a load takes: the arithmetic of docs/sizing.md, which says where its constants come from."""

from __future__ import annotations

import math
from dataclasses import dataclass

# CPU time of one span in each role, in microseconds: received, handled, compressed and sent on.
AGENT_MICROSECONDS = 5.0
BALANCER_MICROSECONDS = 6.0
SAMPLER_MICROSECONDS = 5.0
# A Collector that does nothing yet.
BASE_BYTES = 100 << 20
# A span that waits for its decision is Go objects: so many bytes for each byte of its encoded form.
OBJECT_FACTOR = 5.5
# memory_limiter refuses from here on: 80 % of the limit, less 20 % for what comes between two looks.
USABLE_SHARE = 0.6
# Above this a burst has no room.
BUSY_SHARE = 0.6
# A store's replicas and indexes are its own business; this is what arrives.
FLOW_BYTES = 512 << 20
SMALLEST_SAMPLER_BYTES = 512 << 20
# Decisions that are remembered, for each trace that may wait; a trace id with its place in the cache.
CACHED_DECISIONS = 8
CACHED_DECISION_BYTES = 120


@dataclass(frozen=True)
class Load:
    """What comes, and what is wanted: rates per second, times in seconds, sizes in bytes, ``kept`` from 0 to 1."""

    spans: float
    spans_per_trace: float = 20.0
    span_bytes: int = 300
    nodes: int = 3
    decision_wait: float = 30.0
    kept: float = 0.05
    outage: float = 600.0
    sampler_memory: int = 2 << 30

    @property
    def traces(self) -> float:
        """Traces per second."""
        return self.spans / self.spans_per_trace

    @property
    def bytes(self) -> float:
        """Encoded bytes per second, before compression."""
        return self.spans * self.span_bytes


@dataclass(frozen=True)
class Tier:
    """One role: how many, with how many cores and bytes each, and why, a line for each figure."""

    name: str
    replicas: int
    cores: float
    memory_bytes: int
    disk_bytes: int
    because: tuple[str, ...]


def plan(load: Load) -> tuple[Tier, Tier, Tier]:
    """Agents, load balancers and samplers for a load."""
    return _agents(load), _balancers(load), _samplers(load)


def options(load: Load) -> dict[str, str]:
    """What `fasttrace collector-config` is told of it, by role; each also wants addresses and a folder."""
    agents, _, samplers = plan(load)
    # Twice what waits when one of them is away, in whole thousands.
    waiting = load.traces * load.decision_wait / (samplers.replicas - 1)
    traces = max(1, math.ceil(2 * waiting / 1000)) * 1000
    return {
        "agent": f"--queue-size {_queue(agents.disk_bytes)}",
        "sampler": f"--decision-wait {load.decision_wait:g}s --num-traces {traces} "
        f"--queue-size {_queue(samplers.disk_bytes)}",
    }


def _queue(disk_bytes: int) -> str:
    """In whole MB, and never less than a few batches."""
    return f"{max(10, math.ceil(disk_bytes / 1e6))}MB"


def _agents(load: Load) -> Tier:
    spans = load.spans / load.nodes
    cores, busy = _cores(spans, AGENT_MICROSECONDS)
    disk = spans * load.span_bytes * load.outage
    return Tier(
        "agent",
        load.nodes,
        cores,
        FLOW_BYTES,
        math.ceil(disk),
        (
            f"one on each node: {load.spans:,.0f} spans/s / {load.nodes} = {spans:,.0f} spans/s",
            busy,
            f"disk: {spans:,.0f} spans/s x {load.span_bytes} bytes x {load.outage:,.0f} s outage = {size_text(disk)}",
        ),
    )


def _balancers(load: Load) -> Tier:
    needed, busy = _cores(load.spans, BALANCER_MICROSECONDS)
    replicas = max(2, math.ceil(needed) + 1)
    return Tier(
        "load-balancer",
        replicas,
        1.0,
        FLOW_BYTES,
        0,
        (busy, f"a core each, and one that may be away: {math.ceil(needed)} + 1, at least 2 = {replicas}"),
    )


def _samplers(load: Load) -> Tier:
    waiting = load.spans * load.decision_wait
    held = waiting * load.span_bytes * OBJECT_FACTOR
    cached = 2 * load.traces * load.decision_wait * CACHED_DECISIONS * CACHED_DECISION_BYTES
    room = load.sampler_memory * USABLE_SHARE - BASE_BYTES
    by_memory = math.ceil((held + cached) / room)
    needed, busy = _cores(load.spans, SAMPLER_MICROSECONDS)
    by_cores = math.ceil(needed / 2)
    most = max(by_memory, by_cores)
    replicas = most + 1
    disk = load.bytes * load.kept * load.outage / replicas
    spans = f"{load.spans:,.0f} spans/s x {load.decision_wait:g} s = {waiting:,.0f} spans"
    kept = f"{load.bytes / 1e6:,.1f} MB/s x {load.kept:g} kept x {load.outage:,.0f} s outage"
    memory = f"{size_text(load.sampler_memory)} x {USABLE_SHARE:g} - {size_text(BASE_BYTES)}"
    because = (
        f"waiting: {spans}, x {load.span_bytes} bytes x {OBJECT_FACTOR:g} as objects = {size_text(held)}",
        f"decisions that are remembered: {size_text(cached)}",
        f"room in one: {memory} = {size_text(room)}, so {by_memory} by memory",
        f"{busy}, two each, so {by_cores} by CPU",
        f"and one that may be away: {most} + 1 = {replicas}",
        f"disk: {kept} / {replicas} = {size_text(disk)}",
    )
    return Tier("sampler", replicas, 2.0, load.sampler_memory, math.ceil(disk), because)


def _cores(spans: float, microseconds: float) -> tuple[float, str]:
    cores = spans * microseconds / 1e6 / BUSY_SHARE
    return cores, f"CPU: {spans:,.0f} spans/s x {microseconds:g} us / {BUSY_SHARE:g} busy = {cores:.2f} cores"


def size_text(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
