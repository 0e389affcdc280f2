"""``fasttrace map``: the services and the calls between them."""

from __future__ import annotations

import argparse
import sys

from fasttrace.cli.opening import open_index, print_json, say_nothing_found, search_of


def run(arguments: argparse.Namespace) -> int:
    """Draw the map of the traces that were asked for."""
    from fasttrace.local import api

    query = search_of(arguments)
    index = open_index(arguments)
    found = api.service_map(index, query)
    if arguments.json:
        print_json(found)
        return 0
    from fasttrace.local.service_map import render_map
    from fasttrace.local.terminal import pen_for, print_lines

    lines = render_map(found, pen_for(sys.stdout))
    if not lines:
        say_nothing_found(index, query)
    print_lines(lines)
    return 0
