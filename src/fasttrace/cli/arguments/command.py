"""What every command has in common: how wrong usage is answered, and how a command is added."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

# `-service=shop` is a term of a search, turned round, and no option.
_TURNED_TERM = re.compile(r"-[A-Za-z_.][\w.\-/]*[=!<>~]")


class Parser(argparse.ArgumentParser):
    """An argument parser that suggests what was meant; wrong usage exits with code 2."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.command_names: list[str] = []

    def parse_args(self, argv: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Read the arguments; an unknown option is answered with the nearest one of its command."""
        words = [f" {word}" if _TURNED_TERM.match(word) else word for word in (sys.argv[1:] if argv is None else argv)]
        arguments, unknown = self.parse_known_args(words, namespace)
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
        if action.dest in ("command", "action") and value not in self.command_names:
            raise argparse.ArgumentError(None, f"no {action.dest} {value!r}{_suggest(str(value), self.command_names)}")
        super()._check_value(action, value)


def _suggest(word: str, known: Sequence[str]) -> str:
    matches = get_close_matches(word, known, n=1, cutoff=0.5)
    return f". Did you mean {matches[0]}?" if matches else f": use {', '.join(known)}" if len(known) < 30 else ""


def add(commands: Any, name: str, help_text: str, *, spool: bool = True) -> Parser:
    """A command, or an action of one; ``spool`` for those that read the local spool."""
    command: Parser = commands.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    command.set_defaults(parser=command)
    if spool:
        command.add_argument("--spool", metavar="DIR", help="the spool to use (default: .fasttrace/spool)")
    return command
