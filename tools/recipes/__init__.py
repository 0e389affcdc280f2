"""Programs of others that the tests talk to: one module per peer, named like it, with its ``PEER``.

``_peer`` says what a recipe has, ``_kit`` what recipes are made of, ``_store`` where peers are kept, ``_running`` how
they run. Modules that begin with an underscore are no peers. Standard library only: this runs before anything is
installed.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from recipes._peer import Peer


def names() -> list[str]:
    """The names of all peers, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def load(name: str) -> Peer:
    """The recipe of a peer. Raises LookupError for a name that has none."""
    if name not in names():
        raise LookupError(f"no peer is called {name!r}: use one of {', '.join(names())}")
    peer: Peer = importlib.import_module(f"recipes.{name}").PEER
    return peer
