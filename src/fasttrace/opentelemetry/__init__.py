"""fasttrace behind the OpenTelemetry API: real subclasses of its provider, tracer and span, without its SDK.

One line for a program that uses OpenTelemetry's API, or instrumentations that do::

    fasttrace.opentelemetry.install(service_name="checkout")

Needs ``opentelemetry-api`` (``pip install fasttrace[opentelemetry]``). Importing this package imports none of it yet:
OpenTelemetry may be in the middle of its own import when it asks for ``FasttraceRuntimeContext``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.opentelemetry.context import FasttraceRuntimeContext
    from fasttrace.opentelemetry.propagator import FasttracePropagator
    from fasttrace.opentelemetry.provider import TracerProvider, install
    from fasttrace.opentelemetry.span import Span
    from fasttrace.opentelemetry.tracer import Tracer

_HOMES = {
    "FasttracePropagator": "propagator",
    "FasttraceRuntimeContext": "context",
    "Span": "span",
    "Tracer": "tracer",
    "TracerProvider": "provider",
    "install": "provider",
}

__all__ = ["FasttracePropagator", "FasttraceRuntimeContext", "Span", "Tracer", "TracerProvider", "install"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
