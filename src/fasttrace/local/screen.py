"""A screen that is drawn again and again, and the keys that are pressed meanwhile."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import IO, Any, Self

from fasttrace.local.terminal import MAX_WIDTH, MIN_WIDTH, Pen, Text, escaped, is_coloured, is_terminal, shows_unicode

ENTER, ESCAPE, UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END, RESIZED = (
    "enter", "escape", "up", "down", "page up", "page down", "home", "end", "resized",
)  # fmt: skip

# What terminals send for keys that are no character.
_SEQUENCES = {
    "\x1b[A": UP, "\x1b[B": DOWN, "\x1bOA": UP, "\x1bOB": DOWN, "\x1b[5~": PAGE_UP, "\x1b[6~": PAGE_DOWN,
    "\x1b[H": HOME, "\x1b[F": END, "\x1b[1~": HOME, "\x1b[4~": END, "\r": ENTER, "\n": ENTER, "\x1b": ESCAPE,
}  # fmt: skip
_ENTER_SCREEN, _LEAVE_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


def can_draw(output: IO[str] | None = None) -> bool:
    """Whether there is a terminal for the screen, and one that keys come from."""
    try:
        return is_terminal(output or sys.stdout) and os.isatty(sys.stdin.fileno()) and os.name == "posix"
    except (OSError, ValueError):
        return False


class Screen:
    """The terminal's other screen, with a line per row and keys without Enter; as a context manager.

    What was on the terminal comes back at the end, however the block is left; SIGTERM leaves it, too. Ctrl-Z gives
    the terminal back until ``fg``.
    """

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._descriptor = sys.stdin.fileno()
        self._saved: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def __enter__(self) -> Self:
        import termios

        self._saved = termios.tcgetattr(self._descriptor)
        handlers = {signal.SIGTERM: _leave, signal.SIGTSTP: self._stop, signal.SIGWINCH: self._resized}
        self._handlers = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _take(self) -> None:
        import tty

        tty.setcbreak(self._descriptor)
        sys.stdout.write(_ENTER_SCREEN)
        sys.stdout.flush()

    def _give_back(self) -> None:
        import termios

        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)
        sys.stdout.write(_LEAVE_SCREEN)
        sys.stdout.flush()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back, stop, and take it again when continued."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._resized(number, frame)

    def _resized(self, number: int, frame: FrameType | None) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    @property
    def height(self) -> int:
        """How many lines there are."""
        return max(4, _size().lines)

    def pen(self) -> Pen:
        """A pen for the width that the terminal has now."""
        return Pen(min(MAX_WIDTH, max(MIN_WIDTH, _size().columns)), shows_unicode(sys.stdout))

    def draw(self, lines: Sequence[Text], footer: Text) -> None:
        """Show lines from the top, cut to the height, and one at the bottom."""
        height, width = self.height, _size().columns
        shown = list(lines[: height - 1])
        cut = [_cut(line, width) for line in [*shown, *[Text("")] * (height - 1 - len(shown)), footer]]
        rows = escaped(cut) if is_coloured(sys.stdout) else [line.plain for line in cut]
        sys.stdout.write("\x1b[H" + "\x1b[K\r\n".join(rows) + "\x1b[K")
        sys.stdout.flush()

    def key(self, timeout: float) -> str | None:
        """The next key within so many seconds: a character, or one of this module's names; None for no key."""
        until = time.monotonic() + timeout
        while not self._keys:
            left = max(0.0, until - time.monotonic())
            ready, _, _ = select.select([self._descriptor, self._wake_read], [], [], left)
            if not ready:
                return None
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                return RESIZED
            typed = os.read(self._descriptor, 1024)
            if not typed:
                raise KeyboardInterrupt  # the terminal has gone
            self._keys = parse_keys(typed.decode("utf-8", "replace"))
        return self._keys.pop(0)


def parse_keys(typed: str) -> list[str]:
    """The keys in what a terminal sent; sequences that have no name are left out."""
    keys = []
    while typed:
        name = next((one for one in sorted(_SEQUENCES, key=len, reverse=True) if typed.startswith(one)), "")
        if name == "\x1b" and len(typed) > 1 and typed[1] in "[O":
            end = next((at for at in range(2, len(typed)) if typed[at].isalpha() or typed[at] == "~"), len(typed) - 1)
            typed = typed[end + 1 :]
            continue
        keys.append(_SEQUENCES[name] if name else typed[0])
        typed = typed[len(name) or 1 :]
    return keys


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _size() -> os.terminal_size:
    """Columns and lines; a terminal that does not know has the usual ones."""
    try:
        found = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        found = os.terminal_size((0, 0))
    return os.terminal_size((found.columns or 80, found.lines or 24))


def _cut(line: Text, width: int) -> Text:
    """A line within the terminal's width, which may be below the least that a pen draws."""
    if line.cell_len > width:
        line = line.copy()
        line.truncate(width)
    return line
