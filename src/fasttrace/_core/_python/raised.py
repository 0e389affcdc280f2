"""Exceptions as events of spans, and those that leave one; what is written of them is ``_core/exceptions.py``'s."""

from __future__ import annotations

from fasttrace._core.exceptions import exception_attributes, exception_description
from fasttrace._core.types import StatusCode

__all__: list[str] = []

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fasttrace._core._python.span import Span


def told(exception: BaseException, attributes: Mapping[str, Any] | None, escaped: bool) -> dict[str, Any]:
    """The attributes of an ``exception`` event; the caller's own come last, and count."""
    members = exception_attributes(exception, escaped)
    if attributes:
        try:
            members.update(attributes)
        except Exception:
            pass
    return members


def note(span: Span, exception: BaseException, escaped: bool) -> None:
    """An exception leaves the span. Cancellation, exits and closed generators are not errors."""
    if not isinstance(exception, Exception):
        return
    try:
        if span._record_exception:
            span.record_exception(exception, None, None, escaped)
        if span._set_status:
            span.set_status(StatusCode.ERROR, exception_description(exception))
    except Exception:
        span._events_dropped += 1
