"""Numbers in headers: ASCII digits only, where ``int`` takes signs, blanks, underscores and other scripts."""

from __future__ import annotations

_LOWER_HEX = frozenset("0123456789abcdef")
_ANY_HEX = frozenset("0123456789abcdefABCDEF")
_DECIMAL = frozenset("0123456789")


def lower_hex(text: str, digits: int) -> int:
    """The value of so many lower-case hex digits; 0, which is no id, for anything else."""
    return int(text, 16) if text and len(text) == digits and _LOWER_HEX.issuperset(text) else 0


def any_hex(text: str, max_digits: int) -> int | None:
    """The value of one to so many hex digits in either case; None for anything else."""
    return int(text, 16) if 0 < len(text) <= max_digits and _ANY_HEX.issuperset(text) else None


def decimal(text: str, bits: int) -> int:
    """The value of decimal digits below 2**bits; 0 for anything else."""
    if not 0 < len(text) <= 20 or not _DECIMAL.issuperset(text):
        return 0
    value = int(text)
    return 0 if value >> bits else value


def unquote(text: str) -> str:
    """Percent-decoded UTF-8; what is not UTF-8 becomes U+FFFD, and a plus stays a plus."""
    if "%" not in text:
        return text
    from urllib.parse import unquote as decode

    return decode(text, errors="replace")


def quote(text: str, safe: str) -> str:
    """Percent-encoded UTF-8 but for letters, digits, ``-._~`` and what is safe; lone surrogates become ``?``."""
    from urllib.parse import quote as encode

    return encode(text, safe=safe, errors="replace")
