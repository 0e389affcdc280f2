"""Environment variables as a carrier, for child processes (OpenTelemetry, "Environment Variable Carriers").

``traceparent`` is ``TRACEPARENT``; upper-case names only are read. Inject into a copy of the environment that the
child gets, never into ``os.environ``: it would stay there for every child to come.
"""

from __future__ import annotations

import os

from fasttrace.context import Context, Span
from fasttrace.propagation.baggage import BaggagePropagator
from fasttrace.propagation.carrier import Through
from fasttrace.propagation.tracecontext import TraceContextPropagator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import Any


def variable_name(name: str) -> str:
    """The variable for a header: ASCII letters upper case, an underscore for what may not stand in one."""
    text = "".join(
        character.upper() if character.isascii() and character.isalnum() else "_" for character in name or "_"
    )
    return f"_{text}" if text[0].isdigit() else text


class Environment:
    """Getter and setter of a mapping of variables."""

    def get(self, carrier: Mapping[str, str], name: str) -> list[str] | None:
        """The variable of a header, as a list of one."""
        value = carrier.get(variable_name(name))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        """The names that are variables' names already."""
        return [name for name in carrier if name == variable_name(name)]

    def set(self, carrier: MutableMapping[str, str], name: str, value: str) -> None:
        """Set the variable of a header."""
        carrier[variable_name(name)] = value


_ENVIRONMENT = Environment()


class EnvPropagator:
    """Reads and writes ``TRACEPARENT``, ``TRACESTATE`` and ``BAGGAGE``; reads ``os.environ`` for a carrier of None."""

    fields: tuple[str, ...] = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")

    def __init__(self) -> None:
        self._formats = (TraceContextPropagator(), BaggagePropagator())

    def extract(self, carrier: Any = None, context: Context | Span | None = None) -> Any:
        """The context in the variables; the context given when there is none."""
        through = Through(os.environ if carrier is None else carrier, _ENVIRONMENT, _ENVIRONMENT)
        for propagator in self._formats:
            context = propagator.extract(through, context)
        return context

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write the variables into a mapping; nothing for an invalid context. Raises ValueError for ``os.environ``."""
        if carrier is os.environ:
            raise ValueError("inject into a copy, dict(os.environ), and hand that to the child: the own one stays set")
        for propagator in self._formats:
            propagator.inject(Through(carrier, _ENVIRONMENT, _ENVIRONMENT), context)
