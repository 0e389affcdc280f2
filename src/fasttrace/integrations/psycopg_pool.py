"""psycopg_pool: a span for every wait for a connection, when all that the pool may have are out.

``instrument()`` traces every pool of the process, those that exist included, ``instrument(pool)`` one. The spans are
called ``wait for db pool``, which ``fasttrace show`` counts as such. Statements are psycopg's.
"""

from __future__ import annotations

import psycopg_pool

from fasttrace.integrations._patch import replace, restore
from fasttrace.integrations._pool import Waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["instrument", "uninstrument"]

_WAITS = Waits("fasttrace.integrations.psycopg_pool")


def instrument(pool: Any = None) -> Any:
    """Trace every pool of the process, or one, which it gives back. Calling it again changes nothing."""
    if pool is None:
        replace(psycopg_pool.ConnectionPool, "getconn", _getconn)
        replace(psycopg_pool.AsyncConnectionPool, "getconn", _getconn_async)
    else:
        is_async = isinstance(pool, psycopg_pool.AsyncConnectionPool)
        replace(pool, "getconn", _getconn_async if is_async else _getconn)
    return pool


def uninstrument(pool: Any = None) -> Any:
    """Undo ``instrument`` for one pool, or the process-wide one. Calling it again changes nothing."""
    for owner in (psycopg_pool.ConnectionPool, psycopg_pool.AsyncConnectionPool) if pool is None else (pool,):
        restore(owner, "getconn")
    return pool


def _getconn(original: Any, patch: Any) -> Any:
    def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        if patch.options is None or patch.leaves(self) or not _is_out(self):
            return original(self, *args, **kwargs)
        with _WAITS.waiting(self, _attributes):
            return original(self, *args, **kwargs)

    return getconn


def _getconn_async(original: Any, patch: Any) -> Any:
    async def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        if patch.options is None or patch.leaves(self) or not _is_out(self):
            return await original(self, *args, **kwargs)
        with _WAITS.waiting(self, _attributes):
            return await original(self, *args, **kwargs)

    return getconn


def _is_out(pool: Any) -> bool:
    """Whether all connections that the pool may have are out; there is no public word for it."""
    try:
        # Of a pool of none that are kept, 0 is no limit.
        return not pool._pool and pool._nconns >= pool.max_size > 0 and not pool.closed
    except AttributeError:
        return False


def _attributes(pool: Any) -> dict[str, Any]:
    return {
        "db.system.name": "postgresql",
        "db.client.connection.pool.name": pool.name,
        "db.client.connection.max": pool.max_size,
        "db.client.connection.used": pool._nconns - len(pool._pool),
    }
