"""``fasttrace show``: one trace as a waterfall, from the bytes in the spool."""

from __future__ import annotations

import argparse
import sys

from fasttrace.cli.opening import open_index, print_json


def run(arguments: argparse.Namespace) -> int:
    """Show the trace that was asked for; raises TraceNotFound when there is none, or more than one."""
    index = open_index(arguments)
    trace = index.find(arguments.trace)
    if arguments.json:
        from fasttrace.local import api

        print_json(api.trace(index, trace.trace_id))
        return 0
    from fasttrace.local.diagnosis import findings
    from fasttrace.local.neighbours import neighbours
    from fasttrace.local.render import render_findings, render_trace
    from fasttrace.local.terminal import pen_for, print_lines

    pen = pen_for(sys.stdout)
    found = findings(trace, neighbours=neighbours(index, trace))
    lines = render_trace(trace, pen, max_rows=arguments.rows, fold=not arguments.unfold)
    print_lines([*lines, pen.line(), *render_findings(found, pen)])
    return 0
