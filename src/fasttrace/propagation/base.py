"""What the propagators of all formats share: making the extracted context, reading the one to inject."""

from __future__ import annotations

from fasttrace.context import Context, Span, SpanContext, current_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import EllipsisType
    from typing import Any, Protocol

    class Propagator(Protocol):
        """One header format."""

        @property
        def fields(self) -> tuple[str, ...]:
            """The names of the headers."""
            ...

        def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
            """The context in the carrier's headers, else the one given."""
            ...

        def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
            """Write the context's headers into the carrier; nothing for an invalid context."""
            ...


def remote(
    trace_id: int,
    span_id: int,
    context: Context | Span | None,
    *,
    flags: int = 0,
    sampled: bool | EllipsisType | None = ...,
    values: Mapping[str, Any] | None = None,
) -> Context:
    """The extracted context, with the baggage and the values of the one given beside its own."""
    given = as_context(context)
    own = Context(
        SpanContext(trace_id, span_id, True, flags), given.baggage or None, {**given.values, **(values or {})}
    )
    return own if sampled is ... else Context(own, sampled=sampled)


def decided(context: Context | Span | None, sampled: bool, values: Mapping[str, Any] | None = None) -> Any:
    """A decision that came without ids; it gives way to the ids of another header."""
    given = as_context(context)
    if given.span_context is not None:
        return context
    return Context(None, given.baggage or None, {**given.values, **(values or {})}, sampled)


def as_context(node: Any) -> Context:
    """A node as a Context; an empty one for None."""
    return node if type(node) is Context else Context(node)


def to_inject(context: Any) -> Context | None:
    """The context given, or what is current, if there is anything in it."""
    node = current_node() if context is None else context
    return None if node is None else as_context(node)
