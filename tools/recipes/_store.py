"""Where peers are kept: a folder outside the work tree, with one folder for each version of each peer."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recipes import load
from recipes._peer import MissingError


def cache() -> Path:
    """``FASTTRACE_PEERS``, or ``fasttrace/peers`` in the user's cache."""
    chosen = os.environ.get("FASTTRACE_PEERS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "fasttrace" / "peers"


def folder_of(name: str) -> Path:
    """Where this version of the peer is, or would be."""
    peer = load(name)
    return cache() / "-".join(filter(None, (name, peer.version, peer.revision)))


def reason_missing(name: str) -> str | None:
    """Why a peer is not there, and what to do; None when it is."""
    folder = folder_of(name)
    if folder.is_dir():
        return None
    try:
        return folder.with_name(f"{folder.name}.missing").read_text()
    except OSError:
        return load(name).needs() or f"not installed yet: tools/peers install {name}"


def install(name: str) -> Path:
    """The peer's folder, made by its recipe if it is not there. Raises MissingError."""
    peer, folder = load(name), folder_of(name)
    told = folder.with_name(f"{folder.name}.missing")
    cache().mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        if folder.is_dir():
            return folder
        for unfinished in cache().glob(f".{folder.name}.*"):
            shutil.rmtree(unfinished)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=cache()))
        try:
            lacking = peer.needs()
            if lacking:
                raise MissingError(lacking)
            peer.install(made)
            # It stays where it was made, since virtual environments know their path; the name appears at once.
            link = made.with_name(f"{made.name}.link")
            link.symlink_to(made.name)
            link.rename(folder)
        except BaseException as error:
            shutil.rmtree(made, ignore_errors=True)
            if isinstance(error, MissingError):
                told.write_text(str(error))
            raise
        told.unlink(missing_ok=True)
    return folder


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Two that install the same peer: the second waits, and finds it there."""
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
