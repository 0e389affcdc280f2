"""Contexts in and out of the headers of requests and messages.

``extract`` and ``inject`` use the formats that ``configure`` chose (W3C ``tracecontext`` unless told
otherwise). Extraction never raises, and without a usable header gives back the context it was handed.
"""

from __future__ import annotations

from fasttrace.context import Context, Span, current_node
from fasttrace.errors import ConfigurationError
from fasttrace.propagation import binary
from fasttrace.propagation.tracecontext import TraceContextPropagator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol, TypeVar

    Carrier = TypeVar("Carrier")

    class Propagator(Protocol):
        """One header format."""

        @property
        def fields(self) -> tuple[str, ...]:
            """The names of the headers."""
            ...

        def extract(self, carrier: Any, context: Context | Span | None = None) -> Context:
            """The context in the carrier's headers, else the one given."""
            ...

        def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
            """Write the context's headers into the carrier; nothing for an invalid context."""
            ...


__all__ = ["TraceContextPropagator", "binary", "extract", "get_propagator", "inject", "set_propagators"]

_KNOWN = {"tracecontext": TraceContextPropagator}
# Names of OTEL_PROPAGATORS that carry no span context, or that are accepted so that a shared environment works.
_WITHOUT_SPAN_CONTEXT = ("baggage", "none")


def get_propagator(name: str) -> Propagator:
    """The propagator of that name in OTEL_PROPAGATORS; ConfigurationError for an unknown one."""
    try:
        return _KNOWN[name]()
    except KeyError:
        raise ConfigurationError(f"propagator={name!r}: known are {', '.join(sorted(_KNOWN))}") from None


_active: tuple[Propagator, ...] = (TraceContextPropagator(),)


def set_propagators(propagators: Iterable[Propagator | str]) -> None:
    """Use these for ``extract`` (the last that finds something wins) and ``inject`` (all write)."""
    global _active
    _active = tuple(
        get_propagator(item) if isinstance(item, str) else item
        for item in propagators
        if not (isinstance(item, str) and item in _WITHOUT_SPAN_CONTEXT)
    )


def extract(carrier: Any, context: Context | Span | None = None) -> Context:
    """The context that a carrier's headers hold, to be handed to ``start_as_current_span(context=...)``.

    ``carrier`` is a mapping, a multi-dict, or pairs of names and values, text or bytes (ASGI). Never
    raises. Without a usable header: the context given, or what is current, or an empty one.
    """
    found = context
    for propagator in _active:
        found = propagator.extract(carrier, found)
    if type(found) is Context:
        return found
    node = current_node() if found is None else found
    return node if type(node) is Context else Context(node)


def inject(carrier: Carrier, context: Context | Span | None = None) -> Carrier:
    """Write the headers of a context, or of what is current, into a carrier, and give the carrier back.

    ``carrier`` is a mutable mapping or a list of pairs; a list whose first name is bytes gets bytes.
    An invalid context writes nothing. Raises TypeError for a carrier that can't be written to.
    """
    for propagator in _active:
        propagator.inject(carrier, context)
    return carrier
