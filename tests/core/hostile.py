"""OTLP messages that nobody sends in good faith, and the memory that reading them takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(field: int, body: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(body)) + body


def request(scope_spans: bytes) -> bytes:
    return message(1, message(2, scope_spans))


def with_value(any_value: bytes) -> bytes:
    return request(message(2, message(9, message(2, any_value))))


def nested(depth: int, field: int) -> bytes:
    """Arrays (5) or mappings (6) in each other."""
    value = b""
    for _ in range(depth):
        value = message(field, message(1, value if field == 5 else message(2, value)))
    return with_value(value)


MANY = 50_000
# Each with whether it must be refused.
CROWDS: dict[str, tuple[bytes, bool]] = {
    "empty spans": (request(b"\x12\x00" * 5 * MANY), True),
    "empty events": (request(message(2, b"\x5a\x00" * MANY)), True),
    "empty links": (request(message(2, b"\x6a\x00" * MANY)), True),
    "scopes with an empty span": (message(1, b"\x12\x02\x12\x00" * MANY), True),
    "arrays 10,000 deep": (nested(10_000, 5), True),
    "mappings 10,000 deep": (nested(10_000, 6), True),
    "empty attributes": (request(message(2, b"\x4a\x00" * MANY)), False),
    "empty arrays": (with_value(message(5, b"\x0a\x02\x2a\x00" * MANY)), False),
    "empty mappings": (with_value(message(5, b"\x0a\x02\x32\x00" * MANY)), False),
    "nothings": (with_value(message(5, b"\x0a\x00" * MANY)), False),
    "one value over and over": (with_value(b"\x2a\x00" * MANY), False),
    "keys": (request(message(2, b"".join(message(9, message(1, b"%05d" % n)) for n in range(MANY // 4)))), False),
    "empty resources": (b"\x0a\x00" * MANY, False),
    "empty scopes": (message(1, b"\x12\x00" * MANY), False),
    "a long name": (request(message(2, message(5, b"a" * MANY + "\U0001f600".encode()))), False),
    "unknown fields": (b"\xf8\x07\x01" * MANY, False),
}
# Lengths and numbers that lie; all must be refused.
LIES: dict[str, bytes] = {
    **{
        f"a length of {length}": b"\x0a" + varint(length)
        for length in (1, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1)
    },
    "a length beyond 64 bits": b"\x0a" + b"\xff" * 9 + b"\x02",
    "a length inside that is longer than what is around": message(1, message(2, b"\x12\x7f") + b"\0" * 200)[:20],
    "a length without end": b"\x0a" + b"\x80" * 30,
    "a tag without end": b"\x80" * 30,
    "a field number of 0": b"\x02\x00",
    "a field number of 2**29": varint(1 << 32 | 2) + b"\x00",
    "a group": b"\x0b\x0c",
    "a group in a span": request(message(2, b"\x4b\x4c")),
    "groups 10,000 deep": b"\x0b" * 10_000 + b"\x0c" * 10_000,
    "the end of a group": b"\x0c",
    "wire type 6": b"\x0e",
    "a number for a request": b"\x08\x01",
    "a span of 8 fixed bytes": request(b"\x11" + bytes(8)),
}


def peak(call: Callable[[], Any]) -> int:
    """The most bytes that Python had allocated during a call, beyond what was there before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
