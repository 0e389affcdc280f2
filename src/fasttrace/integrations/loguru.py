"""loguru: trace and span ids in the ``extra`` of every record, and warnings as events of the current span.

``logger.configure(patcher=add_trace_context)`` puts ``trace_id`` and ``span_id`` there, "" outside of a span, so that a
format may name them: ``{extra[trace_id]}``. What is bound under these names stays. ``instrument()`` does it beside
whatever patcher the application configures, before or after. With ``events=True`` records of ``level`` and above
become events of the current span.
"""

from __future__ import annotations

from loguru import logger

from fasttrace.integrations import _logs
from fasttrace.integrations._patch import Patch, replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Patcher = Callable[[Any], None]

__all__ = ["add_trace_context", "instrument", "uninstrument"]


def add_trace_context(record: Any) -> None:
    """A patcher that adds the ids of what is current."""
    ids = _logs.current_ids()
    extra = record["extra"]
    extra.setdefault("trace_id", "" if ids is None else ids[0])
    extra.setdefault("span_id", "" if ids is None else ids[1])


class _TracePatcher:
    """Ours, and after it the application's."""

    def __init__(self, level: int | None) -> None:
        self.level = level
        self.active = True
        self.others: Patcher | None = None

    def __call__(self, record: Any) -> None:
        if self.active:
            add_trace_context(record)
            if self.level is not None and record["level"].no >= self.level:
                _add_event(record)
        if self.others is not None:
            self.others(record)


def instrument(target: None = None, *, events: bool = False, level: int | str = _logs.WARNING) -> None:
    """Put the ids into the records of loguru's logger. Calling it again changes nothing.

    With ``events`` records of ``level`` and above become events of the current span. Raises ConfigurationError for a
    level that is none.
    """
    patcher = _TracePatcher(_logs.level_number(level) if events else None)
    replace(type(logger), "configure", _configuring, patcher)
    core: Any = logger._core  # type: ignore[attr-defined]
    if not (isinstance(core.patcher, _TracePatcher) and core.patcher.active):
        patcher.others = core.patcher
        logger.configure(patcher=patcher)


def uninstrument(target: None = None) -> None:
    """Undo ``instrument``. Calling it again changes nothing."""
    restore(type(logger), "configure")
    core: Any = logger._core  # type: ignore[attr-defined]
    if isinstance(core.patcher, _TracePatcher):
        core.patcher.active = False
        core.patcher = core.patcher.others


def _configuring(original: Any, patch: Patch) -> Any:
    def configure(self: Any, *, patcher: Any = None, **options: Any) -> Any:
        ours = patch.options
        if patcher is not None and ours is not None and patcher is not ours:
            ours.others, patcher = patcher, ours
        return original(self, patcher=patcher, **options)

    return configure


def _add_event(record: Any) -> None:
    exception = record["exception"]
    file = record["file"]
    _logs.add_event(
        record["level"].name,
        record["name"],
        lambda: record["message"],
        None if exception is None else exception.value,
        {"code.file.path": file.path, "code.line.number": record["line"], "code.function.name": record["function"]},
    )
