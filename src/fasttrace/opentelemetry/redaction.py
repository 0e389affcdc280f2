"""Processors that rewrite a span after its end, found before the first span: what they remove must not leave first.

A common trick with the SDK, ``span._attributes = ...`` in ``on_end``, comes too late here, where a span is encoded at
its end. What this does not find, since it is done in a roundabout way, fails when it is done (``ReadableSpan``).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_WRITES = ("STORE_SUBSCR", "DELETE_SUBSCR")
_CHANGES = ("__setitem__", "__delitem__", "clear", "pop", "popitem", "setdefault", "update")


def rewritten_field(on_end: Any, fields: frozenset[str]) -> str | None:
    """The field of its span that an ``on_end`` writes to; None when it writes to none, as far as its code tells."""
    code = getattr(getattr(on_end, "__func__", on_end), "__code__", None)
    if code is None or not fields.intersection(code.co_names):
        return None
    bound = hasattr(on_end, "__self__")
    if code.co_argcount <= bound:
        return None
    span = code.co_varnames[int(bound)]
    return next(_writes(code, span, fields), None)


def _writes(code: Any, span: str, fields: frozenset[str]) -> Iterator[str]:
    """The writes to fields of a local variable, in the order of the code; never something that only looks like one."""
    import dis

    loaded: Any = None  # the variable that the last instruction has loaded
    field = ""  # the field of the span that was read last
    keys = -1  # how many plain loads have followed; -1 when anything else has
    for step in dis.get_instructions(code):
        name = step.opname
        if name in ("CACHE", "EXTENDED_ARG", "NOP"):
            continue
        if name in ("STORE_ATTR", "DELETE_ATTR") and loaded == span and step.argval in fields:
            yield step.argval
        elif (keys == 1 and name in _WRITES) or (keys == 0 and step.argval in _CHANGES):
            yield field
        if name in ("LOAD_ATTR", "LOAD_METHOD"):
            keys = -1
            if loaded == span and step.argval in fields:
                field, keys = step.argval, 0
        else:
            keys = keys + 1 if keys >= 0 and name.startswith("LOAD_") else -1
        loaded = None
        if name.startswith("LOAD_FAST"):
            loaded = step.argval[-1] if isinstance(step.argval, tuple) else step.argval
