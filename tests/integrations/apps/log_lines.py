"""Log lines of services: trace, span, service, message."""

from __future__ import annotations

import logging
import sys


def log_to_stdout() -> None:
    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(logging.Formatter("LOG\t%(trace_id)s\t%(span_id)s\t%(otelServiceName)s\t%(message)s"))
    for name in ("front", "back", "worker"):
        logger = logging.getLogger(name)
        logger.handlers = [lines]
        logger.setLevel(logging.INFO)
        logger.propagate = False
