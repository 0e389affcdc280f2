"""Configurations of the OpenTelemetry Collector (contrib distribution, as of v0.160) and of stores behind it.

From one machine to a cluster: ``agent`` beside the applications, ``load_balancer`` and ``sampler`` for tail rules over
whole traces, ``jaeger`` and ``tempo`` to keep them. ``sizing`` says how many of each.
"""

from fasttrace.sampling.collector.hosting import Hosting
from fasttrace.sampling.collector.stores import jaeger, tempo
from fasttrace.sampling.collector.tiers import agent, load_balancer, sampler

__all__ = ["Hosting", "agent", "jaeger", "load_balancer", "sampler", "tempo"]
