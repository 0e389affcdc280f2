"""structlog: trace and span ids in every event dict, and warnings as events of the current span.

``TraceContextProcessor()`` among the processors of ``structlog.configure``, before the renderer, adds ``trace_id`` and
``span_id`` within a span, nothing outside; what is bound under these names stays. ``instrument()`` does it for
every logger, whatever processors are configured. With ``events=True`` calls of ``level`` and above become events of
the current span, before the processors see them, or, as a processor, where it stands.
"""

from __future__ import annotations

import logging
import sys

from structlog import BoundLoggerBase

from fasttrace.integrations import _logs
from fasttrace.integrations._patch import Patch, replace, replaced, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

__all__ = ["TraceContextProcessor", "instrument", "uninstrument"]

_METHODS = {"warn": "WARNING", "exception": "ERROR", "fatal": "CRITICAL", "err": "ERROR", "msg": "INFO"}


class TraceContextProcessor:
    """A processor that adds the ids of what is current; with ``events``, calls of ``level`` and above become events."""

    def __init__(self, *, events: bool = False, level: int | str = _logs.WARNING) -> None:
        self._level = _logs.level_number(level) if events else None

    def __call__(self, logger: Any, method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Add ``trace_id`` and ``span_id`` to an event dict."""
        ids = _logs.current_ids()
        if ids is not None:
            if self._level is not None:
                _add_event(logger, method, event_dict, self._level)
            event_dict.setdefault("trace_id", ids[0])
            event_dict.setdefault("span_id", ids[1])
        return event_dict


def instrument(target: None = None, *, events: bool = False, level: int | str = _logs.WARNING) -> None:
    """Put the ids into the event dicts of all loggers. Calling it again changes nothing.

    With ``events`` calls of ``level`` and above become events of the current span. Raises ConfigurationError for a
    level that is none.
    """
    replace(BoundLoggerBase, "_process_event", _processing, TraceContextProcessor(events=events, level=level))


def uninstrument(target: None = None) -> None:
    """Undo ``instrument``. Calling it again changes nothing."""
    restore(BoundLoggerBase, "_process_event")


def _processing(original: Any, patch: Patch) -> Any:
    def _process_event(self: Any, method_name: str, event: str | None, event_kw: dict[str, Any]) -> Any:
        processor = patch.options
        ids = None if processor is None else _logs.current_ids()
        if ids is not None:
            if processor._level is not None:
                _add_event(self._logger, method_name, {**self._context, **event_kw, "event": event}, processor._level)
            bound = self._context
            for name, value in (("trace_id", ids[0]), ("span_id", ids[1])):
                if name not in bound:
                    event_kw.setdefault(name, value)
        return original(self, method_name, event, event_kw)

    return _process_event


def _add_event(logger: Any, method: str, event_dict: MutableMapping[str, Any], level: int) -> None:
    name = _METHODS.get(method, method.upper())
    # What goes on to logging, whose records become events as well, is one there.
    if _logs.LEVELS.get(name, 0) < level or (
        isinstance(logger, logging.Logger) and replaced(logging.Logger, "callHandlers")
    ):
        return
    own_name = getattr(logger, "name", None)
    _logs.add_event(
        name,
        own_name if isinstance(own_name, str) else None,
        lambda: str(event_dict.get("event", "")),
        _exception(event_dict.get("exc_info", method == "exception")),
        {},
    )


def _exception(exc_info: Any) -> Any:
    """The exception that ``exc_info`` stands for: one, a tuple with one, or the one that is being handled."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) == 3 else None
    return sys.exc_info()[1] if exc_info else None
