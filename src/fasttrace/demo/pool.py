"""A pool of database connections that shows, as a span, what waiting for it costs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import fasttrace

tracer: fasttrace.Tracer = fasttrace.get_tracer(__name__)


class ConnectionPool:
    """``size`` connections, lent to one task at a time; who comes too late queues for the next one back.

    ``connect`` opens one connection; all are opened at once. For one event loop.
    """

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection], size: int) -> None:
        self.name = name
        self.size = size
        self._waiting = 0
        self._idle: asyncio.Queue[sqlite3.Connection] = asyncio.Queue()
        for _ in range(size):
            self._idle.put_nowait(connect())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[sqlite3.Connection]:
        """Borrow a connection for the ``async with`` block."""
        connection = await self._take()
        try:
            yield connection
        finally:
            self._idle.put_nowait(connection)

    async def _take(self) -> sqlite3.Connection:
        self._waiting += 1
        attributes = {
            "db.client.connection.pool.name": self.name,
            "db.client.connection.max": self.size,
            "db.client.connection.pending_requests": max(0, self._waiting - self._idle.qsize()),
        }
        try:
            with tracer.start_as_current_span("wait for db pool", attributes=attributes):
                return await self._idle.get()
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Close the connections that nobody has borrowed."""
        while not self._idle.empty():
            self._idle.get_nowait().close()
