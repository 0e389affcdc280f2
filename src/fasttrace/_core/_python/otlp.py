"""The writing side of OTLP: attributes, scopes and whole requests (opentelemetry-proto, common and trace).

Fields are written in the order of their numbers and minimally, which makes our bytes those of the
official serialiser. What is written here is already exact built-in types, so no user code runs.
"""

from __future__ import annotations

import sys
from struct import Struct

from fasttrace._core.layout import RECORD_HEADER_BYTES, RECORD_KIND_SPAN, RECORD_MAGIC
from fasttrace._core.values import INT64_MAX, INT64_MIN, normalise

__all__ = ["assemble", "count_records", "encode_attributes", "encode_scope"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from fasttrace._core.types import InstrumentationScope

_HEADER = Struct("<HBBII")
_DOUBLE = Struct("<d")
_UNSIGNED = 0xFFFFFFFFFFFFFFFF
_MAX_COUNT = sys.maxsize

_SMALL_VARINTS = tuple(bytes((value,)) for value in range(0x80))
# By the length of what follows: the fields of a KeyValue, and a text inside its value.
_KEYS = tuple(bytes((0x0A, length)) for length in range(0x80))
_VALUES = tuple(bytes((0x12, length)) for length in range(0x80))
_TEXTS = tuple(bytes((0x0A, length)) for length in range(0x80))


def varint(value: int) -> bytes:
    """A number of 0 to 2**64 - 1 in base 128, the low seven bits first."""
    if value < 0x80:
        return _SMALL_VARINTS[value]
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def utf8(text: str) -> bytes:
    """Text in UTF-8; a lone surrogate becomes U+FFFD, which is as long."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text).encode()


def length_field(tag: bytes, body: bytes) -> bytes:
    """A length-delimited field."""
    return tag + varint(len(body)) + body


def text_field(tag: bytes, text: str) -> bytes:
    """A string field; nothing for empty text."""
    return length_field(tag, utf8(text)) if text else b""


def normal_value(value: Any, max_length: int | None) -> Any:
    """The value itself if it is an exact built-in within its bounds, else a normalised copy; may run user code."""
    kind = type(value)
    if kind is str or kind is bytes:
        if max_length is None or len(value) <= max_length:
            return value
    elif kind is int:
        if INT64_MIN <= value <= INT64_MAX:
            return value
    elif kind is bool or kind is float or value is None:
        return value
    return normalise(value, max_length)


def any_value(value: Any) -> bytes:
    """The body of an AnyValue; nothing for None."""
    kind = type(value)
    if kind is str:
        try:
            text: bytes = value.encode()
        except UnicodeEncodeError:
            text = utf8(value)
        length = len(text)
        return (_TEXTS[length] if length < 0x80 else b"\x0a" + varint(length)) + text
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if kind is int:
        return b"\x18" + varint(value & _UNSIGNED)
    if kind is float:
        return b"\x21" + _DOUBLE.pack(value)
    if kind is bytes:
        return length_field(b"\x3a", value)
    if kind is tuple:
        return length_field(b"\x2a", b"".join([length_field(b"\x0a", any_value(item)) for item in value]))
    if kind is dict:
        return length_field(b"\x32", b"".join([attribute(b"\x0a", key, item) for key, item in value.items()]))
    return b""


def attribute(tag: bytes, key: str, value: Any) -> bytes:
    """One KeyValue field."""
    try:
        name = key.encode()
    except UnicodeEncodeError:
        name = utf8(key)
    body = any_value(value)
    length = len(name) + len(body) + 4
    if length < 0x80:
        return b"".join((tag, _SMALL_VARINTS[length], _KEYS[len(name)], name, _VALUES[len(body)], body))
    return length_field(tag, length_field(b"\x0a", name) + length_field(b"\x12", body))


def attributes_of(
    tag: bytes, attributes: Mapping[str, Any], max_count: int | None, max_length: int | None
) -> tuple[bytes, int]:
    """Repeated KeyValue fields of a user's mapping, and how many were dropped."""
    parts: list[bytes] = []
    dropped = 0
    for key, value in list(attributes.items()):
        if not isinstance(key, str) or not key or (max_count is not None and len(parts) >= max_count):
            dropped += 1
            continue
        try:
            value = normal_value(value, max_length)
        except Exception:
            dropped += 1
            continue
        parts.append(attribute(tag, str.__str__(key), value))
    return b"".join(parts), dropped


def encode_attributes(attributes: Mapping[str, Any], field: int = 1, max_count: int | None = None) -> bytes:
    """Repeated ``KeyValue`` fields under the given field number (OTLP common.proto).

    Keys that are not text or empty, and values that can't be normalised, are left out.
    """
    return attributes_of(varint(field << 3 | 2), attributes, max_count, None)[0]


def encode_scope(scope: InstrumentationScope) -> bytes:
    """The body of an OTLP ``InstrumentationScope``, without the schema URL."""
    return (
        text_field(b"\x0a", scope.name)
        + text_field(b"\x12", scope.version)
        + attributes_of(b"\x1a", scope.attributes, None, None)[0]
    )


def _split(records: bytes) -> list[tuple[int, bytes]]:
    """The scope index and body of every record."""
    if type(records) is not bytes:
        raise TypeError(f"Argument 'records' has incorrect type (expected bytes, got {type(records).__name__})")
    found: list[tuple[int, bytes]] = []
    position = 0
    size = len(records)
    while position < size:
        if size - position < RECORD_HEADER_BYTES:
            raise ValueError(f"a record is cut short at offset {position}")
        magic, kind, _flags, length, scope = _HEADER.unpack_from(records, position)
        if magic != RECORD_MAGIC or kind != RECORD_KIND_SPAN:
            raise ValueError(f"no span record at offset {position}")
        if length < RECORD_HEADER_BYTES or length > size - position:
            raise ValueError(f"a record is cut short at offset {position}")
        found.append((scope, records[position + RECORD_HEADER_BYTES : position + length]))
        position += length
    return found


def count_records(records: bytes) -> int:
    """How many span records there are; ValueError for bytes that are not whole records."""
    return len(_split(records))


def _schema(url: str) -> bytes:
    """The ``schema_url`` of ``ResourceSpans`` and ``ScopeSpans``, if there is one."""
    return length_field(b"\x1a", url.encode("utf-8", "replace")) if url else b""


def assemble(
    records: bytes, resource: bytes, scopes: Sequence[tuple[bytes, str]], suffix: bytes = b"", schema_url: str = ""
) -> bytes:
    """One ``ExportTraceServiceRequest`` from whole records, grouped by scope in order of first appearance.

    ``resource`` is the body of a ``Resource``; ``scopes[i]`` the encoded scope body and schema URL of
    scope index i; ``suffix`` is appended to every span's body; ``schema_url`` is the resource's. Raises
    ValueError for bytes that are not whole span records or name a scope that is not there.
    """
    spans: dict[int, list[bytes]] = {}
    position = 0
    for scope, body in _split(records):
        if scope >= len(scopes):
            raise ValueError(f"the record at offset {position} names scope {scope} of {len(scopes)}")
        spans.setdefault(scope, []).append(length_field(b"\x12", body + suffix))
        position += RECORD_HEADER_BYTES + len(body)
    if not spans:
        return b""
    parts = [length_field(b"\x0a", resource)]
    for scope, fields in spans.items():
        scope_body, scope_url = scopes[scope]
        parts.append(length_field(b"\x12", length_field(b"\x0a", scope_body) + b"".join(fields) + _schema(scope_url)))
    parts.append(_schema(schema_url))
    return length_field(b"\x0a", b"".join(parts))
