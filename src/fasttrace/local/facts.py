"""What a search may ask of a span: pairs of a key and a text. The index stores them, the predicate reads them."""

from __future__ import annotations

import re
from typing import Any

from fasttrace._core.types import SpanData, StatusCode

# Longer texts are searched by their beginning.
MAX_TEXT = 1000
MAX_FACTS = 256

_NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)


def facts(span: SpanData) -> list[tuple[str, str]]:
    """A span's attributes, and under names of their own its events, its exceptions and its status message.

    An exception's ``exception.type`` and ``exception.message`` count as attributes, the name of any event is
    ``event``, the status's description ``status.message``. At most 256, the attributes first.
    """
    found = [(key, to_text(value)) for key, value in span.attributes.items()]
    for event in span.events:
        found.append(("event", to_text(event.name)))
        found += [
            (key, to_text(event.attributes[key]))
            for key in ("exception.type", "exception.message")
            if key in event.attributes
        ]
    if span.status.description:
        found.append(("status.message", to_text(span.status.description)))
    return found[:MAX_FACTS]


def to_text(value: Any) -> str:
    """A value as text: whole numbers without a fraction, ``true`` and ``false``, lists and mappings as JSON."""
    if value.__class__ is str:
        text: str = value
    elif value.__class__ is bool:
        return "true" if value else "false"
    elif value.__class__ is int:
        text = str(value)
    elif value.__class__ is float:
        text = str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    elif value.__class__ is bytes:
        text = value.hex()
    elif value is None:
        return ""
    else:
        import json

        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=to_text)
    # SQLite's patterns end at a NUL.
    return text[:MAX_TEXT].replace("\0", "\ufffd")


def to_number(text: str) -> float | None:
    """The number that a text is, None when it is none; what is too large for one is no number."""
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if abs(number) < 1e300 else None


def service_of(resource: dict[str, Any]) -> str:
    """``service.name``, or what stands for one that is missing."""
    return to_text(resource.get("service.name")) or "unknown_service"


def status_of(span: SpanData) -> str:
    """The HTTP status code if there is one, else ``error`` or ""."""
    code = span.attributes.get("http.response.status_code", span.attributes.get("http.status_code"))
    if code is not None:
        return to_text(code)
    return "error" if span.status.status_code == StatusCode.ERROR else ""
