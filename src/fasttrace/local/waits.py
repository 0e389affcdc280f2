"""Which spans are waits for something that others hold."""

from __future__ import annotations

import re

from fasttrace._core.types import SpanData

# OpenTelemetry semantic conventions, "Database client metrics", and what libraries called it before.
POOL_NAME_KEYS = ("db.client.connection.pool.name", "db.client.connections.pool.name", "pool.name")
POOL_SIZE_KEYS = ("db.client.connection.max", "db.client.connections.max", "pool.size")
POOL_WAITERS_KEYS = ("db.client.connection.pending_requests", "db.client.connections.pending_requests", "pool.waiters")
_QUERY_KEYS = ("db.query.text", "db.operation.name", "db.statement", "db.operation")

_WAITS = re.compile(r"\b(wait|waiting|acquire|acquiring)\b", re.IGNORECASE)
_POOL = re.compile(r"\b(pool|connections?)\b", re.IGNORECASE)


def is_pool_wait(span: SpanData) -> bool:
    """Whether a span is the wait for a connection of a pool: it names its pool and no query, or says so."""
    attributes = span.attributes
    if any(key in attributes for key in _QUERY_KEYS):
        return False
    if any(key in attributes for key in POOL_NAME_KEYS):
        return True
    return bool(_WAITS.search(span.name) and _POOL.search(span.name))


def pool_name(span: SpanData) -> str:
    """The pool that a wait is for, "" when the span does not say."""
    return str(_first(span, POOL_NAME_KEYS) or "")


def pool_size(span: SpanData) -> int | None:
    """How many connections the pool has at most."""
    return _count(span, POOL_SIZE_KEYS)


def pool_waiters(span: SpanData) -> int | None:
    """How many requests waited for the pool, this one included, when this wait began."""
    return _count(span, POOL_WAITERS_KEYS)


def _first(span: SpanData, keys: tuple[str, ...]) -> object:
    return next((span.attributes[key] for key in keys if key in span.attributes), None)


def _count(span: SpanData, keys: tuple[str, ...]) -> int | None:
    value = _first(span, keys)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
