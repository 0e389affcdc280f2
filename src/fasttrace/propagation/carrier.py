"""Reading and writing headers in what the frameworks hand us.

Mappings, multi-dicts, lists of pairs (text or bytes, as ASGI, gRPC and Kafka have them), a WSGI environ, and
whatever a getter and a setter of the caller's can read and write. Names compare without ASCII case (RFC 9110,
section 5.1). Bytes are read as Latin-1, as HTTP has them. Names to be read are given in lower case.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MANY = ("getlist", "get_all", "getall", "get_list")


class Through:
    """A carrier behind the caller's own getter and setter.

    They are what OpenTelemetry calls ``Getter`` (``get(carrier, name)`` gives a list or None, ``keys(carrier)``)
    and ``Setter`` (``set(carrier, name, value)``).
    """

    __slots__ = ("carrier", "getter", "setter")

    def __init__(self, carrier: Any, getter: Any = None, setter: Any = None) -> None:
        self.carrier: Any = carrier
        self.getter: Any = getter
        self.setter: Any = setter


class MessageSetter:
    """Writes pairs of a text name and a bytes value, as the headers of Kafka messages are, also into an empty list."""

    def set(self, carrier: Any, name: str, value: str | bytes) -> None:
        """Replace or append one header of a list."""
        _remove(carrier, name)
        carrier.append((name, value.encode("latin-1") if isinstance(value, str) else value))


def values(carrier: Any, name: str) -> list[str]:
    """Every value of a header, in order of arrival; never raises."""
    try:
        found = raw_values(carrier, name)
    except Exception:  # a carrier is foreign: whatever it does, the request goes on
        return []
    return [_text(item) for item in found if isinstance(item, (str, bytes))]


def first(carrier: Any, name: str) -> str | None:
    """The value of a header that must not repeat; None when it is absent or there are several."""
    if type(carrier) is dict and type(value := carrier.get(name)) is str:
        return value
    found = values(carrier, name)
    return found[0] if len(found) == 1 else None


def raw_values(carrier: Any, name: str) -> list[Any]:
    """Every value of a header as the carrier has it; raises what the carrier raises."""
    if type(carrier) is dict:
        value = carrier.get(name)
        if value is not None:
            return _items(value)
        if "wsgi.version" in carrier:
            value = carrier.get("HTTP_" + name.replace("-", "_").upper())
            return [] if value is None else _items(value)
        pairs: Any = list(carrier.items())  # a copy: another thread may be changing the carrier
    elif type(carrier) is Through:
        return _items(carrier.getter.get(carrier.carrier, name) or [])
    elif type(carrier) is list or type(carrier) is tuple:
        pairs = carrier
    else:
        for method in _MANY:
            many = getattr(carrier, method, None)
            if many is not None:
                return [item for value in many(name) or () for item in _items(value)]
        pairs = carrier.items() if hasattr(carrier, "items") else carrier
    found: list[Any] = []
    length = len(name)
    for key, value in pairs:
        if len(key) == length and _text(key).lower() == name:
            found += _items(value)
    return found


def names(carrier: Any) -> list[str]:
    """The names of all headers, lower case; never raises."""
    try:
        if type(carrier) is Through:
            keys = carrier.getter.keys(carrier.carrier)
        elif type(carrier) is dict and "wsgi.version" in carrier:
            keys = [key[5:].replace("_", "-") for key in carrier if isinstance(key, str) and key.startswith("HTTP_")]
        elif hasattr(carrier, "keys"):
            keys = carrier.keys()
        else:
            keys = [pair[0] for pair in carrier]
        return [_text(key).lower() for key in keys if isinstance(key, (str, bytes))]
    except Exception:  # as above
        return []


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def put(carrier: Any, name: str, value: str | bytes) -> None:
    """Set a header, replacing one of that name. Raises TypeError for a carrier that can't be written to."""
    if type(carrier) is dict:
        carrier[name] = value
    elif type(carrier) is Through and carrier.setter is not None:
        carrier.setter.set(carrier.carrier, name, value)
    elif isinstance(carrier, list):
        # The type of what is there already: bytes for ASGI, bytes values for Kafka, text otherwise.
        name_type, value_type = (type(carrier[0][0]), type(carrier[0][1])) if carrier else (str, str)
        _remove(carrier, name)
        if value_type is bytes and isinstance(value, str):
            value = value.encode("latin-1")
        carrier.append((name.lower().encode() if name_type is bytes else name, value))
    else:
        try:
            carrier[name] = value
        except TypeError:
            raise TypeError(
                f"can't write headers into a {type(carrier).__name__}: pass a mutable mapping or a list of pairs"
            ) from None


def _remove(carrier: list[Any], name: str) -> None:
    name = name.lower()
    for index in range(len(carrier) - 1, -1, -1):
        key = carrier[index][0]
        if len(key) == len(name) and _text(key).lower() == name:
            del carrier[index]
