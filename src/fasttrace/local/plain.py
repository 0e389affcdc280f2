"""JSON as it is written down (RFC 8259), and as every browser reads it as it was meant."""

from __future__ import annotations

import json
from typing import Any

# Beyond it browsers round.
MAX_INTEGER = 2**53 - 1


def load(text: bytes | str) -> Any:
    """What a text says in JSON. Raises ValueError for what is none, NaN and infinities among it; RecursionError."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def dump(found: Any) -> bytes:
    """Compact JSON; NaN and infinities, which JSON has not, as text."""
    try:
        text = json.dumps(found, separators=(",", ":"), allow_nan=False, check_circular=False)
    except (ValueError, TypeError):
        text = json.dumps(exact(found), separators=(",", ":"), allow_nan=False)
    return text.encode()


def exact(found: Any) -> Any:
    """The same with text in place of numbers that a browser does not have, and of bytes, as a search has it."""
    if isinstance(found, dict):
        return {str(key): exact(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [exact(value) for value in found]
    if isinstance(found, float):
        return found if found == found and abs(found) != float("inf") else str(found)
    if isinstance(found, bytes):
        return found.hex()
    if isinstance(found, int) and abs(found) > MAX_INTEGER:
        return str(found)
    return found
