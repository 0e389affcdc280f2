"""OpenTelemetry's runtime context over the core's ContextVar, so that both see one current span.

Nothing of OpenTelemetry but ``context.context`` is imported before it is needed: with
``OTEL_PYTHON_CONTEXT=fasttrace`` this module is loaded in the middle of OpenTelemetry's own import.
"""

from __future__ import annotations

from contextvars import Token

from opentelemetry.context.context import Context as ApiContext
from opentelemetry.context.context import _RuntimeContext

from fasttrace._core import Context, Span, attach, current_node, detach, set_foreign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace._core._python.context import Node

_EMPTY = ApiContext()


class Attached(tuple):  # type: ignore[type-arg]
    """The token of ``attach``: the node that it made current, and the core's token."""

    __slots__ = ()


class FasttraceRuntimeContext(_RuntimeContext):
    """Keeps OpenTelemetry's current context where fasttrace keeps its own: what one makes current, the other sees."""

    # The runtime context that was there before, and what stands for what was current in it.
    _before: Any = None
    _carried_over: Attached | None = None

    def attach(self, context: ApiContext) -> Token[ApiContext]:
        """Make a context current; returns the token for ``detach``."""
        node = _node_of(context)
        if not isinstance(node, Span):
            if getattr(context, "node", None) is node:
                node = Context(node)  # what a View is of must not refer to it in turn
            node._view = context
        token: Any = Attached((node, attach(node)))
        return token  # type: ignore[no-any-return]

    def get_current(self) -> ApiContext:
        """The current context: what was attached, or what the span or context that fasttrace made current shows."""
        node = current_node()
        if node is None:
            return _EMPTY
        view: ApiContext | None = node._view
        return _view_of(node) if view is None else view

    def detach(self, token: Token[ApiContext]) -> None:
        """Undo ``attach``. A token of another execution context puts back what was, too; a used one does nothing.

        Raises TypeError for what is no token.
        """
        given: Any = token
        if type(given) is not Attached:
            self._detach_before(given)
            return
        node, attached = given
        if current_node() is node:
            detach(node, attached)
        else:
            try:
                attached.var.reset(attached)
            except (RuntimeError, ValueError):
                pass  # used, or of another execution context, in which something else is current

    def take_over(self, before: _RuntimeContext) -> None:
        """Carry on with what is current in another runtime context, which this one replaces."""
        self._before = before
        current = before.get_current()
        self._carried_over = None
        if current:
            # What is native and current stays so, but for what the other has put in its place.
            given: Any = self.attach(ApiContext({**self.get_current(), **current}))
            self._carried_over = given

    def _detach_before(self, token: Any) -> None:
        """A token that the runtime context before this one has given out."""
        if self._before is None or not isinstance(token, Token):
            raise TypeError(f"{type(token).__name__} is no token of opentelemetry.context.attach")
        try:
            self._before.detach(token)
        except (RuntimeError, ValueError):
            return
        carried_over = self._carried_over
        if carried_over is not None and current_node() is carried_over[0]:
            detach(*carried_over)
            self.take_over(self._before)


def _node_of(context: ApiContext) -> Node:
    _load()
    return _node_of(context)


def _view_of(node: Node) -> ApiContext:
    _load()
    return _view_of(node)


def _load() -> None:
    """Put the functions of ``convert`` in the place of those that load them."""
    global _node_of, _view_of
    from fasttrace.opentelemetry import convert

    _node_of, _view_of = convert.node_of, convert.view_of
    set_foreign(convert.to_node)


def put_in_place() -> bool:
    """Make OpenTelemetry use our runtime context; False if the user has chosen another one, which stays."""
    from opentelemetry import context as api
    from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

    _load()
    present = api._RUNTIME_CONTEXT
    if isinstance(present, FasttraceRuntimeContext):
        return True
    if type(present) is not ContextVarsRuntimeContext:
        return False
    ours = FasttraceRuntimeContext()
    ours.take_over(present)
    api._RUNTIME_CONTEXT = ours
    return True
