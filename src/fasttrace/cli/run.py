"""``fasttrace run -- COMMAND``: a program, and every Python below it, traced without a change.

The program takes this process's place, so that signals, standard input and the exit code are its own.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import NoReturn
from urllib.parse import quote

from fasttrace.export import spool
from fasttrace.integrations import _startup

# The resource attribute that names a run, for searches and comparisons.
RUN = "fasttrace.run"
NOT_EXECUTABLE = 126
NOT_FOUND = 127


def run(arguments: argparse.Namespace) -> int:
    """Become the program; comes back only where it can't be started, or on Windows, with its exit code."""
    command = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if not command:
        arguments.parser.print_usage(sys.stderr)
        arguments.parser.error("run what? such as: fasttrace run -- uvicorn app:app --workers 2")
    try:
        path = _find(command[0])
        environment = _environment(arguments, os.environ)
        sys.stdout.flush()
        sys.stderr.flush()
        if os.name == "nt":
            return wait_for(path, command, environment)
        _become(path, command, environment)
    except _CannotRun as reason:
        print(f"fasttrace: {command[0]}: {reason}", file=sys.stderr)
        return reason.code


class _CannotRun(Exception):
    def __init__(self, text: str, code: int = NOT_EXECUTABLE) -> None:
        super().__init__(text)
        self.code = code


def _environment(arguments: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """What the program and those below it inherit; a variable that is set wins over what is only convenient."""
    found = dict(environ)
    rest = [path for path in (found.get("PYTHONPATH") or "").split(os.pathsep) if path != _startup.SITE]
    found["PYTHONPATH"] = os.pathsep.join([_startup.SITE, *(rest if rest != [""] else ())])
    # Workers are ended by SIGTERM, many of them without their exit handlers.
    found.setdefault("FASTTRACE_FLUSH_ON_SIGTERM", "true")
    # Wherever a worker changes to.
    found.setdefault("FASTTRACE_SPOOL_DIR", spool.default_directory())
    if not arguments.quiet:
        found[_startup.ANNOUNCE] = "verbose" if arguments.verbose else "all"
    if arguments.service:
        found["FASTTRACE_SERVICE_NAME"] = arguments.service
    if arguments.name:
        others = found.get("OTEL_RESOURCE_ATTRIBUTES", "").strip()
        own = f"{RUN}={quote(arguments.name, safe='')}"
        found["OTEL_RESOURCE_ATTRIBUTES"] = f"{others},{own}" if others else own
    if arguments.only:
        found["FASTTRACE_INSTRUMENT"] = arguments.only
    if arguments.spool:
        found["FASTTRACE_EXPORTER"] = "spool"
        found["FASTTRACE_SPOOL_DIR"] = os.path.abspath(arguments.spool)
    return found


def _become(path: str, command: list[str], environment: Mapping[str, str]) -> NoReturn:
    # What Python ignores from its start on, and what is ignored stays so in the program.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execve(path, command, environment)
    except OSError as error:
        raise _CannotRun(_why(path, error)) from error


def wait_for(path: str, command: list[str], environment: Mapping[str, str]) -> int:
    """Where a process can't become another one: run it, leave Ctrl-C to it, and pass its exit code on."""
    import subprocess

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with subprocess.Popen([path, *command[1:]], env=dict(environment)) as process:
            return process.wait()
    except OSError as error:
        raise _CannotRun(_why(path, error)) from error
    finally:
        signal.signal(signal.SIGINT, before)


def _why(path: str, error: OSError) -> str:
    python = f"; to run it with Python: fasttrace run -- python {path}" if path.endswith(".py") else ""
    if error.errno == errno.ENOEXEC:
        return f"is no program: it has no #! line{python}"
    if error.errno == errno.ENOENT:
        return f"the interpreter in its #! line does not exist{python}"
    return f"{error.strerror or error}{python}"


# --- which program


def _find(name: str) -> str:
    """The program's path: as given, or found on PATH as shells do, or beside the Python that runs this."""
    if os.path.dirname(name):
        return _executable(name)
    refused = None
    for folder in _folders():
        for ending in _endings():
            path = os.path.join(folder, name + ending)
            if os.path.isfile(path):
                try:
                    return _executable(path)
                except _CannotRun as error:
                    refused = refused or error
    if refused is not None:
        raise refused
    raise _CannotRun(f"not found.{_hint(name)}", NOT_FOUND)


def _executable(path: str) -> str:
    if not os.path.exists(path):
        raise _CannotRun(f"not found.{_hint(path)}", NOT_FOUND)
    if os.path.isdir(path):
        raise _CannotRun("is a directory")
    if not os.access(path, os.X_OK):
        raise _CannotRun(_why(path, PermissionError(errno.EACCES, "is not executable")))
    return path


def _folders() -> list[str]:
    return [*os.get_exec_path(), os.path.dirname(sys.executable)]


def _endings() -> list[str]:
    return ["", *os.environ.get("PATHEXT", ".EXE").split(os.pathsep)] if os.name == "nt" else [""]


def _hint(name: str) -> str:
    if os.path.isfile(name):
        way = f"python {name}" if name.endswith(".py") else f".{os.sep}{name}"
        return f" Did you mean {way}?"
    folder, _, word = name.rpartition(os.sep)
    near = get_close_matches(word, set(_names(folder)), 1, 0.6)
    return f" Did you mean {os.path.join(folder, near[0])}?" if near else ""


def _names(folder: str) -> Iterator[str]:
    """What could have been meant: the programs of one folder, or of all that are searched."""
    for searched in [folder] if folder else _folders():
        try:
            with os.scandir(searched or ".") as entries:
                yield from (entry.name for entry in entries if os.access(entry.path, os.X_OK) and not entry.is_dir())
        except OSError:
            continue
