"""``fasttrace import``: other tools' files into the spool, as if a process here had recorded them."""  # noqa: N999

from __future__ import annotations

import argparse
import gzip
import io
import os
import sys
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

from fasttrace import config
from fasttrace.cli.opening import print_json
from fasttrace.cli.progress import Advance, progress
from fasttrace.errors import FasttraceError
from fasttrace.export import SpoolExporter
from fasttrace.local import exchange
from fasttrace.local.exchange.encode import encode_request
from fasttrace.local.index import Index
from fasttrace.local.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fasttrace._core.types import SpanData

SPANS_AT_ONCE = 512
_GZIP = b"\x1f\x8b"


def run(arguments: argparse.Namespace) -> int:
    """Read the files one after the other; 1 when one of them could not be read, whose beginning may have been taken."""
    index = Index(arguments.spool)
    bounds = {name: config.from_environment(f"spool_{name}", os.environ) for name in ("max_bytes", "max_age")}
    exporter = SpoolExporter(index.directory, **bounds)
    exporter.check()
    found = [_report(path, arguments.format, exporter) for path in arguments.files]
    exporter.shutdown(1)
    with progress("indexing", bytes_of=True) as advance:
        index.refresh(advance)
    if arguments.json:
        print_json(found)
    return 1 if any(one["error"] for one in found) else 0


def _report(path: str, name: str | None, exporter: SpoolExporter) -> dict[str, Any]:
    """Take one file, and say on standard error what became of it."""
    called = "standard input" if path == "-" else path
    taken = left_out = 0
    text = None
    try:
        taken, left_out = _take(path, called, name, exporter)
    except (FasttraceError, OSError, EOFError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        text = " ".join(said.split())
        print(f"fasttrace: {called}: {text}", file=sys.stderr)
    else:
        without = f"; {plural(left_out, 'span')} without valid ids left out" if left_out else ""
        print(f"fasttrace: {plural(taken, 'span')} from {called}{without}", file=sys.stderr)
    return {"file": path, "spans": taken, "left_out": left_out, "error": text}


def _take(path: str, called: str, name: str | None, exporter: SpoolExporter) -> tuple[int, int]:
    """Read one file into the spool: spans taken, spans left out."""
    taken = left_out = 0
    plain: BinaryIO = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115
    with plain, progress(f"importing {os.path.basename(called)}", bytes_of=True) as advance:
        size = 0 if path == "-" else os.fstat(plain.fileno()).st_size
        counted = io.BufferedReader(_Counted(plain, size, advance))
        file: BinaryIO = gzip.GzipFile(fileobj=counted) if counted.peek(2)[:2] == _GZIP else counted  # type: ignore[assignment]
        for spans in exchange.read(file, name):
            for at in range(0, len(spans), SPANS_AT_ONCE):
                part = [span for span in spans[at : at + SPANS_AT_ONCE] if _is_valid(span)]
                left_out += len(spans[at : at + SPANS_AT_ONCE]) - len(part)
                _append(part, exporter)
                taken += len(part)
    return taken, left_out


def _append(spans: Iterable[SpanData], exporter: SpoolExporter) -> None:
    try:
        request = encode_request(spans)
    except ValueError as error:
        raise exchange.FormatError(str(error)) from None
    if request:
        exporter.append(request)


def _is_valid(span: SpanData) -> bool:
    return span.trace_id.strip("0") != "" and span.span_id.strip("0") != ""


class _Counted(io.RawIOBase):
    """A file that tells how much of it has been read."""

    def __init__(self, file: BinaryIO, size: int, advance: Advance) -> None:
        self._file = file
        self._size = size
        self._advance = advance
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._done += len(data)
        self._advance(self._done, self._size)
        return len(data)
