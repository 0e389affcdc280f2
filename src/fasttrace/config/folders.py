"""Where fasttrace keeps what is the user's."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def state(environ: Mapping[str, str]) -> str:
    """The user's folder for what outlives a process: fasttrace in ``$XDG_STATE_HOME`` or ``~/.local/state``.

    XDG Base Directory Specification; ``%LOCALAPPDATA%`` on Windows.
    """
    if os.name == "nt":
        base = environ.get("LOCALAPPDATA") or os.path.expanduser("~")
    else:
        base = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "fasttrace")
