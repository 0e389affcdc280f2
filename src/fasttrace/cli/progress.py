"""A bar on standard error for what takes long; nothing where it is no terminal, or where all is done at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[[int, int], None]


class _Bar:
    """Appears with the first step that is not the last, so that what is quick pays for no import."""

    def __init__(self, what: str, bytes_of: bool) -> None:
        self._what = what
        self._bytes_of = bytes_of
        self._bar: Any = None
        self._wanted = sys.stderr.isatty()

    def advance(self, done: int, total: int) -> None:
        if self._wanted and self._bar is None and done < total:
            self._start()
        if self._bar is not None:
            self._bar.update(0, completed=done, total=total)

    def _start(self) -> None:
        try:
            from rich import progress as bars
            from rich.console import Console
        except ModuleNotFoundError:
            self._wanted = False
            return
        amount = bars.DownloadColumn() if self._bytes_of else bars.MofNCompleteColumn()
        columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), amount, bars.TimeRemainingColumn())
        self._bar = bars.Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.add_task(self._what, total=None)
        self._bar.start()

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress(what: str, *, bytes_of: bool = False) -> Iterator[Advance]:
    """Gives a function for how much is done and how much there is in all; the bar vanishes at the end."""
    bar = _Bar(what, bytes_of)
    try:
        yield bar.advance
    finally:
        bar.stop()
