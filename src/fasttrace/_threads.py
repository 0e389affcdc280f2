"""The interpreter's own threads and locks, also where gevent or eventlet have put theirs in their place.

The background thread must be a thread: as a greenlet it would hold up everybody while it waits.
"""

from __future__ import annotations

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def original(name: str) -> Any:
    """``_thread``'s function or class of this name, as the interpreter made it."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_object_patched("_thread", name):
        return gevent.get_original("_thread", name)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return getattr(eventlet.original("_thread"), name)
    return getattr(_thread, name)
