"""``fasttrace show``: one trace as a waterfall, from the bytes in the spool."""

from __future__ import annotations

import argparse
import json
import sys

from fasttrace.cli.warnings import warn_of_unreadable
from fasttrace.local.store import Store


def run(arguments: argparse.Namespace) -> int:
    """Show the trace that was asked for; raises TraceNotFound when there is none, or more than one."""
    store = Store(arguments.spool)
    trace = store.find(arguments.trace)
    warn_of_unreadable(store)
    if arguments.json:
        from fasttrace.export.otlp_json import to_otlp_json

        json.dump(to_otlp_json([node.span for node in trace.nodes]), sys.stdout, indent=2)
        print()
        return 0
    from fasttrace.local.diagnosis import diagnose
    from fasttrace.local.render import render_diagnosis, render_trace
    from fasttrace.local.terminal import pen_for, print_lines

    pen = pen_for(sys.stdout)
    print_lines([*render_trace(trace, pen), pen.line(), *render_diagnosis(diagnose([trace], "this trace"), pen)])
    return 0
