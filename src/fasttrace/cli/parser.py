"""What the command line accepts. Imports nothing of what the commands do."""

from __future__ import annotations

from fasttrace._version import __version__
from fasttrace.cli.arguments import collectors, processes, traces
from fasttrace.cli.arguments.command import Parser

_EXAMPLES = """\
first steps:
  fasttrace run -- python app.py runs it traced, and every Python that it starts
  fasttrace demo                 five services, real requests, and the one that is too slow
  fasttrace ls --slow            the slowest traces
  fasttrace show slow            the slowest one as a waterfall
  fasttrace show 4bf92f35        a trace by the start of its id
  fasttrace tail                 traces as they come
  fasttrace top                  what the services are asked for, and what is slow
  fasttrace map                  who calls whom
  fasttrace diff 4bf92f35 slow   what of the second trace takes longer
  fasttrace serve --open         the same and more in the browser
  fasttrace doctor               what is configured here, and what is wrong with it
  fasttrace bench                what tracing costs on this machine
  fasttrace sampling boost 100% --for 10m
                                 every trace of every process here, for ten minutes
"""

_IN_ORDER = (
    processes.add_demo,
    processes.add_run,
    traces.add_ls,
    traces.add_show,
    traces.add_tail,
    traces.add_top,
    traces.add_map,
    traces.add_diff,
    traces.add_export,
    traces.add_import,
    traces.add_serve,
    processes.add_doctor,
    processes.add_bench,
    processes.add_sampling,
    collectors.add_collector_config,
    collectors.add_sizing,
)


def build_parser() -> Parser:
    """The parser for all commands."""
    parser = Parser(
        prog="fasttrace",
        description="Distributed tracing that costs next to nothing. See your traces on this machine.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"fasttrace {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for add in _IN_ORDER:
        add(commands)
    parser.command_names = list(commands.choices)
    return parser
