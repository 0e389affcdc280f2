"""Contexts in and out of the headers of requests and messages.

``extract`` and ``inject`` use the formats that ``configure(propagators=...)`` or ``OTEL_PROPAGATORS`` chose, W3C
``tracecontext`` and ``baggage`` unless told otherwise. Extraction goes through them in order, each starting from what
the one before it found: of two that find ids the later one wins, and a decision without ids never beats ids.
Extraction never raises, and without a usable header gives back the context it was handed. All formats are written.
"""

from __future__ import annotations

from fasttrace._core import headers
from fasttrace.context import Context, Span, current_node
from fasttrace.errors import ConfigurationError
from fasttrace.propagation.carrier import MessageSetter, Through
from fasttrace.propagation.tracecontext import TraceContextPropagator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from fasttrace.propagation.base import Propagator

    Carrier = TypeVar("Carrier")

__all__ = ["MessageSetter", "TraceContextPropagator", "extract", "get_propagator", "inject", "set_propagators"]

# Module and class by name; a format's module is loaded when it is chosen.
FORMATS = {
    "tracecontext": ("tracecontext", "TraceContextPropagator"),
    "baggage": ("baggage", "BaggagePropagator"),
    "b3": ("b3", "B3Propagator"),
    "b3multi": ("b3", "B3MultiPropagator"),
    "jaeger": ("jaeger", "JaegerPropagator"),
    "datadog": ("datadog", "DatadogPropagator"),
    "xray": ("xray", "XRayPropagator"),
    "plain": ("plain", "PlainPropagator"),
    "binary": ("binary", "BinaryPropagator"),
    "env": ("env", "EnvPropagator"),
}


def get_propagator(name: str) -> Propagator:
    """The propagator of that name in OTEL_PROPAGATORS, or datadog, plain, binary, env.

    Raises ConfigurationError for an unknown name.
    """
    try:
        module, cls = FORMATS[name]
    except KeyError:
        raise ConfigurationError(f"propagator={name!r}: known are {', '.join(FORMATS)}") from None
    from importlib import import_module

    made: Propagator = getattr(import_module(f"fasttrace.propagation.{module}"), cls)()
    return made


# The default pair in one step of the core, for plain dicts and lists of pairs without baggage.
extract_w3c: Callable[..., Context | None] = headers.extract_w3c
inject_w3c: Callable[..., bool] = headers.inject_w3c
# None is the default pair, made at first use: reading baggage needs modules that importing this package must not.
_active: tuple[Propagator, ...] | None = None


def formats() -> tuple[Propagator, ...]:
    """The propagators in use, in order."""
    global _active
    if _active is None:
        _active = (TraceContextPropagator(), get_propagator("baggage"))
    return _active


def set_propagators(propagators: Iterable[Propagator | str] | None) -> None:
    """Use these for ``extract`` and ``inject``; ``none`` is no format at all, None the default ones."""
    global _active
    _active = (
        None
        if propagators is None
        else tuple(get_propagator(item) if isinstance(item, str) else item for item in propagators if item != "none")
    )


def extract(carrier: Any, context: Context | Span | None = None, getter: Any = None) -> Context:
    """The context that a carrier's headers hold, to be handed to ``start_as_current_span(context=...)``.

    ``carrier`` is a mapping, a multi-dict, pairs of names and values (text or bytes, as ASGI has them) or a WSGI
    environ; ``getter`` reads any other (OpenTelemetry's ``Getter``). Never raises. Without a usable header: the
    context given, or what is current, or an empty one.
    """
    if _active is None and getter is None:
        quick = extract_w3c(carrier, context)
        if quick is not None:
            return quick
    found: Any = current_node() if context is None else context
    if getter is not None:
        carrier = Through(carrier, getter)
    for propagator in formats():
        try:
            found = propagator.extract(carrier, found)
        except Exception:  # a format of the user's own: the request goes on without it
            continue
    return found if type(found) is Context else Context(found)


def inject(carrier: Carrier, context: Context | Span | None = None, setter: Any = None) -> Carrier:
    """Write the headers of a context, or of what is current, into a carrier, and give the carrier back.

    ``carrier`` is a mutable mapping or a list of pairs; a list whose first name is bytes gets bytes. ``setter``
    writes any other (OpenTelemetry's ``Setter``); ``MessageSetter()`` writes Kafka's message headers. An invalid
    context writes nothing. Raises TypeError for a carrier that can't be written to.
    """
    if _active is None and setter is None and inject_w3c(carrier, context):
        return carrier
    target: Any = carrier if setter is None else Through(carrier, None, setter)
    for propagator in formats():
        try:
            propagator.inject(target, context)
        except Exception:
            # Ours raise what is wrong with the carrier; of one of the user's own, the request goes on without it.
            if type(propagator).__module__.startswith("fasttrace."):
                raise
    return carrier
