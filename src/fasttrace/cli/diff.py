"""``fasttrace diff``: what of the second trace, search or time takes longer than in the first."""

from __future__ import annotations

import argparse
import sys

from fasttrace.cli.opening import open_index, print_json

SLOWER = 3


def run(arguments: argparse.Namespace) -> int:
    """Show the difference; exit code 3 when b is slower by more than ``--fail-over``."""
    from fasttrace.local.sides import compare_sides

    found = compare_sides(open_index(arguments), arguments.a, arguments.b, arguments.limit)
    if arguments.json:
        print_json(found)
    else:
        from fasttrace.local.difference import render_difference
        from fasttrace.local.terminal import pen_for, print_lines

        print_lines(render_difference(found, pen_for(sys.stdout)))
    limit = arguments.fail_over
    return SLOWER if limit is not None and found["change"] > limit * found["a"]["duration_ns"] else 0
