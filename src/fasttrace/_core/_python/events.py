"""Events and links: fields of an encoded span from the moment at which they are added."""

from __future__ import annotations

from fasttrace._core._python.given import text_of
from fasttrace._core._python.otlp import attributes_of, length_field, text_field, varint
from fasttrace._core.layout import SPAN_FLAG_HAS_IS_REMOTE, SPAN_FLAG_IS_REMOTE

__all__: list[str] = []

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fasttrace._core._python.context import Node
    from fasttrace._core.types import SpanLimits


def event(name: str, attributes: Mapping[str, Any] | None, time_ns: int, limits: SpanLimits) -> bytes:
    """An event as a field of a span; ``time_ns`` is nanoseconds since the Unix epoch."""
    members, dropped = b"", 0
    if attributes is not None:
        members, dropped = _members(b"\x1a", attributes, limits.max_event_attributes, limits)
    body = b"\x09" + time_ns.to_bytes(8, "little") + text_field(b"\x12", text_of(name)) + members
    if dropped:
        body += b"\x20" + varint(dropped)
    return length_field(b"\x5a", body)


def link(node: Node, attributes: Mapping[str, Any] | None, limits: SpanLimits) -> bytes:
    """A link to the span of a node as a field of a span."""
    members, dropped = b"", 0
    if attributes is not None:
        members, dropped = _members(b"\x22", attributes, limits.max_link_attributes, limits)
    flags = node._flags | SPAN_FLAG_HAS_IS_REMOTE | (SPAN_FLAG_IS_REMOTE if node._remote else 0)
    body = (
        b"\x0a\x10"
        + node._trace_id.to_bytes(16, "big")
        + b"\x12\x08"
        + node._span_id.to_bytes(8, "big")
        + text_field(b"\x1a", node._header or "")
        + members
        + (b"\x28" + varint(dropped) if dropped else b"")
        + b"\x35"
        + flags.to_bytes(4, "little")
    )
    return length_field(b"\x6a", body)


def _members(tag: bytes, attributes: Mapping[str, Any], max_count: int | None, limits: SpanLimits) -> tuple[bytes, int]:
    """The attributes of an event or link; one counts as dropped for a mapping that can't be read."""
    try:
        return attributes_of(tag, attributes, max_count, limits.max_attribute_length)
    except Exception:
        return b"", 1
