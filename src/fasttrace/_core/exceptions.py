"""What a span records of an exception: type, message and stack trace, for both implementations.

The text is ``traceback.format_exception``'s. Reading source lines and finding carets is nearly all that it takes, and
the same places raise again and again: what stands above the last line is remembered by the instructions that led there.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType
    from typing import Any

# Takes secrets out of the texts of exceptions; set by whoever knows what they look like.
_clean: Callable[[str], str] | None = None


def set_cleaner(clean: Callable[[str], str] | None) -> None:
    """Have ``clean`` go over every text of an exception before it is recorded; None for as it is."""
    global _clean
    _clean = clean
    forget_last()


def cleaned(clean: Callable[[str], str] | None, text: str, otherwise: str) -> str:
    """A text without secrets; ``otherwise`` when that fails."""
    try:
        return text if clean is None else clean(text)
    except Exception:
        return otherwise


def exception_description(exception: BaseException) -> str:
    """``Type: message``, the status description OpenTelemetry gives a span left by an exception."""
    name = type(exception).__name__
    try:
        text = f"{name}: {exception}"
    except Exception:
        return name
    return cleaned(_clean, text, name)


# Their last lines say more than type and message: where the syntax is wrong, what is in a group, from Python 3.12 on
# which name may have been meant.
_ELOQUENT: tuple[type[BaseException], ...] = (SyntaxError, BaseExceptionGroup)
if sys.version_info >= (3, 12):
    _ELOQUENT += (ImportError, NameError, AttributeError)

_HEADER = "Traceback (most recent call last):\n"
_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
_HANDLED = "\nDuring handling of the above exception, another exception occurred:\n\n"

# A traceback as the instructions that it names, outermost first: id(code), offset, id(code), offset, ...
Path = tuple[int, ...]
# The lines of a traceback by its path, and its code objects, held so that their ids stay theirs. Code never changes:
# the lines are true as long as it runs, even when its file is edited, and a module that is loaded again has other code.
# Code objects refer to no module and no variable. All of them are forgotten when there are too many.
_known: dict[Path, tuple[str, list[CodeType]]] = {}
_MOST_KNOWN = 256
_LONGEST_KNOWN = 16_384


def _after_in_child() -> None:
    """Begin with nothing known: without a GIL a dict is copied as locked as another thread had it, for good."""
    global _known
    _known = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)

# What a class may have of its own that its exceptions are told by, besides a text.
_TELLING = frozenset(
    (
        "__cause__",
        "__class__",
        "__context__",
        "__format__",
        "__notes__",
        "__suppress_context__",
        "__traceback__",
        "args",
    )
)

# The exception that was recorded last: what tells it from others, its path, what holds on to its code; its type,
# message and stack trace. Read and replaced as a whole: threads that raise at once make more texts than they need to.
# Neither the exception nor a frame is kept alive.
_NOTHING: tuple[tuple[Any, ...], Path, Any, str, str, str] = ((), (), None, "", "", "")
_last = _NOTHING


def forget_last() -> None:
    """Something else was recorded last."""
    global _last
    _last = _NOTHING


def exception_attributes(exception: BaseException, escaped: bool) -> dict[str, Any]:
    """The attributes of an ``exception`` event (OpenTelemetry semantic conventions, "Exceptions").

    The stack trace is the same for all spans that an exception leaves: made for the innermost of them. Never raises:
    what an exception's own methods refuse to tell is left out.
    """
    said: str | None
    try:
        said = str(exception)
    except Exception:  # a broken __str__ must not reach the application
        said = None
    path = _path(exception.__traceback__)
    try:
        notes: Any = getattr(exception, "__notes__", None)
        if notes is not None and isinstance(notes, list):
            notes = tuple(notes)
        past = None
        if (
            exception.__cause__ is not None
            or exception.__context__ is not None
            or isinstance(exception, BaseExceptionGroup)
        ):
            past = past_of(exception)
        # An id is used again once an exception has gone: what else the texts are made of has to be the same, too.
        identity = (id(exception), type(exception), said, notes, past)
        known, known_path, _, kind, message, stack = _last
        # On its way up an exception gets more steps in front.
        if known != identity or (path != known_path and path[len(path) - len(known_path) :] != known_path):
            kind, message, stack = describe(exception, said, path, identity)
    except Exception:  # as broken a comparison of notes
        kind, message, stack = describe(exception, said, path, None)
    return {
        "exception.type": kind,
        "exception.message": message,
        "exception.stacktrace": stack,
        "exception.escaped": "True" if escaped else "False",
    }


def describe(
    exception: BaseException, said: str | None, path: Path, identity: tuple[Any, ...] | None
) -> tuple[str, str, str]:
    """Type, message and stack trace: the last ones from now on, unless nothing tells the exception from others."""
    global _last
    kind = _type(type(exception))
    message = cleaned(_clean, said or "", "")
    try:
        assembled = None if "tracebacklimit" in vars(sys) else _assembled(exception, said, path)
        stack = cleaned(_clean, _formatted(exception) if assembled is None else assembled, "")
    except Exception:
        stack = ""
    if identity is not None:
        _last = (identity, path, _known.get(path) or _codes(exception.__traceback__), kind, message, stack)
    return kind, message, stack


def past_of(exception: BaseException) -> tuple[Any, ...]:
    """What tells those that an exception comes from, or is a group of, from others."""
    found: list[Any] = []
    seen, left = {id(exception)}, [exception]
    while left:
        latest = left.pop()
        parts = latest.exceptions if isinstance(latest, BaseExceptionGroup) else ()
        for earlier in (latest.__cause__, latest.__context__, *parts):
            if earlier is not None and id(earlier) not in seen:
                seen.add(id(earlier))
                left.append(earlier)
                try:
                    said = str(earlier)
                except Exception:
                    said = None
                found += (id(latest), id(earlier), type(earlier), said, str(getattr(earlier, "__notes__", "")))
                found += (_path(earlier.__traceback__), _codes(earlier.__traceback__))
    return tuple(found)


def _path(step: TracebackType | None) -> Path:
    path: list[int] = []
    while step is not None:
        path += (id(step.tb_frame.f_code), step.tb_lasti)
        step = step.tb_next
    return tuple(path)


def _codes(step: TracebackType | None) -> list[CodeType]:
    codes = []
    while step is not None:
        codes.append(step.tb_frame.f_code)
        step = step.tb_next
    return codes


def _formatted(exception: BaseException) -> str:
    from traceback import format_exception

    return "".join(format_exception(type(exception), exception, exception.__traceback__))


def _assembled(exception: BaseException, said: str | None, path: Path) -> str | None:
    """What ``_formatted`` gives, put together from known lines; None for what is not plain."""
    text = _own(exception, said, path)
    seen = None
    while text is not None:
        cause, context = exception.__cause__, exception.__context__
        if cause is not None:
            earlier, link = cause, _CAUSED
        elif context is not None and not exception.__suppress_context__:
            earlier, link = context, _HANDLED
        else:
            break
        if seen is None:
            seen = {id(exception)}
        # One that is false, or comes from itself, has no past.
        if not exception or id(earlier) in seen:
            return None
        seen.add(id(earlier))
        exception = earlier
        try:
            said = str(exception)
        except Exception:
            return None
        own = _own(exception, said, _path(exception.__traceback__))
        text = None if own is None else own + link + text
    return text


def _own(exception: BaseException, said: str | None, path: Path) -> str | None:
    """The lines of one exception, without what it comes from."""
    if type(said) is not str or isinstance(exception, _ELOQUENT) or getattr(exception, "__notes__", None) is not None:
        return None
    name = _shown(type(exception))
    if name is None:
        return None
    lines = _lines(exception.__traceback__, path)
    return f"{lines}{name}: {said}\n" if said else f"{lines}{name}\n"


def texts_of_place(kind: type[BaseException], traceback: TracebackType | None) -> tuple[str, str, str, str] | None:
    """What exceptions of one class that come the same way have in common, but for causes, contexts and notes.

    The type, the lines of the traceback, what stands before the message below them, and in a status description. None
    when there is more to say of them.
    """
    bases = (base for base in kind.__mro__ if base is not BaseException and base is not object)
    if issubclass(kind, _ELOQUENT) or not all(_TELLING.isdisjoint(vars(base)) for base in bases):
        return None
    shown = _shown(kind)
    if shown is None:
        return None
    return _type(kind), _lines(traceback, _path(traceback)), shown, kind.__name__


def _type(kind: type[BaseException]) -> str:
    module, name = kind.__module__, kind.__qualname__
    return name if module == "builtins" or not module else f"{module}.{name}"


def _shown(kind: type[BaseException]) -> str | None:
    """The name in the last line of a traceback; None for one that is no text."""
    module, name = kind.__module__, kind.__qualname__
    if module == "builtins" or module == "__main__":
        return name
    return f"{module}.{name}" if isinstance(module, str) else None


def _lines(traceback: TracebackType | None, path: Path) -> str:
    known = _known.get(path)
    return _learn(traceback, path) if known is None else known[0]


def _learn(traceback: TracebackType | None, path: Path) -> str:
    from traceback import format_tb

    if not path:
        return ""
    lines = _HEADER + "".join(format_tb(traceback))
    # Below zero is a step that somebody made by hand, of which the instruction does not tell the line.
    if len(lines) <= _LONGEST_KNOWN and min(path) >= 0:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[path] = (lines, _codes(traceback))
    return lines
