"""OTLP/JSON to OTLP protobuf, strictly (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding").

Fields that are not known are skipped; a known one of the wrong type is an error that names its place.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from math import isinf
from struct import Struct, error
from typing import Any

from fasttrace.local import plain
from fasttrace.local.wire import part, varint

# What the decoder of the other side takes, too.
MAX_DEPTH = 100
_DOUBLE = Struct("<d")
_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
# Python's own conversions take spaces, underscores and every script's digits.
_WHOLE = re.compile(r"-?\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,400}(\.\d{0,400})?([eE][+-]?\d{1,3})?", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]*")
_RANGES = {"int64": (-(1 << 63), 1 << 63), "uint32": (0, 1 << 32), "enum": (0, 1 << 31)}
_ID_BYTES = {"trace id": 16, "span id": 8}

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
        "traceId": (1, "trace id"),
        "spanId": (2, "span id"),
        "traceState": (3, "string"),
        "parentSpanId": (4, "span id"),
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
        "traceId": (1, "trace id"),
        "spanId": (2, "span id"),
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


class _Fault(ValueError):
    """What is wrong; the place is put together on the way out, since most messages have none."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason
        self._place: list[str] = []

    def inside(self, place: str) -> _Fault:
        self._place.insert(0, place)
        return self

    def __str__(self) -> str:
        return f"{''.join(self._place).lstrip('.') or 'the body'}: {self._reason}"


def request_from_json(body: bytes) -> bytes:
    """An ``ExportTraceServiceRequest`` in JSON as protobuf bytes. Raises ValueError, which says where and why."""
    try:
        return request_from(plain.load(body))
    except RecursionError:
        raise ValueError("values nested too deeply") from None


def request_from(found: Any) -> bytes:
    """The same of what the JSON says, an ``ExportTraceServiceRequest``, equally ``TracesData``. Raises ValueError."""
    return _message("request", found, 0)


def _message(name: str, found: Any, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise _Fault("values nested too deeply")
    if not isinstance(found, dict):
        raise _Fault("not an object")
    parts: list[bytes] = []
    fields = _MESSAGES[name]
    for key, value in found.items():
        field = fields.get(key)
        if field is None or value is None:
            continue
        number, kind = field
        try:
            if kind[0] == "[":
                _list(parts, number, kind[1:-1], value, depth)
            else:
                parts.append(_field(number, kind, value, depth))
        except _Fault as fault:
            raise fault.inside(f".{key}") from None
    if name == "value" and len(parts) > 1:
        raise _Fault("more than one value")
    return b"".join(parts)


def _list(parts: list[bytes], number: int, kind: str, values: Any, depth: int) -> None:
    if not isinstance(values, list):
        raise _Fault("not a list")
    for at, value in enumerate(values):
        try:
            parts.append(_field(number, kind, value, depth))
        except _Fault as fault:
            raise fault.inside(f"[{at}]") from None


def _field(number: int, kind: str, value: Any, depth: int) -> bytes:
    if kind in _MESSAGES:
        return part(number, _message(kind, value, depth + 1))
    try:
        if kind == "string" and value.__class__ is str:
            return part(number, value.encode())
        return _scalar(number, kind, value)
    except (ValueError, TypeError, OverflowError, error) as reason:
        raise _Fault(f"not a valid {kind} ({reason})") from None


def _scalar(number: int, kind: str, value: Any) -> bytes:
    if kind in ("string", "base64") or kind in _ID_BYTES:
        if not isinstance(value, str):
            raise TypeError("not text")
        return part(number, _base64(value) if kind == "base64" else _identifier(value, _ID_BYTES[kind]))
    if kind == "bool":
        if not isinstance(value, bool):
            raise TypeError("neither true nor false")
        return varint(number << 3) + varint(value)
    if kind == "double":
        return varint(number << 3 | 1) + _DOUBLE.pack(_double(value))
    whole = _whole(value)
    if kind in ("fixed64", "fixed32"):
        size = 8 if kind == "fixed64" else 4
        return varint(number << 3 | (1 if size == 8 else 5)) + whole.to_bytes(size, "little")
    low, high = _RANGES[kind]
    if not low <= whole < high:
        raise ValueError("out of range")
    return varint(number << 3) + varint(whole & 0xFFFFFFFFFFFFFFFF)


def _identifier(text: str, size: int) -> bytes:
    """An id in hexadecimal, in capitals or not; empty for none."""
    if not _HEX.fullmatch(text):
        raise ValueError("not hexadecimal")
    if len(text) not in (0, 2 * size):
        raise ValueError(f"{len(text)} digits, not {2 * size}")
    return bytes.fromhex(text)


def _base64(text: str) -> bytes:
    """Both alphabets, with or without padding, as proto3's JSON mapping has it."""
    text = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as reason:
        raise ValueError(str(reason)) from None


def _double(value: Any) -> float:
    if isinstance(value, str):
        if value in _SPECIAL:
            return _SPECIAL[value]
        if not _NUMBER.fullmatch(value):
            raise ValueError("not a number")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    found = float(value)
    if isinf(found):
        raise ValueError("out of range")
    return found


def _whole(value: Any) -> int:
    """A number, or decimal text."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 64:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a whole number")
    return value
