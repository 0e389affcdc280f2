"""The roles of Collectors between applications and stores.

Agents take spans beside the applications; load balancers send every span of a trace to one sampler; samplers decide on
whole traces. ``load_balancing`` was ``loadbalancing`` before v0.153 (pull request 48533 of
opentelemetry-collector-contrib).
"""

from __future__ import annotations

from fasttrace.sampling.collector import document, places
from fasttrace.sampling.collector.hosting import Hosting
from fasttrace.sampling.collector.policies import policies
from fasttrace.sampling.collector.text import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.sampling.tail import Rule

_PLAIN = Hosting()


def agent(endpoint: str, hosting: Hosting = _PLAIN) -> str:
    """One on each machine, for what its applications send. Raises ConfigurationError."""
    names, exporters = places.exporters(endpoint, hosting)
    comment = "# Agent, one on each machine: applications get rid of spans at once, it waits for what is further on.\n"
    return document.collector(comment, exporters, names, hosting)


def load_balancer(samplers: str, hosting: Hosting = _PLAIN) -> str:
    """The first tier, for ``host:port,host:port`` or ``dns:name[:port]``. Raises ConfigurationError."""
    exporters = f"""\
  load_balancing:
    routing_key: traceID
    # Off by default: without them the spans for a sampler that is away are lost.
    retry_on_failure:
      enabled: true
{places.queue(hosting)}\
    protocol:
      otlp:
        tls:
          insecure: true
    resolver:
{places.resolver(samplers)}"""
    comment = """\
# Tier 1, load balancers: as many as you like, any of them takes any span.
# Every span of a trace goes to the same sampler, by its trace id. load_balancing was loadbalancing before v0.153.
"""
    return document.collector(comment, exporters, ["load_balancing"], hosting, grpc=document.SHORT_CONNECTIONS)


def sampler(
    rules: tuple[Rule, ...],
    endpoint: str,
    *,
    keep_sampled: bool = False,
    decision_wait: float = 30.0,
    num_traces: int = 50_000,
    hosting: Hosting = _PLAIN,
) -> str:
    """The second tier, for rules and the places where kept traces go, ``decision_wait`` in seconds.

    ``num_traces`` is how many may wait for their decision. Raises ConfigurationError.
    """
    names, exporters = places.exporters(endpoint, hosting)
    processors = f"""\
  tail_sampling:
    # From the first span of a trace to its decision: longer than your longest request.
    decision_wait: {plain(int(decision_wait) if decision_wait == int(decision_wait) else decision_wait)}s
    # At least twice the traces per second that one sampler gets, times decision_wait: `fasttrace sizing` counts.
    num_traces: {num_traces}
    # So that late spans share the fate of their trace; larger than num_traces.
    decision_cache:
      sampled_cache_size: {4 * num_traces}
      non_sampled_cache_size: {4 * num_traces}
    policies:
{policies(rules, keep_sampled=keep_sampled)}"""
    comment = """\
# Tier 2, samplers: each decides on the whole traces that tier 1 sends it. A trace is kept when any policy says so.
# The applications must send everything, or the policies see only what was already kept: sampler always_on, no tail.
"""
    return document.collector(
        comment, exporters, names, hosting, processors=processors, processor_names=["tail_sampling"]
    )
