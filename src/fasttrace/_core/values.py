"""Attribute values that are not already an exact built-in: one slow path for both implementations.

What comes out is made of exact ``str``, ``int`` (64 bits), ``float``, ``bool``, ``bytes``, ``None``,
tuples and dicts with ``str`` keys, private to the caller. Encoding it runs no code of the user's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from fasttrace._core.layout import MAX_VALUE_DEPTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


def normalise(value: Any, max_length: int | None = None, depth: int = 0) -> Any:
    """A private copy of an attribute value in exact built-in types.

    Subclasses become their base type's value, integers beyond 64 bits their decimal text, sequences
    and sets tuples, mappings dicts without keys that are not text or empty, other objects their
    ``int`` or ``float`` if they are numbers, else their ``str``. Text and bytes are cut to
    ``max_length`` characters or bytes; what nests deeper than 32 levels becomes None.

    Raises whatever the value's own methods raise; the caller drops and counts such a value.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        # The slot of str itself: an overridden __str__ does not run.
        text = str.__str__(value)
        return text if max_length is None else text[:max_length]
    if isinstance(value, int):
        return _integer(int.__int__(value), max_length)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(memoryview(value))
        return data if max_length is None else data[:max_length]
    if isinstance(value, Mapping):
        if depth >= MAX_VALUE_DEPTH:
            return None
        return {
            str.__str__(key): normalise(item, max_length, depth + 1)
            for key, item in list(value.items())
            if isinstance(key, str) and key
        }
    if isinstance(value, (Sequence, AbstractSet)):
        if depth >= MAX_VALUE_DEPTH:
            return None
        return tuple([normalise(item, max_length, depth + 1) for item in list(value)])
    return _other(value, max_length)


def _integer(value: int, max_length: int | None) -> int | str:
    if INT64_MIN <= value <= INT64_MAX:
        return value
    text = str(value)
    return text if max_length is None else text[:max_length]


def _other(value: Any, max_length: int | None) -> Any:
    """Numbers of other libraries as numbers, anything else as its text."""
    import numbers

    if isinstance(value, numbers.Integral):
        return _integer(int.__int__(int(value)), max_length)
    if isinstance(value, numbers.Real):
        return float.__float__(float(value))
    text = str.__str__(str(value))
    return text if max_length is None else text[:max_length]


# Takes secrets out of the texts of exceptions; set by whoever knows what they look like.
_clean: Callable[[str], str] | None = None


def set_cleaner(clean: Callable[[str], str] | None) -> None:
    """Have ``clean`` go over every text of an exception before it is recorded; None for as it is."""
    global _clean
    _clean = clean


def _cleaned(text: str) -> str:
    return text if _clean is None else _clean(text)


def exception_attributes(exception: BaseException, escaped: bool) -> dict[str, Any]:
    """The attributes of an ``exception`` event (OpenTelemetry semantic conventions, "Exceptions").

    Never raises: what an exception's own methods refuse to tell is left out.
    """
    kind = type(exception)
    module = getattr(kind, "__module__", "") or ""
    name = getattr(kind, "__qualname__", "") or kind.__name__
    attributes: dict[str, Any] = {"exception.type": name if module in ("builtins", "") else f"{module}.{name}"}
    try:
        attributes["exception.message"] = _cleaned(str(exception))
    except Exception:  # a broken __str__ must not reach the application
        attributes["exception.message"] = ""
    try:
        attributes["exception.stacktrace"] = _stacktrace(exception, attributes["exception.message"])
    except Exception:
        attributes["exception.stacktrace"] = ""
    attributes["exception.escaped"] = "True" if escaped else "False"
    return attributes


# The exception that was formatted last, and its text. Read and replaced as a whole: threads that raise at once format
# more often than they need to. It keeps code alive, but neither the exception nor a frame.
_last: tuple[tuple[Any, ...], tuple[Any, ...], str] = ((), (), "")


def _stacktrace(exception: BaseException, message: str) -> str:
    """The traceback as text, the same for all spans that an exception leaves: made for the innermost of them."""
    global _last
    from traceback import format_exception

    # An id is used again once an exception has gone: what else the text is made of has to be the same, too.
    cause, context = exception.__cause__, exception.__context__
    notes = tuple(getattr(exception, "__notes__", ()))
    identity = (id(exception), type(exception), message, id(cause), id(context), notes)
    steps = []
    step = exception.__traceback__
    while step is not None:
        steps.append((step.tb_frame.f_code, step.tb_lasti))
        step = step.tb_next
    # From the innermost outwards: on its way up an exception gets more steps in front.
    steps.reverse()
    path = tuple(steps)
    known, known_path, text = _last
    if known != identity or path[: len(known_path)] != known_path:
        text = _cleaned("".join(format_exception(type(exception), exception, exception.__traceback__)))
        _last = (identity, path, text)
    return text


def exception_description(exception: BaseException) -> str:
    """``Type: message``, the status description OpenTelemetry gives a span left by an exception."""
    try:
        return _cleaned(f"{type(exception).__name__}: {exception}")
    except Exception:
        return type(exception).__name__
