"""Any DB-API driver, shown with two: stand-ins pass for the driver's own, and their statements are spans."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from loopback import Spans

from fasttrace._core.types import StatusCode
from fasttrace.integrations import dbapi


@pytest.fixture
def connection(spans: Spans) -> Iterator[Any]:
    plain = sqlite3.connect(":memory:")
    yield dbapi.instrument(plain, namespace="shop", address="db.example", port=5, transactions=True)
    plain.close()


def test_statements_of_a_connection_are_spans_and_it_passes_for_the_drivers_own(connection: Any, spans: Spans) -> None:
    assert dbapi.instrument(connection) is connection
    assert isinstance(connection, sqlite3.Connection)
    plain = connection.__wrapped__
    assert connection == plain and hash(connection) == hash(plain) and repr(connection) == repr(plain)
    assert connection.total_changes == 0 and dir(connection) == dir(plain)
    connection.row_factory = sqlite3.Row
    assert plain.row_factory is sqlite3.Row
    with connection as entered:
        assert entered is connection
        cursor = connection.cursor()
        assert isinstance(cursor, sqlite3.Cursor)
        assert cursor.execute("CREATE TABLE t (a)") is cursor
        assert cursor.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)]) is cursor
        assert cursor.executescript("SELECT 1; SELECT 2") is cursor
    assert [tuple(row) for row in connection.execute("SELECT a FROM t")] == [(1,), (2,)]
    rows = cursor.execute("SELECT a FROM t")
    assert tuple(next(rows)) == (1,) and [tuple(row) for row in rows] == [(2,)]
    with pytest.raises(AttributeError):
        connection.nothing  # noqa: B018
    connection.commit()
    connection.rollback()
    found = spans()
    assert [data.name for data in found] == [
        *("CREATE TABLE t", "INSERT t", "SELECT", "SELECT t", "SELECT t", "COMMIT", "ROLLBACK")
    ]
    assert found[1].attributes == {
        "db.system.name": "sqlite",
        "db.namespace": "shop",
        "server.address": "db.example",
        "server.port": 5,
        "db.operation.name": "INSERT",
        "db.collection.name": "t",
        "db.query.text": "INSERT INTO t VALUES (?)",
        "db.operation.batch.size": 2,
    }


def test_an_error_passes_unchanged(connection: Any, spans: Spans) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.cursor().execute("SELECT * FROM nowhere")
    (failed,) = spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "sqlite3.OperationalError"


def test_uninstrument_gives_the_connection_back_and_silences_it(connection: Any, spans: Spans) -> None:
    plain = connection.__wrapped__
    cursor = connection.cursor()
    assert dbapi.uninstrument(connection) is plain
    assert dbapi.uninstrument(plain) is plain
    cursor.execute("SELECT 1")
    connection.execute("SELECT 1")
    connection.commit()
    assert not spans()


def test_what_a_module_opens_is_traced_until_it_is_not(spans: Spans) -> None:
    original = sqlite3.connect
    assert dbapi.instrument(sqlite3, system="mine", capture_parameters=True) is sqlite3
    dbapi.instrument(sqlite3)
    try:
        assert sqlite3.connect.__name__ == "connect"
        connection = sqlite3.connect(database=":memory:")
        connection.execute("SELECT ?", ("x",))
    finally:
        dbapi.uninstrument(sqlite3)
    dbapi.uninstrument(sqlite3)
    assert sqlite3.connect is original
    connection.execute("SELECT 2")
    connection.close()
    (data,) = spans()
    assert data.attributes["db.system.name"] == "mine"
    assert data.attributes["db.namespace"] == ":memory:"
    assert data.attributes["db.query.parameter.0"] == "x"


def test_a_wrapped_connect_knows_the_server_by_its_arguments(postgres: dict[str, Any], spans: Spans) -> None:
    psycopg = pytest.importorskip("psycopg")
    connect = dbapi.wrap_connect(psycopg.connect, system="postgresql")
    with connect(**postgres) as connection:
        assert isinstance(connection, psycopg.Connection)
        assert connection.cursor().execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.UndefinedFunction):
            connection.execute("SELECT nothing(1)")
    good, bad = spans()
    assert good.attributes["server.port"] == postgres["port"]
    assert good.attributes["server.address"] == "127.0.0.1"
    assert good.attributes["db.namespace"] == "postgres"
    assert bad.attributes["db.response.status_code"] == "42883"
