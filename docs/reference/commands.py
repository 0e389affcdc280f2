"""The page of all commands, from the parser of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from fasttrace.cli.parser import build_parser

HEAD = """\
# Commands

```sh
fasttrace demo --requests 60 --exit
fasttrace show slow
fasttrace --version
```

<!-- written by `python docs/reference` from src/fasttrace/cli/parser.py -->

`fasttrace COMMAND --help` says the same as this page. Exit codes: 0 done, 1 an error, which is one line and says what to do, 2 wrong usage,
130 Ctrl-C; `diff --fail-over` and `run` have [their](terminal.md#what-got-slower) [own](integrations/run.md).
The commands that read the local spool (`--spool`) take `.fasttrace/spool` of the project, or what `FASTTRACE_SPOOL_DIR` names.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for words, parser in tree(build_parser()):
        parts.append(
            f"\n{'#' * (len(words) + 1)} fasttrace {' '.join(words)}\n\n{(parser.description or '').strip()}\n"
        )
        rows = [_row(action) for action in _actions(parser)]
        if rows:
            parts.append("\n| | |\n|---|---|\n" + "".join(rows))
        examples = [line.strip() for line in (parser.epilog or "").splitlines() if line.startswith("  fasttrace ")]
        if examples:
            parts.append("\n```sh\n" + "".join(f"{_commented(line)}\n" for line in examples) + "```\n")
    return "".join(parts)


def tree(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Each command and action below a parser with the words that choose it."""
    for name, child in _children(parser).items():
        yield (*words, name), child
        yield from tree(child, (*words, name))


def _children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: child
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, child in action.choices.items()
    }


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    left_out = (argparse._HelpAction, argparse._SubParsersAction)
    return [
        action for action in parser._actions if not isinstance(action, left_out) and action.help != argparse.SUPPRESS
    ]


def _row(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(action.choices) if action.choices else "")
    names = [f"{name} {value}".strip() if action.nargs != 0 else name for name in action.option_strings]
    cells = ", ".join(f"`{name}`" for name in names) or f"`{value}`", (action.help or "").replace("%%", "%")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _commented(line: str) -> str:
    """The words after a command in its help are a comment."""
    return re.sub(r"\s{2,}(\S.*)$", r"  # \1", line)
