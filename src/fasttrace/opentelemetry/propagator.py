"""fasttrace's header formats as a propagator of OpenTelemetry's: ``OTEL_PROPAGATORS=fasttrace``."""

from __future__ import annotations

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context.context import Context as ApiContext
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fasttrace import propagation
from fasttrace._core import Context, current_node
from fasttrace.opentelemetry.convert import node_of, view_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from opentelemetry.propagators.textmap import CarrierT, Getter, Setter


class FasttracePropagator(TextMapPropagator):
    """The formats that ``configure(propagators=...)`` chose, W3C trace context and baggage unless told otherwise.

    A plain dict is read and written in one step of the core.
    """

    def extract(
        self, carrier: CarrierT, context: ApiContext | None = None, getter: Getter[CarrierT] = default_getter
    ) -> ApiContext:
        """The context given, or an empty one, with what the carrier's headers hold."""
        base: Any = Context() if context is None else node_of(context)
        found = propagation.extract(carrier, base, None if getter is default_getter else getter)
        return view_of(found)

    def inject(
        self, carrier: CarrierT, context: ApiContext | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Write the headers of the context given, or of what is current, into the carrier."""
        node: Any = current_node() if context is None else node_of(context)
        if node is not None:
            propagation.inject(carrier, node, None if setter is default_setter else setter)

    @property
    def fields(self) -> set[str]:
        """The names of the headers."""
        return {name for propagator in propagation.formats() for name in propagator.fields}


def is_default(propagator: TextMapPropagator) -> bool:
    """Whether this is the pair that OpenTelemetry uses unless told otherwise."""
    parts = getattr(propagator, "_propagators", ()) if type(propagator) is CompositePropagator else ()
    return [type(part) for part in parts] == [TraceContextTextMapPropagator, W3CBaggagePropagator]
