"""What a span did, in the words that its attributes add to its name."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from fasttrace._core.types import SpanData, SpanKind

# What makes the names of like operations differ: numbers and long identifiers.
VARIABLE = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\b[0-9a-fA-F]{16,}\b|\d+")


def is_outgoing(span: SpanData) -> bool:
    """Whether a span is the calling side of an HTTP request or an RPC, whose other side has a name like it."""
    if span.kind != SpanKind.CLIENT:
        return False
    attributes = span.attributes
    return "rpc.method" in attributes or isinstance(attributes.get("url.full"), str)


def http_path(span: SpanData) -> str:
    """The path that an outgoing HTTP request asked for, if the span's name is its method only; else ""."""
    if not is_outgoing(span) or " " in span.name or "url.full" not in span.attributes:
        return ""
    try:
        return urlsplit(span.attributes["url.full"]).path or "/"
    except ValueError:
        return ""


def operation(span: SpanData) -> str:
    """The span's name, with the path for outgoing HTTP requests: ``POST /charges``."""
    path = http_path(span)
    return f"{span.name} {path}" if path else span.name
