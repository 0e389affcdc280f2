"""``fasttrace sizing``: Collectors, memory and disks for a load, with the arithmetic."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from fasttrace.errors import ConfigurationError
from fasttrace.sampling.collector import sizing


def run(arguments: argparse.Namespace) -> int:
    """Print the plan; raises ConfigurationError for samplers that are too small to hold anything."""
    if arguments.sampler_memory < sizing.SMALLEST_SAMPLER_BYTES:
        raise ConfigurationError("--sampler-memory: use 512MiB or more, a Collector needs some of it for itself")
    load = sizing.Load(
        arguments.spans,
        arguments.spans_per_trace,
        arguments.span_bytes,
        arguments.nodes,
        arguments.decision_wait,
        arguments.kept,
        arguments.outage,
        arguments.sampler_memory,
    )
    tiers = sizing.plan(load)
    if arguments.json:
        figures = {"load": asdict(load), "tiers": [asdict(tier) for tier in tiers], "options": sizing.options(load)}
        json.dump(figures, sys.stdout, indent=2)
        print()
        return 0
    print(f"{load.spans:,.0f} spans/s, {load.traces:,.0f} traces/s, {load.bytes / 1e6:,.1f} MB/s before compression")
    print(f"the store gets {load.spans * load.kept:,.0f} spans/s, {load.bytes * load.kept / 1e6:,.2f} MB/s")
    for tier in tiers:
        disk = f", {sizing.size_text(tier.disk_bytes)} of disk" if tier.disk_bytes else ""
        print(
            f"\n{tier.name} x {tier.replicas}, each {tier.cores:.2g} cores, {sizing.size_text(tier.memory_bytes)}{disk}"
        )
        for line in tier.because:
            print(f"  {line}")
    print()
    for role, options in sizing.options(load).items():
        print(f"fasttrace collector-config --tier {role} {options}")
    return 0
