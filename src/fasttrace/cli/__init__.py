"""The ``fasttrace`` command: one module per command, each imported when it runs.

Exit codes: 0 done, 1 an error (one line on standard error), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from fasttrace._core import IMPL_ERROR
from fasttrace.cli.parser import build_parser
from fasttrace.errors import FasttraceError

__all__ = ["main"]

INTERRUPTED = 128 + 2
PIPE_CLOSED = 128 + 13
# Where fasttrace can't be imported: the first finds out why, the second runs a program, which says it itself.
WITHOUT_CORE = ("doctor", "run")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is without the program's name."""
    _never_fail_to_print()
    arguments = build_parser().parse_args(argv)
    if IMPL_ERROR and arguments.command not in WITHOUT_CORE:
        print(f"fasttrace: {IMPL_ERROR}", file=sys.stderr)
        return 1
    try:
        code: int = import_module(f"fasttrace.cli.{arguments.command.replace('-', '_')}").run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone: what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (FasttraceError, OSError) as error:
        print(f"fasttrace: {_one_line(error)}", file=sys.stderr)
        return 1


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split())


def _never_fail_to_print() -> None:
    """Text that an encoding does not have is shown as ``?``."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
