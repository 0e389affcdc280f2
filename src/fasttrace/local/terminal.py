"""What the terminal can show: width, colour, Unicode; and the pen that writes lines for it."""

from __future__ import annotations

import io
import os
import sys
from typing import IO, TYPE_CHECKING

from fasttrace.errors import MissingExtraError
from fasttrace.local.text import clean, to_ascii

try:
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console
    from rich.text import Text
except ModuleNotFoundError as _error:
    raise MissingExtraError("drawing in the terminal", "viewer") from _error

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ERROR", "QUIET", "Pen", "Text", "escaped", "is_coloured", "is_terminal", "pen_for", "print_lines", "shows_unicode",
    "terminal_width",
]  # fmt: skip

MIN_WIDTH, MAX_WIDTH, PIPE_WIDTH = 60, 200, 100

# No red: red is for errors. No blue: nobody can read it on black.
HUES = ("cyan", "magenta", "green", "yellow", "bright_blue", "bright_cyan", "bright_magenta", "bright_green")
ERROR = "bold red"
QUIET = "bright_black"

_PROBE = "━╸─░▒✖├└│×µ…→·█▏◀"


class Pen:
    """Makes lines of ``width`` cells, in Unicode or in ASCII; foreign text is made inert on the way."""

    def __init__(self, width: int = PIPE_WIDTH, unicode: bool = True) -> None:
        self.width: int = min(MAX_WIDTH, max(MIN_WIDTH, width))
        self.unicode = unicode
        self._hues: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Text without control characters, and without anything but ASCII where that is all there is."""
        return clean(text) if self.unicode else to_ascii(clean(text))

    def fit(self, text: str, width: int) -> str:
        """Text cut to ``width`` cells; an ellipsis says that something was cut."""
        text = self.text(text)
        if cell_len(text) <= width:
            return text
        return set_cell_size(text, width - 1) + ("…" if self.unicode else "~") if width > 0 else ""

    def pad(self, text: str, width: int) -> str:
        """Text cut or padded to exactly ``width`` cells."""
        return set_cell_size(self.fit(text, width), width)

    def cells(self, text: str) -> int:
        """The cells that a text takes."""
        return cell_len(self.text(text))

    def hue(self, service: str) -> str:
        """The colour of a service: the same within one output, in the order of first use."""
        return self._hues.setdefault(service, HUES[len(self._hues) % len(HUES)])

    def learn(self, services: Iterable[str]) -> None:
        """Give these services their colours, by name: the same in every output that has the same services."""
        for service in sorted(set(services)):
            self.hue(service)

    def line(self, *parts: tuple[str, str]) -> Text:
        """One line of (text, style) parts; the parts are expected to be fitted already."""
        line = Text(no_wrap=True, end="")
        for text, style in parts:
            line.append(text if self.unicode else to_ascii(text), style or None)
        line.rstrip()
        return line


def terminal_width(stream: IO[str]) -> int:
    """``COLUMNS``, else the terminal's width, else 100 for pipes and files; 60 to 200."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        width = int(columns)
    elif is_terminal(stream):
        try:
            width = os.get_terminal_size(stream.fileno()).columns or PIPE_WIDTH
        except (OSError, ValueError):
            width = PIPE_WIDTH
    else:
        width = PIPE_WIDTH
    return min(MAX_WIDTH, max(MIN_WIDTH, width))


def is_terminal(stream: IO[str]) -> bool:
    """Whether a stream ends at a terminal that can position and colour text."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def shows_unicode(stream: IO[str]) -> bool:
    """Whether a stream's encoding has the signs that a waterfall is drawn with."""
    try:
        _PROBE.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def pen_for(stream: IO[str]) -> Pen:
    """A pen for what a stream can show."""
    return Pen(terminal_width(stream), shows_unicode(stream))


def is_coloured(stream: IO[str]) -> bool:
    """Whether lines are written in colour: on a terminal unless ``NO_COLOR`` is set, or if ``FORCE_COLOR`` is."""
    return (is_terminal(stream) or bool(os.environ.get("FORCE_COLOR"))) and not os.environ.get("NO_COLOR")


def escaped(lines: Iterable[Text]) -> list[str]:
    """Lines with the escape sequences of their colours."""
    console = Console(
        file=io.StringIO(), width=MAX_WIDTH + 1, force_terminal=True, highlight=False, legacy_windows=False
    )
    found = []
    for line in lines:
        with console.capture() as capture:
            console.print(line, end="", soft_wrap=True)
        found.append(capture.get())
    return found


def print_lines(lines: Iterable[Text], stream: IO[str] | None = None) -> None:
    """Write lines, in colour where that is wanted."""
    stream = sys.stdout if stream is None else stream
    lines = list(lines)
    texts = escaped(lines) if is_coloured(stream) else [line.plain for line in lines]
    stream.write("".join(f"{text}\n" for text in texts))
    stream.flush()
