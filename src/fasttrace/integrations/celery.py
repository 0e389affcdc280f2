"""celery: a PRODUCER span for every task that is sent, a CONSUMER span for every one that runs, in one trace.

``instrument()`` traces every application of the process, ``instrument(app)`` one. The context travels in the message's
headers. Spans are named by the task (``send shop.charge``, ``process shop.charge``); a retry is an event of the run
that asked for it. Children of the prefork pool send their spans before they end.
"""

from __future__ import annotations

import sys
from weakref import WeakSet

from celery import Celery, signals

from fasttrace._core import SpanKind, StatusCode
from fasttrace._core.exceptions import exception_description
from fasttrace._version import __version__
from fasttrace.context import Span, current_node
from fasttrace.integrations._http import error_type, note_exception
from fasttrace.integrations._messaging import message_attributes, message_context, process_span, send_span
from fasttrace.integrations._patch import replace, replaced, restore
from fasttrace.process import get_tracer
from fasttrace.propagation import inject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["instrument", "uninstrument"]

_TRACER = get_tracer("fasttrace.integrations.celery", __version__)
_SPAN = "_fasttrace_span"
# The applications that are traced by themselves.
_apps: WeakSet[Celery] = WeakSet()


def instrument(app: Celery | None = None) -> Celery | None:
    """Trace every application of the process, or one, which it gives back; senders and workers alike.

    Calling it again changes nothing.
    """
    if app is None:
        replace(Celery, "send_task", _send_task)
    else:
        _apps.add(app)
        replace(app, "send_task", _send_task)
    for signal, handler in _HANDLERS:
        signal.connect(handler, weak=False, dispatch_uid=f"fasttrace.{handler.__name__}")
    return app


def uninstrument(app: Celery | None = None) -> Celery | None:
    """Undo ``instrument`` for one application, or the process-wide one. Calling it again changes nothing."""
    if app is None:
        restore(Celery, "send_task")
    else:
        _apps.discard(app)
        restore(app, "send_task")
    if not _apps and not replaced(Celery, "send_task"):
        for signal, handler in _HANDLERS:
            signal.disconnect(handler, dispatch_uid=f"fasttrace.{handler.__name__}")
    return app


def _traced(app: Any) -> bool:
    return replaced(Celery, "send_task") or app in _apps


# --- who sends


def _send_task(original: Any, patch: Any) -> Any:
    def send_task(self: Celery, name: str, *args: Any, **options: Any) -> Any:
        if patch.options is None or _is_sending(current_node()):
            return original(self, name, *args, **options)
        with send_span(_TRACER, str(name), _sent) as span:
            if span.is_recording():
                span.set_attributes(_sent())
            try:
                return original(self, name, *args, **options)
            except BaseException as error:
                note_exception(span, error)
                raise

    return send_task


def _is_sending(node: Any) -> bool:
    return isinstance(node, Span) and node.scope is _TRACER.scope and node.kind is SpanKind.PRODUCER


def _sent() -> dict[str, Any]:
    return message_attributes("celery", "send")


def _before_publish(sender: str, headers: Any, exchange: Any, routing_key: Any, **_: Any) -> None:
    inject(headers)
    span = current_node()
    if isinstance(span, Span) and _is_sending(span) and span.is_recording():
        span.set_attribute("messaging.destination.name", str(routing_key or exchange or ""))
        span.set_attribute("messaging.message.id", headers.get("id", ""))


# --- who works


def _before_run(task_id: str, task: Any, **_: Any) -> None:
    if not _traced(task.app):
        return
    request = task.request

    def attributes() -> dict[str, Any]:
        delivery = request.delivery_info or {}
        return message_attributes("celery", "process", delivery.get("routing_key") or delivery.get("exchange"), task_id)

    # What runs at once, in the process that wants it, is below the span that wants it.
    context = None if request.is_eager else message_context(vars(request))
    span = process_span(_TRACER, task.name, context, attributes)
    span.__enter__()
    vars(request)[_SPAN] = span
    if span.is_recording():
        span.set_attributes(attributes())
        if request.retries:
            span.set_attribute("celery.retries", request.retries)


def _after_run(task: Any, state: str | None = None, **_: Any) -> None:
    span: Span | None = vars(task.request).pop(_SPAN, None)
    if span is None:
        return
    # Without a state an exception is on its way through.
    error = sys.exc_info()[1] if state is None else None
    if state is not None:
        span.set_attribute("celery.state", state)
    elif error is not None:
        note_exception(span, error)
    span.__exit__(None if error is None else type(error), error, None if error is None else error.__traceback__)


def _on_failure(sender: Any, exception: BaseException, **_: Any) -> None:
    span: Span | None = vars(sender.request).get(_SPAN)
    if span is not None:
        note_exception(span, exception)
        span.record_exception(exception)
        span.set_status(StatusCode.ERROR, exception_description(exception))


def _on_retry(sender: Any, reason: Any, **_: Any) -> None:
    span: Span | None = vars(sender.request).get(_SPAN)
    if span is not None:
        cause = getattr(reason, "exc", None)
        span.add_event("retry", None if cause is None else {"error.type": error_type(cause)})


_HANDLERS = (
    (signals.before_task_publish, _before_publish),
    (signals.task_prerun, _before_run),
    (signals.task_postrun, _after_run),
    (signals.task_failure, _on_failure),
    (signals.task_retry, _on_retry),
)
