"""OTLP in protobuf: one ``TracesData`` message, or several behind their lengths (the Collector's file exporter)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fasttrace._core import decode
from fasttrace._core.types import DecodeError, SpanData
from fasttrace.local.exchange.encode import encode_request

NAME = "otlp"
TITLE = "OTLP in protobuf"
SUFFIXES = (".otlp", ".binpb", ".pb")
_LENGTH = 4


def write(traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """Pieces that are one message together."""
    for spans in traces:
        yield encode_request(spans)


def read(data: bytes) -> Iterator[list[SpanData]]:
    """The spans of a whole file. Raises ValueError for what is none."""
    try:
        yield decode.decode_request(data)
        return
    except DecodeError as error:
        first = error
    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        if end > len(data) or end <= at + _LENGTH:
            raise ValueError(f"not OTLP in protobuf: {first}")
        yield decode.decode_request(data[at + _LENGTH : end])
        at = end
