"""``fasttrace collector-config``: the OpenTelemetry Collector between applications and stores, with your tail rules."""

from __future__ import annotations

import argparse
import os

from fasttrace.sampling import collector, names, tail


def run(arguments: argparse.Namespace) -> int:
    """Print the roles that were asked for; raises ConfigurationError for rules or places that can't be used."""
    roles = ("load-balancer", "sampler") if arguments.tier == "both" else (arguments.tier,)
    parts = [_document(role, arguments) for role in roles]
    made_for = {"jaeger": "Jaeger", "tempo": "Tempo"}.get(
        arguments.tier, "the contrib distribution of the OpenTelemetry Collector"
    )
    print(f"# Written by `fasttrace collector-config` for {made_for}.")
    if len(parts) == 2:
        print("# Two documents, one for each tier: `--tier load-balancer` and `--tier sampler` print them alone.")
    print("---\n".join(parts), end="")
    return 0


def _document(role: str, arguments: argparse.Namespace) -> str:
    hosting = collector.Hosting(arguments.health, arguments.metrics, arguments.data_dir, arguments.queue_size)
    if role == "agent":
        return collector.agent(arguments.endpoint or "load-balancer:4317", hosting)
    if role == "load-balancer":
        return collector.load_balancer(arguments.samplers, hosting)
    if role == "jaeger":
        return collector.jaeger(hosting)
    if role == "tempo":
        return collector.tempo(hosting)
    rules = tail.plan(arguments.tail or os.environ.get("FASTTRACE_TAIL") or names.PRODUCTION_TAIL).rules
    return collector.sampler(
        rules,
        arguments.endpoint or "backend:4317",
        keep_sampled=arguments.keep_sampled,
        decision_wait=arguments.decision_wait,
        num_traces=arguments.num_traces,
        hosting=hosting,
    )
