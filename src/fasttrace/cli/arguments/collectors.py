"""The commands about OpenTelemetry Collectors: what to configure, and how many."""

from __future__ import annotations

from typing import Any

from fasttrace.cli.arguments import command, values
from fasttrace.cli.arguments.command import Parser


def add_collector_config(commands: Any) -> None:
    """``fasttrace collector-config``."""
    config = command.add(
        commands, "collector-config", "print an OpenTelemetry Collector configuration with your tail rules", spool=False
    )
    config.add_argument(
        "--tier",
        choices=("agent", "load-balancer", "sampler", "both", "jaeger", "tempo"),
        default="both",
        help="a Collector beside the applications, the first tier, the second, both of these (the default), or a store",
    )
    config.add_argument(
        "--tail",
        metavar="RULES",
        help="such as latency=2s,error,baseline=1%% (default: FASTTRACE_TAIL, or the usual ones)",
    )
    config.add_argument(
        "--endpoint",
        metavar="URL",
        help="where an agent sends spans (default: load-balancer:4317), a sampler kept traces (default: backend:4317): "
        "host:port for OTLP/gRPC without TLS, dns:NAME for all addresses of a name, an http:// or https:// URL for "
        "OTLP/HTTP; several with commas between",
    )
    config.add_argument(
        "--samplers",
        default="sampler-1:4317,sampler-2:4317",
        metavar="HOSTS",
        help="the second tier, host:port with commas between, or dns:NAME for all addresses of a name",
    )
    config.add_argument(
        "--keep-sampled", action="store_true", help="keep what a head sampler has chosen; see the comment in the output"
    )
    _add_decision_wait(config)
    config.add_argument(
        "--num-traces",
        type=values.count,
        default=50_000,
        metavar="N",
        help="traces that wait in one sampler, at most (default: 50000; what fasttrace sizing says)",
    )
    config.add_argument(
        "--data-dir", metavar="DIR", help="a folder for spans that wait, in a store for traces (default: in memory)"
    )
    config.add_argument(
        "--queue-size",
        type=values.size,
        metavar="SIZE",
        help="spans that wait for one receiver (default: 100MB in memory, 1GB in a folder)",
    )
    config.add_argument("--health", metavar="HOST:PORT", help="answer probes there (default: nowhere)")
    config.add_argument(
        "--metrics", metavar="HOST:PORT", help="its own figures for Prometheus (default: localhost:8888)"
    )


def add_sizing(commands: Any) -> None:
    """``fasttrace sizing``."""
    sizing = command.add(commands, "sizing", "count the Collectors, their memory and disks for a load", spool=False)
    sizing.add_argument(
        "--spans", type=values.amount, required=True, metavar="N", help="spans per second, of all applications"
    )
    sizing.add_argument(
        "--spans-per-trace",
        type=values.amount,
        default=20.0,
        metavar="N",
        help="spans of a trace, the mean (default: 20)",
    )
    sizing.add_argument(
        "--span-bytes",
        type=values.count,
        default=300,
        metavar="N",
        help="bytes of an encoded span, the mean (default: 300)",
    )
    sizing.add_argument(
        "--nodes", type=values.count, default=3, metavar="N", help="machines with an agent (default: 3)"
    )
    _add_decision_wait(sizing)
    sizing.add_argument(
        "--kept",
        type=values.share,
        default=0.05,
        metavar="RATIO",
        help="share of spans that the tail rules keep (default: 5%%)",
    )
    sizing.add_argument(
        "--outage", type=values.time, default=600.0, metavar="TIME", help="how long spans wait on disk (default: 10m)"
    )
    sizing.add_argument(
        "--sampler-memory",
        type=values.size,
        default=2 << 30,
        metavar="SIZE",
        help="memory of one sampler (default: 2GiB)",
    )
    sizing.add_argument("--json", action="store_true", help="a JSON object")


def _add_decision_wait(command: Parser) -> None:
    command.add_argument(
        "--decision-wait",
        type=values.time,
        default=30.0,
        metavar="TIME",
        help="from the first span of a trace to its decision (default: 30s)",
    )
