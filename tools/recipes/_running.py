"""Peers at work: on free ports of the loopback, in a process group of their own, stopped whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recipes import load
from recipes._peer import MissingError, Place
from recipes._store import folder_of, reason_missing

_KEEPER = Path(__file__).with_name("_keeper.py")
_READY_SECONDS = 60.0
# For what a peer does before it ends, such as sending what it has.
GRACE_SECONDS = 20.0
_TRIES = 3
_SHOWN_CHARACTERS = 6000
# They would override the certificates that a test gives to the programs.
_FOREIGN = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """A port for each name that nobody listens on, all different."""
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()


class FailedError(Exception):
    """A peer that did not start; the message has the end of its log."""


class Running:
    """A peer that runs: ``ports`` by name, ``folder`` with its files, ``log()``; a context manager that stops it."""

    def __init__(self, name: str, place: Place, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.name = name
        self.version = load(name).version
        self.ports = place.ports
        self.folder = place.work
        self.process = process
        self.log_file = log_file

    @property
    def port(self) -> int:
        """The first of its ports."""
        return next(iter(self.ports.values()))

    def log(self) -> str:
        """All that it has written to standard output and standard error."""
        return self.log_file.read_text(errors="replace")

    def log_end(self) -> str:
        """The end of its log, for a report."""
        return self.log()[-_SHOWN_CHARACTERS:]

    def stop(self) -> None:
        """End the whole group: asked first, killed after GRACE_SECONDS."""
        if self.process.stdin is not None:
            self.process.stdin.close()  # the keeper's sign
        elif self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def start(
    name: str,
    work: Path,
    *,
    ports: Mapping[str, int] | None = None,
    more_ports: Sequence[str] = (),
    detached: bool = False,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Running:
    """The peer, once it is ready. Raises MissingError when it is not installed, FailedError when it does not start.

    ``work`` is an empty folder for its files. ``ports`` are chosen ones instead of any that are free, ``more_ports``
    free ones for the caller, for which nobody waits. A ``detached`` peer outlives this process. ``options`` are the
    recipe's.
    """
    reason = reason_missing(name)
    if reason is not None:
        raise MissingError(f"{name}: {reason}")
    peer = load(name)
    for attempt in range(1, _TRIES + 1):
        chosen = {**free_ports([*peer.ports, *more_ports]), **(ports or {})}
        place = Place(folder_of(name).resolve(), chosen, work, options)
        running = _spawn(name, place, {**peer.environment, **(environment or {})}, detached)
        deadline = time.monotonic() + _READY_SECONDS
        while running.process.poll() is None and time.monotonic() < deadline:
            if peer.ready({port: chosen[port] for port in peer.ports}) and running.process.poll() is None:
                return running
            time.sleep(0.02)
        running.stop()
        # Between the choice of a port and its use, another program may have taken it.
        if attempt == _TRIES or "address already in use" not in running.log().lower():
            raise FailedError(f"{name} {peer.version} did not start:\n{running.log_end()}")
    raise AssertionError("the last attempt returns or raises")


def _spawn(name: str, place: Place, environment: Mapping[str, str], detached: bool) -> Running:
    command = load(name).command(place)
    if not detached:
        command = [sys.executable, "-I", "-S", str(_KEEPER), str(GRACE_SECONDS), *command]
    log_file = place.work / f"{name}.log"
    variables = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    variables.update({f"PORT_{port.upper()}": str(number) for port, number in place.ports.items()})
    variables.update(environment)
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=place.work,
            env=variables,
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(name, place, process, log_file)
