"""``fasttrace collector-config``: the tail rules for a fleet, as the OpenTelemetry Collector takes them."""

from __future__ import annotations

import argparse
import os

from fasttrace.sampling import collector, names, tail


def run(arguments: argparse.Namespace) -> int:
    """Print the tiers that were asked for; raises ConfigurationError for rules or places that can't be used."""
    rules = tail.plan(arguments.tail or os.environ.get("FASTTRACE_TAIL") or names.PRODUCTION_TAIL).rules
    parts = []
    if arguments.tier != "sampler":
        parts.append(collector.load_balancer(arguments.samplers))
    if arguments.tier != "load-balancer":
        parts.append(collector.sampler(rules, arguments.endpoint, keep_sampled=arguments.keep_sampled))
    print("# Written by `fasttrace collector-config` for the contrib distribution of the OpenTelemetry Collector.")
    if len(parts) == 2:
        print("# Two documents, one for each tier: `--tier load-balancer` and `--tier sampler` print them alone.")
    print("---\n".join(parts), end="")
    return 0
