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
