"""Log records as JSON: one line each, whatever is in them."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

from fasttrace.integrations._logs import current_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# What every record has; the rest of its attributes is the application's `extra`.
_KNOWN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "asctime",
    "message",
    "otelServiceName",
    "otelSpanID",
    "otelTraceID",
    "otelTraceSampled",
    "span_id",
    "taskName",
    "trace_id",
}
MAX_DEPTH = 8
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class JSONFormatter(logging.Formatter):
    """One line of ASCII for each record: a JSON object.

    ``timestamp`` (UTC), ``level``, ``logger``, ``message``; within a span ``trace_id`` and ``span_id``;
    ``service.name`` if it is known; ``exception.type``, ``exception.message``, ``exception.stacktrace`` and ``stack``
    where there are such; then what the application has passed as ``extra``. An extra field of one of these names
    becomes ``extra.NAME``. What is not JSON (other objects, infinite numbers) becomes text, a lone surrogate ``?``.
    ``static``: fields for every line.
    """

    def __init__(self, *, static: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._static = dict(static or {})

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        fields = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **_trace(record),
            **_exception(self, record),
        }
        for key, value in self._static.items():
            fields.setdefault(key, value)
        for key, value in record.__dict__.items():
            if key not in _KNOWN:
                fields[f"extra.{key}" if key in fields else key] = value
        try:
            line = json.dumps(fields, default=_default, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            line = json.dumps(_plain(fields, 0))
        if "\\ud" in line:
            line = json.dumps(_whole(json.loads(line)))
        return line


def _trace(record: logging.LogRecord) -> dict[str, Any]:
    """The ids that a record has, or, without any, those of what is current."""
    trace_id, span_id = getattr(record, "trace_id", None), getattr(record, "span_id", None)
    if trace_id is None:
        ids = current_ids()
        trace_id, span_id = ("", "") if ids is None else ids[:2]
    found = {"trace_id": trace_id, "span_id": span_id} if trace_id else {}
    service = getattr(record, "otelServiceName", None)
    return {**found, "service.name": service} if service else found


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exc_info = record.exc_info
    if isinstance(exc_info, tuple) and exc_info[1] is not None:
        kind = type(exc_info[1])
        found["exception.type"] = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        found["exception.message"] = _text(exc_info[1])
        try:
            found["exception.stacktrace"] = record.exc_text or formatter.formatException(exc_info)
        except Exception:  # an exception that can't be shown
            pass
    elif record.exc_text:
        found["exception.stacktrace"] = record.exc_text
    if record.stack_info:
        found["stack"] = record.stack_info
    return found


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a message and arguments that do not fit: better than no line at all
        return f"{_text(record.msg)} {_text(record.args)}"


def _text(value: object) -> str:
    """What an object says of itself, or, where it refuses, its type."""
    try:
        if isinstance(value, (bytes, bytearray)):
            return value.decode("utf-8", "backslashreplace")
        return str.__str__(str(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _default(value: object) -> Any:
    return list(value) if isinstance(value, (set, frozenset)) else _text(value)


def _plain(value: Any, depth: int) -> Any:
    """A value as JSON has it: text for keys, nothing infinite, circular or bottomless."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:  # infinite, or too many digits
            return _text(value)
        return value
    if depth >= MAX_DEPTH:
        return "..."
    try:
        if isinstance(value, dict):
            return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_plain(item, depth + 1) for item in value]
    except Exception:  # changed by another thread meanwhile
        return f"<{type(value).__name__}>"
    return _text(value)


def _whole(value: Any) -> Any:
    """A value without lone surrogates, which few readers of JSON take."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("?", value)
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value
