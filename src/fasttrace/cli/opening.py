"""What the commands that read traces have in common: the index brought up to date, JSON, searches in words."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fasttrace.local.index import Index


def open_index(arguments: argparse.Namespace) -> Index:
    """The index of the spool that was asked for, up to date; says what could not be read."""
    from fasttrace.cli.progress import progress
    from fasttrace.cli.warnings import warn_of_unreadable
    from fasttrace.local.index import Index

    index = Index(arguments.spool)
    with progress("indexing", bytes_of=True) as advance:
        index.refresh(advance)
    warn_of_unreadable(index)
    return index


def search_of(arguments: argparse.Namespace) -> str:
    """The search from the words of the command line, and ``--last``. Raises SearchError, before anything is read."""
    from fasttrace.local.search import parse

    words = [*arguments.query]
    if getattr(arguments, "last", None) is not None:
        words.append(f"age<{arguments.last:.0f}s")
    query = " ".join(words)
    parse(query)
    return query


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """A value as JSON on standard output, at once."""
    json.dump(value, sys.stdout, indent=indent)
    print(flush=True)


def say_nothing_found(index: Index, query: str) -> None:
    """Say on standard error that there is nothing to show, and what to do about it."""
    from fasttrace.local.search import parse

    what = f"nothing matches {query!r}" if query else "no traces"
    ways = "`fasttrace demo` makes some, `fasttrace run -- COMMAND` traces a program"
    hint = index.hint(parse(query)) if query else ways
    print(f"fasttrace: {what} in {index.label}{'; ' if hint else ''}{hint}", file=sys.stderr)
