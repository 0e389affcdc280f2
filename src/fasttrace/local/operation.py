"""What a span did, in the words that its attributes add to its name."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from fasttrace._core.types import SpanData, SpanKind

# What makes the names of like operations differ: numbers and long identifiers.
VARIABLE = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\b[0-9a-fA-F]{16,}\b|\d+")


def is_outgoing_http(span: SpanData) -> bool:
    """Whether a span is the calling side of an HTTP request."""
    return span.kind == SpanKind.CLIENT and isinstance(span.attributes.get("url.full"), str)


def http_path(span: SpanData) -> str:
    """The path that an outgoing HTTP request asked for, if the span's name is its method only; else ""."""
    if not is_outgoing_http(span) or " " in span.name:
        return ""
    try:
        return urlsplit(span.attributes["url.full"]).path or "/"
    except ValueError:
        return ""


def operation(span: SpanData) -> str:
    """The span's name, with the path for outgoing HTTP requests: ``POST /charges``."""
    path = http_path(span)
    return f"{span.name} {path}" if path else span.name
