"""``fasttrace diff``: what of the second trace, search or time takes longer than in the first."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fasttrace.cli.opening import open_index, print_json
from fasttrace.errors import FasttraceError

if TYPE_CHECKING:
    from fasttrace.local.index import Index
    from fasttrace.local.model import Trace


class NothingToCompare(FasttraceError):
    """One of the sides has no traces; the text says which, and what to do."""


def run(arguments: argparse.Namespace) -> int:
    """Show the difference; exit code 3 when b is slower by more than ``--fail-over``."""
    from fasttrace.local.compare import compare, compare_groups

    index = open_index(arguments)
    sides = [_side(index, text, arguments.limit) for text in (arguments.a, arguments.b)]
    if all(isinstance(side, list) for side in sides):
        groups: list[list[Trace]] = [side for side in sides if isinstance(side, list)]
        found = compare_groups(*groups)
    else:
        traces = [side for side in sides if not isinstance(side, list)]
        found = compare(*traces) if len(traces) == 2 else compare_groups(*map(_group, sides))
    if arguments.json:
        print_json(found)
    else:
        from fasttrace.local.difference import render_difference
        from fasttrace.local.terminal import pen_for, print_lines

        print_lines(render_difference(found, pen_for(sys.stdout), (arguments.a, arguments.b)))
    before = found["a"].get("duration_ns", found["a"].get("mean"))
    limit = arguments.fail_over
    return 3 if limit is not None and found["change"] > limit * before else 0


def _group(side: list[Trace] | Trace) -> list[Trace]:
    return side if isinstance(side, list) else [side]


def _side(index: Index, text: str, limit: int) -> list[Trace] | Trace:
    """One trace, or those that a search or a time range finds, the newest of them."""
    from fasttrace.local import api
    from fasttrace.local.ranges import is_range, range_search
    from fasttrace.local.store import is_trace_name

    if is_trace_name(text):
        return index.find(text)
    query = range_search(text) if is_range(text) else text
    rows = api.traces(index, query, limit=limit)["traces"]
    if not rows:
        raise NothingToCompare(f"no traces for {text!r} in {index.label}: `fasttrace ls` lists what is there")
    return [index.trace(row["trace_id"]) for row in rows]
