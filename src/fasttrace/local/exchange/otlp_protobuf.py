"""OTLP in protobuf: one ``TracesData`` message, or several behind their lengths (the Collector's file exporter)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fasttrace._core import decode
from fasttrace._core.types import DecodeError, SpanData
from fasttrace.local.exchange.encode import encode_request
from fasttrace.local.wire import read_varint

NAME = "otlp"
TITLE = "OTLP in protobuf"
SUFFIXES = (".otlp", ".binpb", ".pb")
_LENGTH = 4
_RESOURCE_SPANS = b"\x0a"
_PIECE_BYTES = 256 * 1024


def write(traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """Pieces that are one message together."""
    for spans in traces:
        yield encode_request(spans)


def read(data: bytes) -> Iterator[list[SpanData]]:
    """The spans of a whole file, some at a time. Raises ValueError for what is none, which may be found late."""
    for begin, end in _messages(data) if data[:1] != _RESOURCE_SPANS else _pieces(data):
        try:
            yield decode.decode_request(data[begin:end])
        except DecodeError as error:
            raise ValueError(f"not OTLP in protobuf: {error}, which begins at byte {begin:,}") from None


def _messages(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the messages behind their lengths lie, four bytes each, the highest first."""
    at = 0
    while at < len(data):
        begin = at + _LENGTH
        at = begin + int.from_bytes(data[at:begin], "big")
        if at > len(data):
            raise ValueError("not OTLP in protobuf")
        yield begin, at


def _pieces(data: bytes) -> Iterator[tuple[int, int]]:
    """Where one message can be cut: each ``ResourceSpans`` in it is a message by itself."""
    begin = at = 0
    while at < len(data):
        at = _end(data, at)
        if at - begin >= _PIECE_BYTES or at == len(data):
            yield begin, at
            begin = at


def _end(data: bytes, at: int) -> int:
    """Where the ``ResourceSpans`` at a place ends; of what is something else, or damaged, the decoder knows."""
    if data[at : at + 1] != _RESOURCE_SPANS:
        return len(data)
    try:
        size, begin = read_varint(data, at + 1)
    except IndexError:
        return len(data)
    return min(begin + size, len(data))
