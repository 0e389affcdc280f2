"""Pieces of YAML as text, which keeps the comments that tell a reader why."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Text in quotes, with escapes that YAML and the Collector's transformation language read alike."""
    escaped = (
        f"\\{c}"
        if c in '"\\'
        else c
        if c.isprintable()
        else f"\\u{ord(c):04X}"
        if ord(c) < 1 << 16
        else f"\\U{ord(c):08X}"
        for c in text
    )
    return f'"{"".join(escaped)}"'


def plain(value: float) -> str:
    """A number without an exponent."""
    if isinstance(value, int):
        return str(value)
    text = repr(value)
    return text if "e" not in text else f"{value:.1100f}".rstrip("0") + ("0" if value == int(value) else "")
