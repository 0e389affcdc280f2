"""``fasttrace ls``: the traces of the spool."""

from __future__ import annotations

import argparse
import sys

from fasttrace.cli.opening import open_index, print_json, say_nothing_found
from fasttrace.cli.warnings import LossesTold
from fasttrace.local import api
from fasttrace.local.search import parse


def run(arguments: argparse.Namespace) -> int:
    """List traces, newest last, or the slowest first; an empty list is not an error. Raises SearchError."""
    query = " ".join([*arguments.query, *(["trace.errors>0"] if arguments.errors else [])])
    parse(query)  # before anything is read
    index = open_index(arguments)
    losses = LossesTold(index.directory)
    order = "slowest" if arguments.slow else "newest"
    if arguments.json:
        found = api.traces(index, query, arguments.limit, order=order)["traces"]
        print_json(found if arguments.slow else found[::-1])
        losses.tell()
        return 0
    from fasttrace.local.listing import render_list
    from fasttrace.local.terminal import pen_for, print_lines
    from fasttrace.local.text import plural

    rows, following, total = index.page(parse(query), arguments.limit, order=order)
    print_lines(render_list(rows if arguments.slow else rows[::-1], pen_for(sys.stdout)))
    if not rows:
        say_nothing_found(index, query)
    elif following:
        of = f"{len(rows):,} of {total:,} traces" if total is not None else plural(len(rows), "trace")
        print(f"{of} in {index.label}; --limit shows more", file=sys.stderr)
    losses.tell()
    return 0
