"""Noticing that this process is a forked child, also where the fork ran no hooks of Python's (uWSGI)."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Linux's advice for private memory (madvise(2), since 4.14): a forked child finds zeros in its place.
_WIPE_ON_FORK = 18
_NO_ADVICE = -1


class _ProcessId:
    """True in the process that made it; a system call each time."""

    def __init__(self) -> None:
        self._process_id = os.getpid()

    def __bool__(self) -> bool:
        return os.getpid() == self._process_id


def _wiped_on_fork() -> Any:
    """A true byte in a page of its own that the kernel wipes in a forked child; OSError where it can't."""
    from _ctypes import _SimpleCData
    from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PAGESIZE, mmap

    page = mmap(-1, PAGESIZE, MAP_PRIVATE | MAP_ANONYMOUS)
    page.madvise(_WIPE_ON_FORK)
    try:
        page.madvise(_NO_ADVICE)
    except OSError:
        page[0] = 1
        byte: Any = type("Byte", (_SimpleCData,), {"_type_": "?"})
        # Its truth is one look at the memory, where an item of the page would be an object first.
        return byte.from_buffer(page)
    raise OSError("an emulator that accepts any advice need not follow it")


def mark() -> Any:
    """An object that is true in this process and false in every child that is forked from now on."""
    if sys.platform == "linux":
        try:
            return _wiped_on_fork()
        except (ImportError, OSError):
            pass
    return _ProcessId()
