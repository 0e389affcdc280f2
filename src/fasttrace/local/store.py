"""The spool itself, read from its beginning or followed at its end; the index answers questions about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fasttrace._core import decode
from fasttrace._core.types import DecodeError, SpanData, StatusCode
from fasttrace.export import segments, spool
from fasttrace.local.facts import service_of, status_of


class Summary:
    """What a list shows of a trace, gathered span by span. Times in nanoseconds since the Unix epoch.

    Name, status and duration are those of the span without a parent; until it has come, of the
    earliest span, and the duration is from the first start to the last end.
    """

    __slots__ = ("_order", "_services", "end_ns", "errors", "name", "root_duration_ns", "service", "spans", "start_ns",
                 "status", "trace_id")  # fmt: skip

    def __init__(self, trace_id: str) -> None:
        self.trace_id: str = trace_id
        self.name: str = ""
        self.service: str = ""
        self.status: str = "ok"
        self.spans: int = 0
        self.errors: int = 0
        self.start_ns: int = 0
        self.end_ns: int = 0
        self.root_duration_ns: int | None = None
        self._services: dict[str, int] = {}
        self._order: tuple[bool, int] | None = None

    def add(self, span: SpanData) -> None:
        """Count one more span of the trace."""
        failed = span.status.status_code == StatusCode.ERROR
        self.spans += 1
        self.errors += failed
        service = service_of(span.resource)
        self._services[service] = min(span.start_time_ns, self._services.get(service, span.start_time_ns))
        self.start_ns = min(self.start_ns, span.start_time_ns) if self.spans > 1 else span.start_time_ns
        self.end_ns = max(self.end_ns, span.end_time_ns)
        order = (bool(span.parent_span_id), span.start_time_ns)
        if self._order is None or order < self._order:
            self._order = order
            self.name, self.service = span.name, service
            self.status = status_of(span) or "ok"
            self.root_duration_ns = None if span.parent_span_id else span.duration_ns

    @property
    def complete(self) -> bool:
        """Whether the span without a parent has been received."""
        return self.root_duration_ns is not None

    @property
    def duration_ns(self) -> int:
        """The root's duration, else the time from the first start to the last end."""
        if self.root_duration_ns is None:
            return max(0, self.end_ns - self.start_ns)
        return max(0, self.root_duration_ns)

    @property
    def services(self) -> list[str]:
        """The services in the order of their first span."""
        return sorted(self._services, key=self._services.__getitem__)


class Store:
    """Reads a spool directory; nothing is kept between calls, so that it may be written meanwhile.

    ``directory`` is the spool's; None is ``FASTTRACE_SPOOL_DIR``, else the default one. A directory
    that is not there is an empty store. What can't be decoded is left out.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.directory: Path = Path(directory or os.environ.get("FASTTRACE_SPOOL_DIR") or spool.default_directory())

    @property
    def label(self) -> str:
        """The directory as a person would name it: relative to the current folder if it lies below it."""
        try:
            return str(self.directory.relative_to(Path.cwd()))
        except ValueError:
            return str(self.directory)

    def spans(self) -> Iterator[SpanData]:
        """All spans in the order in which they were written, one segment in memory at a time."""
        for request in segments.requests(self.directory):
            with suppress(DecodeError):
                yield from decode.decode_request(request)

    def tail(self) -> Tail:
        """A reader of what is written from now on."""
        return Tail(self.directory)


class Tail:
    """Reads what has been appended to a spool since the last reading; what can't be decoded is left out."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets = {path: _size(path) for path in segments.paths(directory)}

    def read(self) -> Iterator[SpanData]:
        """The spans that are new, in the order in which they were written, segment by segment."""
        for path in segments.paths(self._directory):
            for request, offset in segments.read(path, self._offsets.get(path, 0)):
                self._offsets[path] = offset
                with suppress(DecodeError):
                    yield from decode.decode_request(request)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
