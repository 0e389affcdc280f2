"""``fasttrace ls``: the traces of the spool."""

from __future__ import annotations

import argparse
import json
import sys

from fasttrace.cli.warnings import warn_of_unreadable
from fasttrace.local.store import Store, Summary


def run(arguments: argparse.Namespace) -> int:
    """List traces, newest last, or the slowest first; an empty list is not an error."""
    store = Store(arguments.spool)
    everything = store.summaries()
    warn_of_unreadable(store)
    chosen = _choose(everything, arguments)
    if arguments.json:
        json.dump([summary.to_dict() for summary in chosen], sys.stdout, indent=2)
        print()
        return 0
    from fasttrace.local.listing import render_list
    from fasttrace.local.terminal import pen_for, print_lines

    print_lines(render_list(chosen, pen_for(sys.stdout)))
    if not chosen:
        what = "no failed traces" if arguments.errors and everything else "no traces"
        print(f"fasttrace: {what} in {store.label}; `fasttrace demo` makes some", file=sys.stderr)
    elif len(everything) > len(chosen) and not arguments.errors:
        print(f"{len(chosen)} of {len(everything)} traces in {store.label}; --limit shows more", file=sys.stderr)
    return 0


def _choose(summaries: list[Summary], arguments: argparse.Namespace) -> list[Summary]:
    if arguments.slow:
        return sorted(summaries, key=lambda summary: -summary.duration_ns)[: arguments.limit]
    if arguments.errors:
        summaries = [summary for summary in summaries if summary.errors]
    return summaries[-arguments.limit :]
