"""The commands about programs that are traced: to start, to check, to measure, to change as they run."""

from __future__ import annotations

import argparse
from typing import Any

from fasttrace.cli.arguments import command, values
from fasttrace.cli.arguments.command import Parser


def add_demo(commands: Any) -> None:
    """``fasttrace demo``."""
    demo = command.add(commands, "demo", "run a shop of five services under load and show its slowest trace")
    demo.add_argument(
        "--requests", type=values.count, default=60, metavar="N", help="requests before the verdict (default: 60)"
    )
    after = demo.add_mutually_exclusive_group()
    after.add_argument("--exit", action="store_true", help="end after the verdict instead of going on until Ctrl-C")
    after.add_argument("--serve", action="store_true", help="show it in the browser, too, as `fasttrace serve` does")
    demo.add_argument(
        "--concurrency", type=values.count, default=32, metavar="N", help="requests in flight at the peak (default: 32)"
    )
    demo.add_argument(
        "--rate", type=values.rate, metavar="R", help="at most so many requests per second (default: no limit)"
    )
    demo.add_argument(
        "--port", type=values.port, default=0, metavar="PORT", help="the gateway's port (default: any free one)"
    )
    demo.add_argument(
        "--endpoint", metavar="URL", help="send the spans to an OTLP/HTTP receiver, too, such as http://localhost:4318"
    )


_RUN_EXAMPLES = """\
examples:
  fasttrace run -- python app.py
  fasttrace run --service checkout -- uvicorn app:app --workers 2
  fasttrace run --only flask,httpx -- flask --app shop run --reload
  fasttrace run --name before -- pytest           and after a change --name after; then
  fasttrace diff fasttrace.run=before fasttrace.run=after

Settings come from FASTTRACE_* and OTEL_* variables; without an endpoint, spans go to the local spool.
"""


def add_run(commands: Any) -> None:
    """``fasttrace run``."""
    run = command.add(commands, "run", "run a program with everything traced that it imports")
    run.usage = "fasttrace run [options] [--] COMMAND [ARGUMENT ...]"
    run.epilog = _RUN_EXAMPLES
    run.add_argument("--service", metavar="NAME", help="what the traces call the program")
    run.add_argument("--name", metavar="NAME", help="a name for this run: searches find it as fasttrace.run=NAME")
    run.add_argument(
        "--only", type=values.instrumentations, metavar="NAMES", help="instrument these, commas between (default: all)"
    )
    said = run.add_mutually_exclusive_group()
    said.add_argument("--quiet", action="store_true", help="do not say where spans go")
    said.add_argument("--verbose", action="store_true", help="say which libraries are traced, in a line for each")
    run.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def add_doctor(commands: Any) -> None:
    """``fasttrace doctor``."""
    doctor = command.add(commands, "doctor", "check installation, settings, receiver and disk; changes nothing")
    doctor.add_argument("--offline", action="store_true", help="do not touch the network")
    doctor.add_argument(
        "--timeout", type=values.seconds, default=5.0, metavar="S", help="seconds to wait for the receiver (default: 5)"
    )
    doctor.add_argument("--json", action="store_true", help="a JSON object")


def add_bench(commands: Any) -> None:
    """``fasttrace bench``."""
    bench = command.add(
        commands, "bench", "measure what tracing costs on this machine, both cores side by side", spool=False
    )
    bench.add_argument("--seconds", type=values.seconds, default=8.0, metavar="S", help="for how long (default: 8)")
    bench.add_argument("--json", action="store_true", help="a JSON object")


_SAMPLING_EXAMPLES = """\
examples:
  fasttrace sampling boost 100% --for 10m     every trace for ten minutes, then as before
  fasttrace sampling ratio 5%                 another ratio until further notice
  fasttrace sampling recall --seconds 30      what was dropped in the last 30 s, as far as it is still held
  fasttrace sampling recall 4bf92f3577b34da6a3ce929d0e0e4736
  fasttrace sampling show                     what is asked now
  fasttrace sampling reset                    as configured

It speaks to every process that follows the same control file, within a second or two. Run it as their user.
"""


def add_sampling(commands: Any) -> None:
    """``fasttrace sampling``."""
    sampling = command.add(commands, "sampling", "change sampling in running processes", spool=False)
    sampling.epilog = _SAMPLING_EXAMPLES
    actions = sampling.add_subparsers(dest="action", metavar="action", required=True)

    def action(name: str, help_text: str) -> Parser:
        added = command.add(actions, name, help_text, spool=False)
        added.add_argument(
            "--file",
            metavar="PATH",
            help="the control file that they follow (default: FASTTRACE_CONTROL_FILE, or the one of this user)",
        )
        return added

    boost = action("boost", "record at least this share of traces for a while, then as before")
    boost.add_argument("ratio", type=values.share, metavar="RATIO", help="a number from 0 to 1, or a percentage")
    boost.add_argument(
        "--for",
        dest="seconds",
        type=values.time,
        default=600.0,
        metavar="TIME",
        help="such as 90s, 10m or 1h (default: 10m)",
    )
    ratio = action("ratio", "record this share of traces until further notice")
    ratio.add_argument("ratio", type=values.share, metavar="RATIO", help="a number from 0 to 1, or a percentage")
    recall = action("recall", "hand out dropped traces that are still held")
    recall.add_argument("trace_ids", type=values.trace_id, nargs="*", metavar="TRACE_ID", help="32 hexadecimal digits")
    recall.add_argument("--seconds", type=values.time, metavar="TIME", help="all of the last seconds, such as 30 or 2m")
    show = action("show", "say what is asked now")
    show.add_argument("--json", action="store_true", help="a JSON object")
    action("reset", "ask for nothing: every process samples as configured")
    sampling.command_names = list(actions.choices)
