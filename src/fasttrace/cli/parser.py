"""What the command line accepts. Imports nothing of what the commands do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from fasttrace._version import __version__

_EXAMPLES = """\
first steps:
  fasttrace demo                 five services, real requests, and the one that is too slow
  fasttrace ls --slow            the slowest traces
  fasttrace show slow            the slowest one as a waterfall
  fasttrace show 4bf92f35        a trace by the start of its id
  fasttrace doctor               what is configured here, and what is wrong with it
"""


class Parser(argparse.ArgumentParser):
    """An argument parser that suggests what was meant; wrong usage exits with code 2."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.command_names: list[str] = []

    def parse_args(self, argv: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Read the arguments; an unknown option is answered with the nearest one of its command."""
        arguments, unknown = self.parse_known_args(argv, namespace)
        if unknown:
            parser: Parser = getattr(arguments, "parser", self)
            word = unknown[0].partition("=")[0]
            known = [option for action in parser._actions for option in action.option_strings]
            parser.error(f"unknown argument {word}{_suggest(word, known)}")
        return arguments

    def error(self, message: str) -> NoReturn:
        """Say what was wrong on one line, and where to look."""
        self.exit(2, f"fasttrace: {message}\n  `{self.prog} --help` lists what there is\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest == "command" and value not in self.command_names:
            raise argparse.ArgumentError(None, f"no command {value!r}{_suggest(str(value), self.command_names)}")
        super()._check_value(action, value)


def _suggest(word: str, known: Sequence[str]) -> str:
    matches = get_close_matches(word, known, n=1, cutoff=0.5)
    return f". Did you mean {matches[0]}?" if matches else f": use {', '.join(known)}" if len(known) < 9 else ""


def _count(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _port(text: str) -> int:
    """A TCP port; 0 lets the system choose."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use 1 to 65535, or 0 for any free one")
    return int(text)


def _rate(text: str) -> float:
    """Requests per second."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate: use requests per second, above 0")
    return rate


def _seconds(text: str) -> float:
    """A time in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: use seconds, above 0")
    return seconds


def build_parser() -> Parser:
    """The parser for all commands."""
    parser = Parser(
        prog="fasttrace",
        description="Distributed tracing that costs next to nothing. See your traces on this machine.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"fasttrace {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    _add_demo(commands)
    _add_ls(commands)
    _add_show(commands)
    _add_doctor(commands)
    parser.command_names = list(commands.choices)
    return parser


def _command(commands: Any, name: str, help_text: str) -> Parser:
    command: Parser = commands.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    command.set_defaults(parser=command)
    command.add_argument("--spool", metavar="DIR", help="the spool to use (default: .fasttrace/spool)")
    return command


def _add_demo(commands: Any) -> None:
    demo = _command(commands, "demo", "run a shop of five services under load and show its slowest trace")
    demo.add_argument(
        "--requests", type=_count, default=60, metavar="N", help="requests before the verdict (default: 60)"
    )
    demo.add_argument("--exit", action="store_true", help="end after the verdict instead of going on until Ctrl-C")
    demo.add_argument(
        "--concurrency", type=_count, default=32, metavar="N", help="requests in flight at the peak (default: 32)"
    )
    demo.add_argument("--rate", type=_rate, metavar="R", help="at most so many requests per second (default: no limit)")
    demo.add_argument(
        "--port", type=_port, default=0, metavar="PORT", help="the gateway's port (default: any free one)"
    )


def _add_ls(commands: Any) -> None:
    ls = _command(commands, "ls", "list the traces of the spool, newest last")
    order = ls.add_mutually_exclusive_group()
    order.add_argument("--slow", action="store_true", help="the slowest, slowest first")
    order.add_argument("--errors", action="store_true", help="only traces with a failed span")
    ls.add_argument("--limit", type=_count, default=20, metavar="N", help="at most so many (default: 20)")
    ls.add_argument("--json", action="store_true", help="a JSON list of objects")


def _add_show(commands: Any) -> None:
    show = _command(commands, "show", "show one trace as a waterfall")
    show.add_argument(
        "trace", metavar="TRACE", help="the start of a trace id, `slow` for the slowest, `last` for the newest"
    )
    show.add_argument("--json", action="store_true", help="the trace's spans as OTLP JSON")


def _add_doctor(commands: Any) -> None:
    doctor = _command(commands, "doctor", "check installation, settings, receiver and disk; changes nothing")
    doctor.add_argument("--offline", action="store_true", help="do not touch the network")
    doctor.add_argument(
        "--timeout", type=_seconds, default=5.0, metavar="S", help="seconds to wait for the receiver (default: 5)"
    )
    doctor.add_argument("--json", action="store_true", help="a JSON object")
