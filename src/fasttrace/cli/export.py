"""``fasttrace export``: traces of the spool as a file for other tools."""

from __future__ import annotations

import argparse
import gzip
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from fasttrace.cli.opening import open_index, print_json
from fasttrace.cli.progress import Advance, progress
from fasttrace.errors import FasttraceError
from fasttrace.local import exchange
from fasttrace.local.exchange import otlp_json, otlp_protobuf
from fasttrace.local.index import is_trace_name
from fasttrace.local.search import parse
from fasttrace.local.text import plural

if TYPE_CHECKING:
    from fasttrace._core.types import SpanData
    from fasttrace.local.index import Index

TRACES_AT_ONCE = 200


def run(arguments: argparse.Namespace) -> int:
    """Write the traces that were asked for. Raises TraceNotFound, SearchError, FasttraceError for a format's want."""
    path = arguments.output
    name = arguments.format or (exchange.format_of(path) if path else None) or otlp_json.NAME
    if arguments.json and path is None:
        raise FasttraceError("--json says what was written: name the file for the traces with --output")
    if path is None and name == otlp_protobuf.NAME and sys.stdout.isatty():
        raise FasttraceError("protobuf is not for the terminal: name a file with --output")
    if len(arguments.query) != 1 or not is_trace_name(arguments.query[0]):
        parse(" ".join(arguments.query))
    index = open_index(arguments)
    trace_ids = _trace_ids(index, arguments)
    with progress("exporting") as advance:
        pieces = exchange.write(name, _traces(index, trace_ids, advance))
        if path is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        else:
            _write(path, pieces)
    if arguments.json:
        assert path is not None
        size = os.path.getsize(path)
        print_json({"file": path, "format": name, "traces": len(trace_ids), "bytes": size})
        return 0
    where = f" to {path}" if path else ""
    print(f"fasttrace: {plural(len(trace_ids), 'trace')}{where}, {exchange.FORMATS[name].TITLE}", file=sys.stderr)
    return 0


def _trace_ids(index: Index, arguments: argparse.Namespace) -> list[str]:
    """The ids of the traces that were asked for, the oldest first."""
    if len(arguments.query) == 1 and is_trace_name(arguments.query[0]):
        return [index.resolve(arguments.query[0])]
    query = " ".join(arguments.query)
    found = index.matching(parse(query), arguments.limit)
    if not found:
        what = f"nothing matches {query!r}" if query else "no traces"
        raise FasttraceError(f"{what} in {index.label}: `fasttrace ls` lists what is there")
    return found


def _traces(index: Index, trace_ids: list[str], advance: Advance) -> Iterator[list[SpanData]]:
    for at in range(0, len(trace_ids), TRACES_AT_ONCE):
        spans = index.spans(set(trace_ids[at : at + TRACES_AT_ONCE]))
        if spans:
            yield spans
        advance(min(at + TRACES_AT_ONCE, len(trace_ids)), len(trace_ids))


def _write(path: str, pieces: Iterator[bytes]) -> None:
    """Write a file, mode 0600, which has its name once it is whole."""
    temporary = f"{path}.{os.getpid()}.part"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as error:
        raise FasttraceError(f"{path} can't be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as plain:
            if path.endswith(".gz"):
                with gzip.GzipFile(filename="", fileobj=plain, mode="wb", mtime=0) as packed:
                    _pour(pieces, packed)  # type: ignore[arg-type]
            else:
                _pour(pieces, plain)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _pour(pieces: Iterator[bytes], file: BinaryIO) -> None:
    for piece in pieces:
        file.write(piece)
