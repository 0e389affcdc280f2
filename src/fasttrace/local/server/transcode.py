"""OTLP/JSON to OTLP protobuf, strictly (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding").

Fields that are not known are skipped; a known one of the wrong type is an error that names its place.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from struct import Struct, error
from typing import Any

# What the decoder of the other side takes, too.
MAX_DEPTH = 100
_DOUBLE = Struct("<d")
_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

# message: {name: (number, kind)}; a kind in brackets is repeated, one that is a key of this table a message.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "request": {"resourceSpans": (1, "[resource_spans]")},
    "resource_spans": {"resource": (1, "resource"), "scopeSpans": (2, "[scope_spans]"), "schemaUrl": (3, "string")},
    "resource": {"attributes": (1, "[attribute]"), "droppedAttributesCount": (2, "uint32")},
    "scope_spans": {"scope": (1, "scope"), "spans": (2, "[span]"), "schemaUrl": (3, "string")},
    "scope": {
        "name": (1, "string"),
        "version": (2, "string"),
        "attributes": (3, "[attribute]"),
        "droppedAttributesCount": (4, "uint32"),
    },
    "span": {
        "traceId": (1, "hex"),
        "spanId": (2, "hex"),
        "traceState": (3, "string"),
        "parentSpanId": (4, "hex"),
        "name": (5, "string"),
        "kind": (6, "enum"),
        "startTimeUnixNano": (7, "fixed64"),
        "endTimeUnixNano": (8, "fixed64"),
        "attributes": (9, "[attribute]"),
        "droppedAttributesCount": (10, "uint32"),
        "events": (11, "[event]"),
        "droppedEventsCount": (12, "uint32"),
        "links": (13, "[link]"),
        "droppedLinksCount": (14, "uint32"),
        "status": (15, "status"),
        "flags": (16, "fixed32"),
    },
    "event": {
        "timeUnixNano": (1, "fixed64"),
        "name": (2, "string"),
        "attributes": (3, "[attribute]"),
        "droppedAttributesCount": (4, "uint32"),
    },
    "link": {
        "traceId": (1, "hex"),
        "spanId": (2, "hex"),
        "traceState": (3, "string"),
        "attributes": (4, "[attribute]"),
        "droppedAttributesCount": (5, "uint32"),
        "flags": (6, "fixed32"),
    },
    "status": {"message": (2, "string"), "code": (3, "enum")},
    "attribute": {"key": (1, "string"), "value": (2, "value")},
    "value": {
        "stringValue": (1, "string"),
        "boolValue": (2, "bool"),
        "intValue": (3, "int64"),
        "doubleValue": (4, "double"),
        "arrayValue": (5, "array"),
        "kvlistValue": (6, "mapping"),
        "bytesValue": (7, "base64"),
    },
    "array": {"values": (1, "[value]")},
    "mapping": {"values": (1, "[attribute]")},
}


def request_from_json(body: bytes) -> bytes:
    """An ``ExportTraceServiceRequest`` in JSON as protobuf bytes. Raises ValueError, which says where and why."""
    try:
        return _message("request", json.loads(body), "", 0)
    except RecursionError:
        raise ValueError("values nested too deeply") from None


def _message(name: str, found: Any, place: str, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise ValueError(f"{place}: values nested too deeply")
    if not isinstance(found, dict):
        raise ValueError(f"{place or 'the body'}: not an object")  # noqa: TRY004
    parts: list[bytes] = []
    fields = _MESSAGES[name]
    for key, value in found.items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        number, kind = field
        inner = f"{place}.{key}" if place else key
        if kind[0] != "[":
            parts.append(_field(number, kind, value, inner, depth))
            continue
        if not isinstance(value, list):
            raise ValueError(f"{inner}: not a list")  # noqa: TRY004
        kind = kind[1:-1]
        parts += [_field(number, kind, item, f"{inner}[{at}]", depth) for at, item in enumerate(value)]
    return b"".join(parts)


def _field(number: int, kind: str, value: Any, place: str, depth: int) -> bytes:
    if kind in _MESSAGES:
        return _bytes(number, _message(kind, value, place, depth + 1))
    try:
        return _scalar(number, kind, value)
    except (ValueError, TypeError, OverflowError, error) as reason:
        raise ValueError(f"{place}: not a valid {kind} ({reason})") from None


def _scalar(number: int, kind: str, value: Any) -> bytes:
    if kind in ("string", "hex", "base64"):
        if not isinstance(value, str):
            raise TypeError("not text")
        if kind == "string":
            return _bytes(number, value.encode())
        try:
            return _bytes(number, bytes.fromhex(value) if kind == "hex" else _base64(value))
        except binascii.Error as reason:
            raise ValueError(str(reason)) from None
    if kind == "bool":
        if not isinstance(value, bool):
            raise TypeError("neither true nor false")
        return _varint(number << 3) + _varint(value)
    if kind == "double":
        return _varint(number << 3 | 1) + _DOUBLE.pack(_double(value))
    whole = _whole(value)
    if kind in ("fixed64", "fixed32"):
        size = 8 if kind == "fixed64" else 4
        return _varint(number << 3 | (1 if size == 8 else 5)) + whole.to_bytes(size, "little")
    low, high = {"int64": (-(1 << 63), 1 << 63), "uint32": (0, 1 << 32), "enum": (0, 1 << 31)}[kind]
    if not low <= whole < high:
        raise ValueError("out of range")
    return _varint(number << 3) + _varint(whole & 0xFFFFFFFFFFFFFFFF)


def _base64(text: str) -> bytes:
    """Both alphabets, with or without padding, as proto3's JSON mapping has it."""
    text = text.replace("-", "+").replace("_", "/").rstrip("=")
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def _double(value: Any) -> float:
    if isinstance(value, str):
        return _SPECIAL[value] if value in _SPECIAL else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _whole(value: Any) -> int:
    """A number, or decimal text."""
    if isinstance(value, str) and len(value) <= 24:
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 64:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a whole number")
    return value


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
