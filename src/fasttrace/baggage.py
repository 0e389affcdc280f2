"""Baggage: names and values that travel with a request through all services (W3C Baggage, OpenTelemetry Baggage API).

Contexts are immutable: ``set``, ``remove`` and ``clear`` give a new one, ``fasttrace.use`` makes it current::

    with use(baggage.set("tenant", "blue")):
        ...                                    # spans started and requests sent in here carry it
"""

from __future__ import annotations

from fasttrace.context import Context, Span, current_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Where a context keeps the properties of baggage members, as they came.
PROPERTIES_KEY = "fasttrace.baggage.properties"


def _context(context: Context | Span | None) -> Context:
    node: Any = current_node() if context is None else context
    return node if type(node) is Context else Context(node)


def get(name: str, context: Context | Span | None = None) -> str | None:
    """The value of a name in a context, or in the current one; None when it is not there."""
    return _context(context).baggage.get(name)


def get_all(context: Context | Span | None = None) -> dict[str, str]:
    """All names and values of a context, or of the current one."""
    return dict(_context(context).baggage)


def set(name: str, value: str, context: Context | Span | None = None, properties: str = "") -> Context:  # noqa: A001
    """A context with this value, replacing an older one and its properties.

    Any text will do as a value. Names that are no tokens of HTTP (RFC 9110, section 5.6.2) stay in this process.
    ``properties`` is text as it goes on the wire: ``ttl=60;private``.
    """
    given = _context(context)
    kept = {**given.values.get(PROPERTIES_KEY, {})}
    kept.pop(name, None)
    if properties:
        kept[name] = properties
    return Context(given, {**given.baggage, name: value}, {PROPERTIES_KEY: kept or None})


def remove(name: str, context: Context | Span | None = None) -> Context:
    """A context without this name."""
    given = _context(context)
    kept = {key: text for key, text in given.values.get(PROPERTIES_KEY, {}).items() if key != name}
    members = {key: value for key, value in given.baggage.items() if key != name}
    return Context(given, members, {PROPERTIES_KEY: kept or None})


def clear(context: Context | Span | None = None) -> Context:
    """A context without baggage, to send to those whom it does not concern."""
    return Context(_context(context), {}, {PROPERTIES_KEY: None})
