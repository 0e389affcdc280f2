"""inventory: a real SQLite database, queried once per item and without an index, behind two connections."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import fasttrace
from fasttrace.demo.pool import ConnectionPool

tracer: fasttrace.Tracer = fasttrace.get_tracer(__name__)

POOL_SIZE = 2
ROWS = 30_000
COLOURS = ("amber", "cobalt", "crimson", "ivory", "jade", "onyx", "pearl", "teal")
THINGS = ("chair", "desk", "kettle", "lamp", "mirror", "mug", "rug", "shelf", "sofa", "stool", "table", "vase")

# A search in the middle of a text reads every row: this is the work that holds a connection.
SELECT = "SELECT sku, quantity FROM stock WHERE description LIKE ? AND quantity > 0 ORDER BY quantity DESC LIMIT 1"
UPDATE = "UPDATE stock SET quantity = quantity - 1 WHERE sku = ?"


def product(number: int) -> str:
    """The name of a product; every number has one."""
    return f"{COLOURS[number % len(COLOURS)]} {THINGS[number // len(COLOURS) % len(THINGS)]}"


def create_database(path: Path) -> None:
    """Fill a new database file with the shop's stock."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE stock (sku INTEGER PRIMARY KEY, description TEXT, quantity INTEGER)")
        connection.executemany(
            "INSERT INTO stock VALUES (?, ?, ?)",
            (
                (sku, f"Batch {sku:05d}, hand finished, with our compliments: the {product(sku)}", 1_000 + sku % 97)
                for sku in range(ROWS)
            ),
        )
    connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """One connection for the pool; it is used by one thread at a time, but not always the same."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def reserve(connection: sqlite3.Connection, items: list[str]) -> list[int]:
    """Find each item and take one of it; one query per item, as such code is written."""
    reserved = []
    for item in items:
        attributes = {"db.system.name": "sqlite", "db.query.text": SELECT, "db.operation.name": "SELECT"}
        with tracer.start_as_current_span("SELECT stock", kind=fasttrace.SpanKind.CLIENT, attributes=attributes):
            row = connection.execute(SELECT, (f"%{item}%",)).fetchone()
        reserved.append(row[0])
    attributes = {"db.system.name": "sqlite", "db.query.text": UPDATE, "db.operation.name": "UPDATE"}
    with tracer.start_as_current_span("UPDATE stock", kind=fasttrace.SpanKind.CLIENT, attributes=attributes):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(UPDATE, [(sku,) for sku in reserved])
        connection.execute("COMMIT")
    return reserved


def create_app(peers: dict[str, str]) -> Starlette:
    """The service; it calls nobody."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with TemporaryDirectory(prefix="fasttrace-demo-", ignore_cleanup_errors=True) as directory:
            path = Path(directory) / "inventory.db"
            create_database(path)
            app.state.pool = ConnectionPool("inventory.db", lambda: connect(path), POOL_SIZE)
            try:
                yield
            finally:
                app.state.pool.close()
                fasttrace.shutdown(timeout=3)

    async def reservations(request: Request) -> JSONResponse:
        order = await request.json()
        async with request.app.state.pool.connection() as connection:
            reserved = await asyncio.to_thread(reserve, connection, order["items"])
        return JSONResponse({"reserved": reserved}, status_code=201)

    return Starlette(routes=[Route("/reservations", reservations, methods=["POST"])], lifespan=lifespan)
