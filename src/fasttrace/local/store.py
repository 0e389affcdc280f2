"""The reader of the local spool: which traces are there, and one of them whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from fasttrace._core import decode
from fasttrace._core.types import DecodeError, SpanData, StatusCode
from fasttrace.errors import FasttraceError
from fasttrace.export import segments, spool
from fasttrace.local.model import Trace

# A summary takes about half a kilobyte; beyond this the traces that began first are forgotten.
MAX_TRACES = 100_000
MIN_PREFIX = 4


class TraceNotFound(FasttraceError):
    """No trace, or more than one, answers to what was asked for; the text says what to do."""


class Summary:
    """What a list shows of a trace, gathered span by span. Times in nanoseconds since the Unix epoch.

    Name, status and duration are those of the span without a parent; until it has come, of the
    earliest span, and the duration is from the first start to the last end.
    """

    __slots__ = ("_order", "end_ns", "errors", "name", "root_duration_ns", "services", "spans", "start_ns", "status",
                 "trace_id")  # fmt: skip

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.name = ""
        self.status = "ok"
        self.spans = 0
        self.errors = 0
        self.start_ns = 0
        self.end_ns = 0
        self.root_duration_ns: int | None = None
        self.services: dict[str, int] = {}
        self._order: tuple[bool, int] | None = None

    def add(self, span: SpanData) -> None:
        """Count one more span of the trace."""
        failed = span.status.status_code == StatusCode.ERROR
        self.spans += 1
        self.errors += failed
        service = str(span.resource.get("service.name") or "unknown_service")
        self.services[service] = min(span.start_time_ns, self.services.get(service, span.start_time_ns))
        self.start_ns = min(self.start_ns, span.start_time_ns) if self.spans > 1 else span.start_time_ns
        self.end_ns = max(self.end_ns, span.end_time_ns)
        order = (bool(span.parent_span_id), span.start_time_ns)
        if self._order is None or order < self._order:
            self._order = order
            self.name = span.name
            code = span.attributes.get("http.response.status_code")
            self.status = str(code) if code is not None else "error" if failed else "ok"
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

    def path(self) -> list[str]:
        """The services in the order of their first span."""
        return sorted(self.services, key=lambda service: self.services[service])

    def to_dict(self) -> dict[str, object]:
        """As plain values for JSON."""
        return {
            "trace_id": self.trace_id,
            "name": self.name,
            "status": self.status,
            "start_time_ns": self.start_ns,
            "duration_ns": self.duration_ns,
            "spans": self.spans,
            "errors": self.errors,
            "services": self.path(),
            "complete": self.complete,
        }


class Store:
    """Reads a spool directory; nothing is kept between calls, so that it may be written meanwhile.

    ``directory`` is the spool's; None is ``FASTTRACE_SPOOL_DIR``, else the default one. A directory
    that is not there is an empty store. ``unreadable`` counts the requests that could not be decoded
    in the last reading: they are left out.
    """

    def __init__(self, directory: str | Path | None = None) -> None:
        self.directory = Path(directory or os.environ.get("FASTTRACE_SPOOL_DIR") or spool.default_directory())
        self.unreadable = 0

    @property
    def label(self) -> str:
        """The directory as a person would name it: relative to the current folder if it lies below it."""
        try:
            return str(self.directory.relative_to(Path.cwd()))
        except ValueError:
            return str(self.directory)

    def spans(self) -> Iterator[SpanData]:
        """All spans in the order in which they were written, one segment in memory at a time."""
        self.unreadable = 0
        for request in segments.requests(self.directory):
            try:
                spans = decode.decode_request(request)
            except DecodeError:
                self.unreadable += 1
            else:
                yield from spans

    def summaries(self, max_traces: int = MAX_TRACES) -> list[Summary]:
        """Every trace in brief, the newest last; of more than ``max_traces`` those heard of last."""
        found: dict[str, Summary] = {}
        for span in self.spans():
            summary = found.get(span.trace_id)
            if summary is None:
                if len(found) >= max_traces:
                    del found[next(iter(found))]
                summary = found[span.trace_id] = Summary(span.trace_id)
            summary.add(span)
        return sorted(found.values(), key=lambda summary: (summary.start_ns, summary.trace_id))

    def traces(self, trace_ids: set[str]) -> dict[str, Trace]:
        """The traces with these ids, whole, read in one pass; those that are not there are left out."""
        spans: dict[str, list[SpanData]] = {trace_id: [] for trace_id in trace_ids}
        for span in self.spans():
            if span.trace_id in spans:
                spans[span.trace_id].append(span)
        return {trace_id: Trace(found) for trace_id, found in spans.items() if found}

    def tail(self) -> Tail:
        """A reader of what is written from now on."""
        return Tail(self.directory)

    def find(self, which: str) -> Trace:
        """The trace that ``which`` names: the start of its id, ``slow`` (the slowest) or ``last`` (the newest).

        Raises TraceNotFound when there is none, or more than one.
        """
        trace_id = self._resolve(which)
        return self.traces({trace_id})[trace_id]

    def _resolve(self, which: str) -> str:
        summaries = self.summaries()
        if not summaries:
            raise TraceNotFound(
                f"no traces in {self.label}: run `fasttrace demo`, or an application that calls "
                "fasttrace.configure(); --spool names another directory"
            )
        if which in _CHOICES:
            return _CHOICES[which](summaries).trace_id
        prefix = which.lower()
        if not is_trace_name(which):
            raise TraceNotFound(
                f"{which!r} is not the start of a trace id ({MIN_PREFIX} hexadecimal digits or more), "
                "nor `slow` or `last`"
            )
        matches = [summary.trace_id for summary in summaries if summary.trace_id.startswith(prefix)]
        if not matches:
            raise TraceNotFound(f"no trace in {self.label} begins with {which}: `fasttrace ls` lists what is there")
        if len(matches) > 1:
            raise TraceNotFound(
                f"{len(matches)} traces begin with {which}: give more digits, "
                f"for example {matches[0][: len(prefix) + 4]}"
            )
        return matches[0]


def is_trace_name(text: str) -> bool:
    """Whether a text names one trace: the start of an id, or one of the words for it."""
    digits = len(text) >= MIN_PREFIX and all(char in "0123456789abcdef" for char in text.lower())
    return text in _CHOICES or digits


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


_CHOICES: dict[str, Callable[[list[Summary]], Summary]] = {
    "slow": lambda summaries: max(summaries, key=lambda summary: summary.duration_ns),
    "last": lambda summaries: summaries[-1],
}
