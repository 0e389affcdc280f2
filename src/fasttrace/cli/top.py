"""``fasttrace top``: what the services are asked for, drawn again every few seconds."""

from __future__ import annotations

import argparse
import sys

from fasttrace.cli.opening import open_index, print_json, say_nothing_found, search_of


def run(arguments: argparse.Namespace) -> int:
    """Show routes on the terminal's other screen until ``q``; once, where there is no terminal or with ``--once``."""
    from fasttrace.local import api

    query = search_of(arguments)
    index = open_index(arguments)
    if arguments.json:
        print_json(api.routes(index, query))
        return 0
    from fasttrace.local.routes import in_order, render_routes, routes_title
    from fasttrace.local.screen import can_draw
    from fasttrace.local.terminal import QUIET, pen_for, print_lines

    if not arguments.once and can_draw():
        from fasttrace.local.top import Top

        Top(index, query, order=arguments.by, interval=arguments.interval).run()
        return 0
    routes = in_order(api.routes(index, query)["routes"], arguments.by)
    if not routes:
        say_nothing_found(index, query)
        return 0
    pen = pen_for(sys.stdout)
    shown = routes[: arguments.limit]
    title = pen.fit(routes_title(routes, arguments.by, index.label), pen.width)
    print_lines([pen.line((title, QUIET)), pen.line(), *render_routes(shown, pen, arguments.by)])
    if len(shown) < len(routes):
        print(f"{len(shown)} of {len(routes)} routes; --limit shows more", file=sys.stderr)
    return 0
