"""The configuration of a peer that is told by a file what to do."""

from __future__ import annotations

from pathlib import Path
from string import Template

from recipes._peer import Place


def write(place: Place, name: str, default: str) -> Path:
    """The file ``name`` for the option ``config``, a text, or the default one.

    ``$port`` in it, for the name of a port, is its number; ``$work`` is the peer's scratch folder.
    """
    text = Template(str(place.options.get("config", default)))
    path = place.work / name
    path.write_text(text.substitute(place.ports, work=place.work))
    return path
