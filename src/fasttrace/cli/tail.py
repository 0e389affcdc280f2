"""``fasttrace tail``: a line for each trace as it comes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from fasttrace.cli.opening import print_json
from fasttrace.cli.warnings import LossesTold
from fasttrace.local.api import listed
from fasttrace.local.following import Following
from fasttrace.local.search import parse
from fasttrace.local.store import Store, Summary

POLL_SECONDS = 0.15
# Names stand in a column that grows with them.
MIN_NAME_WIDTH, MAX_NAME_WIDTH = 14, 40


def run(arguments: argparse.Namespace) -> int:
    """Follow the spool until Ctrl-C, ``--count`` or ``--for``."""
    store = Store(arguments.spool)
    words = [*arguments.query, *(["trace.errors>0"] if arguments.errors else [])]
    following = Following(store, parse(" ".join(words)))
    write = _json_line if arguments.json else _text_line()
    until = None if arguments.seconds is None else time.monotonic() + arguments.seconds
    left = arguments.count
    if not arguments.json and sys.stderr.isatty():
        print(f"fasttrace: following {store.label}; Ctrl-C ends it", file=sys.stderr)
    losses = LossesTold(store.directory)
    while until is None or time.monotonic() < until:
        losses.tell()
        for summary in following.poll():
            write(summary)
            if left is not None:
                left -= 1
                if left == 0:
                    return 0
        time.sleep(POLL_SECONDS)
    return 0


def _json_line(summary: Summary) -> None:
    print_json(listed(summary), indent=None)


def _text_line() -> Callable[[Summary], None]:
    from fasttrace.local.listing import render_summary
    from fasttrace.local.terminal import pen_for, print_lines

    width = MIN_NAME_WIDTH

    def write(summary: Summary) -> None:
        nonlocal width
        pen = pen_for(sys.stdout)  # the terminal may have another width by now
        width = max(width, min(MAX_NAME_WIDTH, pen.cells(summary.name)))
        print_lines([render_summary(summary, pen, min(width, 18 if pen.width < 80 else width))])

    return write
