"""What a recipe says of its peer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


class MissingError(Exception):
    """A peer can't be had here; the message says why, and what to do."""


@dataclass(frozen=True)
class Place:
    """Where a peer runs: its installation, a port for each name, a scratch folder, what the caller wants of it."""

    folder: Path
    ports: Mapping[str, int]
    work: Path
    options: Mapping[str, Any] = field(default_factory=dict)


def accepts(ports: Mapping[str, int]) -> bool:
    """Every port takes connections."""
    for port in ports.values():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
    return True


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Peer:
    """A program of others.

    ``install`` fills an empty folder, whose path stays, and raises MissingError. ``command`` gives the command line,
    and may write files into ``place.work``. ``ports`` are names; each gets a free port of the loopback, which is also
    in the variable ``PORT_<NAME>`` of the program; ``ready`` is asked until it says yes. ``needs`` says what this
    machine lacks for the installation, if anything. ``revision`` changes when the same version is made in another way.
    ``compiled`` peers take minutes to install; ``promised`` ones are quick, and CI fails without them.
    """

    summary: str
    version: str
    install: Callable[[Path], None]
    command: Callable[[Place], list[str]]
    ports: tuple[str, ...]
    kind: Literal["quick", "compiled"] = "quick"
    promised: bool = False
    revision: str = ""
    needs: Callable[[], str | None] = _nothing
    ready: Callable[[Mapping[str, int]], bool] = accepts
    environment: Mapping[str, str] = field(default_factory=dict)
