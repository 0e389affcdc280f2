"""Protobuf's wire format, as far as requests are put together or cut apart here; ``fasttrace._core`` decodes spans."""

from __future__ import annotations

from collections.abc import Iterator

LENGTH_DELIMITED = 2
_SMALL = [bytes((value,)) for value in range(0x80)]


def varint(value: int) -> bytes:
    """A number that is not negative, in seven bits a byte."""
    if value < 0x80:
        return _SMALL[value]
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def part(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(content)) + content


def fields(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Number, start, begin of the content (-1 where it is no length-delimited field) and end of each field.

    The message must be sound.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = read_varint(message, position)
        begin = -1
        if tag & 7 == 0:
            _, position = read_varint(message, position)
        elif tag & 7 == LENGTH_DELIMITED:
            size, begin = read_varint(message, position)
            position = begin + size
        else:
            position += 8 if tag & 7 == 1 else 4
        yield tag >> 3, start, begin, position


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """A number and the position behind it. Raises IndexError where the message ends too early, or the number never."""
    value = shift = 0
    while shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise IndexError("a number of more than ten bytes")
