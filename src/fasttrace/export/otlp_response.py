"""What an OTLP receiver answers (opentelemetry-proto, trace_service.proto and docs/specification.md)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# As much of an error's text as a log line should hold.
READABLE_CHARACTERS = 300


def partial_success(body: bytes) -> tuple[int, str]:
    """Rejected spans and message of an ``ExportTraceServiceResponse``; (0, "") when all is well or unreadable."""
    try:
        inner = _fields(body).get(1, b"")
        fields = _fields(inner) if isinstance(inner, bytes) else {}
    except (IndexError, ValueError):
        return 0, ""
    rejected, message = fields.get(1, 0), fields.get(2, b"")
    if not isinstance(rejected, int) or rejected >= 1 << 63:
        rejected = 0
    return rejected, message.decode(errors="replace") if isinstance(message, bytes) else ""


def retry_delay(status: bytes) -> float | None:
    """The seconds of the ``RetryInfo`` in a ``google.rpc.Status``; 0.0 without a delay, None without a RetryInfo."""
    try:
        for number, detail in _each(status):
            packed = _fields(detail) if number == 3 and isinstance(detail, bytes) else {}
            name, value = packed.get(1), packed.get(2, b"")
            if isinstance(name, bytes) and name.endswith(b"/google.rpc.RetryInfo") and isinstance(value, bytes):
                delay = _fields(value).get(1, b"")
                return _duration(delay) if isinstance(delay, bytes) else 0.0
    except (IndexError, ValueError):
        pass
    return None


def _duration(data: bytes) -> float:
    """The seconds of a ``google.protobuf.Duration``; 0.0 for one that is negative or none."""
    fields = _fields(data)
    seconds, nanos = fields.get(1, 0), fields.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int) or seconds >= 1 << 63 or nanos >= 10**9:
        return 0.0
    return seconds + nanos / 10**9


def _fields(data: bytes) -> dict[int, int | bytes]:
    """The varint and length-delimited fields 1 to 3 of a message, the last of each number; nobody needs more."""
    return {number: value for number, value in _each(data) if number <= 3}


def _each(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field, in order."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        if tag & 7 == 0:
            value, position = _varint(data, position)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, position = _varint(data, position)
            if size > len(data) - position:
                raise ValueError("cut short")
            yield tag >> 3, data[position : position + size]
            position += size
        else:
            raise ValueError("not a response")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than 64 bits")


def retry_after(value: str | None) -> int | None:
    """The seconds of a ``Retry-After`` field, a number or an HTTP date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return int(value[:9])
    from datetime import UTC
    from email.utils import parsedate_to_datetime
    from time import time

    try:
        date = parsedate_to_datetime(value)
        # The oldest of the three forms, asctime's, names no zone: all are UTC (RFC 9110, section 5.6.7).
        return max(0, round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time()))
    except (TypeError, ValueError, OverflowError):
        return None


def readable(body: bytes, redact: Callable[[str], str]) -> str:
    """A piece of an error's body fit for a log line: text, or the message of a ``google.rpc.Status``."""
    text = body[: 4 * READABLE_CHARACTERS].decode(errors="replace")
    try:
        message = _fields(body).get(2)
        if isinstance(message, bytes):
            text = message.decode()
    except (IndexError, ValueError):
        pass
    text = one_line(redact(text))
    return f": {text}" if text else ""


def one_line(text: str) -> str:
    """The beginning of a text, without what a log line should not hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:READABLE_CHARACTERS]
