"""Reading and writing headers in what the frameworks hand us: mappings, multi-dicts, lists of pairs.

Names compare without ASCII case (RFC 9110, section 5.1). Bytes are read as Latin-1, as HTTP has them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def values(carrier: Any, name: str) -> list[str]:
    """Every value of a header, in order of arrival; never raises. ``name`` is lower case."""
    try:
        return _values(carrier, name)
    except Exception:  # a carrier is foreign: whatever it does, the request goes on
        return []


def first(carrier: Any, name: str) -> str | None:
    """The value of a header that must not repeat; None when it is absent or there are several."""
    found = values(carrier, name)
    return found[0] if len(found) == 1 else None


def _values(carrier: Any, name: str) -> list[str]:
    if type(carrier) is dict:
        value = carrier.get(name)
        if value is not None:
            return _texts(value)
        pairs = carrier.items()
    else:
        for method in ("getlist", "get_all", "getall", "get_list"):
            many = getattr(carrier, method, None)
            if many is not None:
                return [text for value in many(name) or () for text in _texts(value)]
        pairs = carrier.items() if hasattr(carrier, "items") else carrier
    found: list[str] = []
    for key, value in pairs:
        if len(key) == len(name) and _text(key).lower() == name:
            found += _texts(value)
    return found


def _texts(value: Any) -> list[str]:
    """The texts of one value or of a list of them; what is neither text nor bytes is no header."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return [_text(item) for item in items if isinstance(item, (str, bytes))]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def put(carrier: Any, name: str, value: str) -> None:
    """Set a header, replacing one of that name. Raises TypeError for a carrier that can't be written to."""
    if isinstance(carrier, list):
        as_bytes = bool(carrier) and isinstance(carrier[0][0], bytes)
        for index in range(len(carrier) - 1, -1, -1):
            key = carrier[index][0]
            if len(key) == len(name) and _text(key).lower() == name:
                del carrier[index]
        carrier.append((name.encode(), value.encode()) if as_bytes else (name, value))
        return
    try:
        carrier[name] = value
    except TypeError:
        raise TypeError(
            f"can't write headers into a {type(carrier).__name__}: pass a mutable mapping or a list of pairs"
        ) from None
