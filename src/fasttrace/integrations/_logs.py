"""What the integrations of logging libraries have in common: the current ids, and log lines as events of a span."""

from __future__ import annotations

import _thread

from fasttrace import _log
from fasttrace._core import Span, current_node
from fasttrace.errors import ConfigurationError
from fasttrace.process import follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fasttrace.provider import TracerProvider

LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "SUCCESS": 25, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
WARNING = LEVELS["WARNING"]
_NO_TRACE = "0" * 32
# A message may run code of the application's that logs: what it says meanwhile, in this thread, makes no event.
_busy = _thread._local()


def current_ids() -> tuple[str, str, bool] | None:
    """Trace id and span id, in hexadecimal, of what is current, and whether it is sampled; None without any."""
    node = current_node()
    if node is None:
        return None
    context = node if isinstance(node, Span) else node.span_context
    if context is None:
        return None
    trace_id = context.trace_id_hex
    return None if trace_id == _NO_TRACE else (trace_id, context.span_id_hex, context.sampled)


def is_ours(logger: str | None) -> bool:
    """Whether a logger is this library's own, whose lines make no events."""
    return logger is not None and (logger == _log.LOGGER or logger.startswith(_log.LOGGER + "."))


def level_number(level: int | str) -> int:
    """A level from its number or its name. Raises ConfigurationError, naming the known ones."""
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    number = LEVELS.get(level.upper()) if isinstance(level, str) else None
    if number is None:
        raise ConfigurationError(f"level={level!r}: use a number or one of {', '.join(LEVELS)}")
    return number


def add_event(
    level: str, logger: str | None, message: Callable[[], str], error: Any, attributes: Mapping[str, Any]
) -> None:
    """Make a log line an event of the current span; one event, whether it tells of an exception or not.

    It is called ``log``, or ``exception`` with the attributes that OpenTelemetry has for those, when ``error`` is one.
    Never raises.
    """
    node = current_node()
    span = None if node is None else node if isinstance(node, Span) else node.span
    if span is None or not span.is_recording() or is_ours(logger) or getattr(_busy, "now", False):
        return
    _busy.now = True
    try:
        members: dict[str, Any] = {"log.severity": level, "log.message": message()}
        if logger is not None:
            members["log.logger"] = logger
        members.update(attributes)
        if isinstance(error, BaseException):
            span.record_exception(error, members)
        else:
            span.add_event("log", members)
    except Exception:
        pass  # a message that can't be put together: the logging library says so
    finally:
        _busy.now = False


# --- the service's name, which log records carry, too

_provider: TracerProvider | None = None
_name: str | None = None


def service_name() -> str:
    """``service.name`` of the process's provider; "" before there is one."""
    global _name
    if _name is None:
        _name = ""  # a detector of the user's may log
        try:
            _name = "" if _provider is None else str(_provider.resource.get("service.name", ""))
        except Exception:
            pass  # a detector of the user's, again
    return _name


def _follow(provider: TracerProvider) -> None:
    global _provider, _name
    _provider, _name = provider, None


_provider = follow(_follow)
