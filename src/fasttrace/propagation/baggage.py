"""W3C Baggage: names and values that travel with a request, beside the trace (HTTP header format, ``baggage``)."""

from __future__ import annotations

from fasttrace.baggage import PROPERTIES_KEY
from fasttrace.context import Context, Span
from fasttrace.propagation.base import as_context, to_inject
from fasttrace.propagation.carrier import put, values
from fasttrace.propagation.strict import quote, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_MEMBERS = 64
MAX_BYTES = 8192
# What may stand in a value as it is, besides letters, digits and -._~ (baggage-octet without the percent sign). A plus
# may, too, but there are readers that take it for a blank.
_SAFE = "!#$&'()*/:<=>?@[]^`{|}"
_match: tuple[Callable[[str], Any], Callable[[str], Any]] | None = None


def _patterns() -> tuple[Callable[[str], Any], Callable[[str], Any]]:
    """Matchers of a key (RFC 9110 token) and of an encoded value."""
    global _match
    if _match is None:
        import re

        token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
        octets = re.compile(r"[!#-+\--:<-\[\]-~]*")
        _match = token.fullmatch, octets.fullmatch
    return _match


class BaggagePropagator:
    """Reads and writes ``baggage``.

    At most 64 members and 8,192 bytes are carried on, in order; what is beyond, and what is outside the grammar, is
    left out member by member. Of a key that comes twice the last value counts. Properties are kept as they came.
    """

    fields: tuple[str, ...] = ("baggage",)

    def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
        """The context given, with the header's members added to its baggage."""
        fields = values(carrier, "baggage")
        if not fields:
            return context
        members, properties = parse(fields)
        if not members:
            return context
        given = as_context(context)
        kept = {**given.values.get(PROPERTIES_KEY, {}), **properties}
        return Context(given, {**given.baggage, **members}, {PROPERTIES_KEY: kept or None})

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write the header; nothing without baggage."""
        node = to_inject(context)
        if node is None:
            return
        text = serialise(node.baggage, node.values.get(PROPERTIES_KEY, {}))
        if text:
            put(carrier, "baggage", text)


def parse(fields: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The members of the header's fields, decoded, and the properties of those that have any, as they came."""
    token, octets = _patterns()
    members: dict[str, str] = {}
    properties: dict[str, str] = {}
    size = 0
    for field in fields:
        for member in field.split(","):
            text, semicolon, rest = member.partition(";")
            key, equals, value = text.partition("=")
            key, value = key.strip(" \t"), value.strip(" \t")
            if not equals or not token(key) or not octets(value):
                continue
            size += len(member) + 1
            if size > MAX_BYTES + 1 or (len(members) >= MAX_MEMBERS and key not in members):
                return members, properties
            members[key] = unquote(value)
            properties.pop(key, None)
            kept = _properties(rest) if semicolon else ""
            if kept:
                properties[key] = kept
    return members, properties


def _properties(text: str) -> str:
    token, octets = _patterns()
    kept = []
    for item in text.split(";"):
        key, equals, value = item.partition("=")
        key, value = key.strip(" \t"), value.strip(" \t")
        if token(key) and octets(value):
            kept.append(f"{key}={value}" if equals else key)
    return ";".join(kept)


def serialise(members: dict[str, str], properties: dict[str, str]) -> str:
    """One header field, within the limits; keys that are no tokens are left out."""
    token, _ = _patterns()
    written: list[str] = []
    size = 0
    for key, value in members.items():
        if not isinstance(key, str) or not token(key):
            continue
        text = f"{key}={quote(value if isinstance(value, str) else str(value), _SAFE)}"
        if properties.get(key):
            text += ";" + properties[key]
        size += len(text) + 1
        if len(written) >= MAX_MEMBERS or size > MAX_BYTES + 1:
            break
        written.append(text)
    return ",".join(written)
