"""Traces in other people's formats: one file for each, found by its name, by a file's suffix, or by a look inside.

A format's module has ``NAME``, ``TITLE``, ``SUFFIXES`` and ``write(traces)``, which gives the bytes of whole traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import BinaryIO

from fasttrace._core.types import SpanData
from fasttrace.errors import FasttraceError
from fasttrace.local import plain
from fasttrace.local.exchange import html, jaeger, otlp_json, otlp_protobuf, perfetto, zipkin

FORMATS: dict[str, ModuleType] = {
    module.NAME: module for module in (otlp_json, otlp_protobuf, jaeger, zipkin, perfetto, html)
}
READABLE = tuple(name for name in FORMATS if name not in (perfetto.NAME, html.NAME))
# Objects of one line are read line by line, all others at once.
MAX_BYTES = 2 * 1024**3


class FormatError(FasttraceError, ValueError):
    """A file that is of no format that can be read; the text says what was found and what is accepted."""


def format_of(path: str) -> str | None:
    """The format that a file's name asks for; None when it says nothing."""
    name = path.lower().removesuffix(".gz")
    suffixes = [(suffix, module.NAME) for module in FORMATS.values() for suffix in module.SUFFIXES]
    return next(
        (found for suffix, found in sorted(suffixes, key=lambda pair: -len(pair[0])) if name.endswith(suffix)), None
    )


def write(name: str, traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """Traces in a format; each list holds whole traces."""
    written: Iterator[bytes] = FORMATS[name].write(traces)
    return written


def read(file: BinaryIO, name: str | None = None) -> Iterator[list[SpanData]]:
    """The spans of a file, some at a time; ``name`` demands a format. Raises FormatError."""
    blank = b""
    while not (first := file.readline(MAX_BYTES)).strip() and first:
        blank += first  # protobuf begins with a line feed
    start = first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if name == otlp_protobuf.NAME or (name is None and start not in (b"{", b"[")):
        yield from _read_protobuf(blank + first + file.read(MAX_BYTES))
        return
    data = _json(first)
    if data is None:
        rest = first + file.read(MAX_BYTES)
        data = _json(rest)
        if data is None:
            yield from _read_protobuf(blank + rest)
            return
    yield _read_json(data, name)
    for number, line in enumerate(file, 2):
        if line.strip():
            following = _json(line)
            if following is None:
                raise FormatError(f"line {number} is not JSON")
            yield _read_json(following, name)


def _json(text: bytes) -> object:
    """What a text is in JSON; None for what is none, and for null."""
    try:
        return plain.load(text)
    except (ValueError, RecursionError):
        return None


def _read_protobuf(data: bytes) -> Iterator[list[SpanData]]:
    if not data:
        raise FormatError("nothing in it")
    try:
        yield from otlp_protobuf.read(data)
    except ValueError as error:
        raise FormatError(f"{error}, and no JSON") from None


def _read_json(data: object, name: str | None) -> list[SpanData]:
    for module in (otlp_json, jaeger, zipkin):
        if name in (None, module.NAME) and module.is_it(data):
            try:
                spans: list[SpanData] = module.read(data)
                return spans
            except (ValueError, RecursionError, OverflowError) as error:
                raise FormatError(str(error)) from None
    found = (
        f"an object with {', '.join(list(data)[:5]) or 'nothing'}" if isinstance(data, dict) else type(data).__name__
    )
    accepted = (
        f"{FORMATS[name].TITLE}" if name else "OTLP (resourceSpans), Jaeger (data, spans, processes) or Zipkin (a list)"
    )
    raise FormatError(f"{found}: not {accepted}")
