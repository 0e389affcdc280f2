"""logging: trace and span ids on every record, and warnings as events of the current span.

``instrument()`` gives every record of the process the attributes ``trace_id`` and ``span_id`` ("" outside of a span),
and those of OpenTelemetry's instrumentation: ``otelTraceID`` and ``otelSpanID`` ("0" outside), ``otelTraceSampled`` and
``otelServiceName``. An application's own ``extra`` of these names wins. ``TraceContextFilter`` does the same for one
handler, ``Formatter`` and ``JSONFormatter`` write them.

With ``events=True`` records of ``level`` and above become events of the current span, once each, whatever handlers
there are; ``SpanEventHandler`` does it where a handler is added by hand.
"""

from __future__ import annotations

import logging

from fasttrace.errors import ConfigurationError
from fasttrace.integrations import _logs
from fasttrace.integrations._json import JSONFormatter
from fasttrace.integrations._logs import current_ids, service_name
from fasttrace.integrations._patch import Patch, replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

__all__ = ["Formatter", "JSONFormatter", "SpanEventHandler", "TraceContextFilter", "instrument", "uninstrument"]

FORMAT = "%(asctime)s %(levelname)s [%(name)s] [trace_id=%(trace_id)s span_id=%(span_id)s] %(message)s"


def add_ids(record: logging.LogRecord) -> None:
    """Give a record the ids of what is current, unless it has them: it may be handled in another thread."""
    fields = record.__dict__
    ids = current_ids()
    if ids is None:
        trace_id = span_id = ""
        fields.setdefault("otelTraceID", "0")
        fields.setdefault("otelSpanID", "0")
        fields.setdefault("otelTraceSampled", False)
    else:
        trace_id, span_id, sampled = ids
        fields.setdefault("otelTraceID", trace_id)
        fields.setdefault("otelSpanID", span_id)
        fields.setdefault("otelTraceSampled", sampled)
    fields.setdefault("otelServiceName", service_name())
    fields.setdefault("trace_id", trace_id)
    fields.setdefault("span_id", span_id)


def add_event(record: logging.LogRecord) -> None:
    """Make a record an event of the current span."""
    exc_info = record.exc_info
    _logs.add_event(
        record.levelname,
        record.name,
        record.getMessage,
        exc_info[1] if isinstance(exc_info, tuple) else None,
        {
            "code.file.path": record.pathname,
            "code.line.number": record.lineno,
            "code.function.name": record.funcName or "",
        },
    )


class TraceContextFilter(logging.Filter):
    """Gives the records that pass a handler, or one logger, the ids of what is current; lets all of them pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids."""
        add_ids(record)
        return super().filter(record)


class Formatter(logging.Formatter):
    """``logging.Formatter`` whose format may name the ids, whatever else is set up; ``FORMAT`` by default."""

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(FORMAT if fmt is None and style == "%" else fmt, datefmt, style, validate, **options)

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        add_ids(record)
        return super().format(record)


class SpanEventHandler(logging.Handler):
    """Makes the records that it gets events of the current span; by default those of WARNING and above."""

    def __init__(self, level: int | str = logging.WARNING) -> None:
        super().__init__(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Add the event."""
        add_event(record)


def instrument(
    target: logging.Logger | logging.Handler | None = None,
    *,
    events: bool = False,
    level: int | str = logging.WARNING,
) -> None:
    """Put the ids on the records of one logger or handler, or with none given on those of the whole process.

    With ``events`` records of ``level`` and above become events of the current span. Calling it again changes nothing.
    Raises ConfigurationError for a level that is none, and for the events of a handler, which has records of its own.
    """
    number = _logs.level_number(level)
    if target is None:
        # Not by a record factory: the next one that the application sets would take its place, and an `extra` of the
        # same name would be an error to whoever logs it.
        replace(logging.Logger, "makeRecord", _making)
        if events:
            replace(logging.Logger, "callHandlers", _calling, number)
        return
    if events and not isinstance(target, logging.Logger):
        raise ConfigurationError(f"events=True for {target!r}: use it for a logger, or add a SpanEventHandler")
    if not any(type(found) is TraceContextFilter for found in target.filters):
        target.addFilter(TraceContextFilter())
    if (
        events
        and isinstance(target, logging.Logger)
        and not any(type(found) is SpanEventHandler for found in target.handlers)
    ):
        target.addHandler(SpanEventHandler(number))


def uninstrument(target: logging.Logger | logging.Handler | None = None) -> None:
    """Undo ``instrument`` for one logger or handler, or the process-wide one. Calling it again changes nothing."""
    if target is None:
        restore(logging.Logger, "makeRecord")
        restore(logging.Logger, "callHandlers")
        return
    for added in [found for found in target.filters if type(found) is TraceContextFilter]:
        target.removeFilter(added)
    if isinstance(target, logging.Logger):
        for handler in [found for found in target.handlers if type(found) is SpanEventHandler]:
            target.removeHandler(handler)


def _making(original: Any, patch: Patch) -> Any:
    def makeRecord(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802
        record: logging.LogRecord = original(*args, **kwargs)
        if patch.options is not None:
            add_ids(record)
        return record

    return makeRecord


def _calling(original: Any, patch: Patch) -> Any:
    def callHandlers(self: logging.Logger, record: logging.LogRecord) -> None:  # noqa: N802
        # Below a logger that does not pass the record on, and where there are no handlers at all, it is an event, too.
        level = patch.options
        if level is not None and record.levelno >= level:
            add_event(record)
        original(self, record)

    return callHandlers
