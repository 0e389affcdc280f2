"""``fasttrace demo``: the shop, its load, the slowest trace and why it is slow."""

from __future__ import annotations

import argparse

from fasttrace.errors import MissingExtraError


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; it stops its services whatever happens. Raises MissingExtraError without the viewer extra."""
    try:
        from fasttrace.demo.driver import Demo
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fasttrace"):
            raise
        raise MissingExtraError("fasttrace demo", "viewer") from error
    return Demo(
        spool=arguments.spool,
        requests=arguments.requests,
        concurrency=arguments.concurrency,
        rate=arguments.rate,
        port=arguments.port,
        endpoint=arguments.endpoint,
        exit_after=arguments.exit,
        serve=arguments.serve,
    ).run()
